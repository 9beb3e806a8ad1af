"""Readers: every format gives the same corpus, and the oddities of real files are read right."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from react_rl.data import DEV, SPLITS, TEST, TRAIN, UNUSED, load_corpus, read_corpus
from react_rl.errors import ReActError

ROWS = [
    (f"text number {n}, with a comma", ("neg", "neutral", "pos")[n % 3], n / 40, n + 1) for n in range(40)
]
COLUMNS = ("text", "label", "agreed", "minutes")
RECORDS: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


def write_separated(path: Path, separator: str, rows: list[dict[str, Any]] | None = None) -> None:
    records = RECORDS if rows is None else rows
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(records)


def write_lines(path: Path, rows: list[dict[str, Any]] | None = None) -> None:
    text = "".join(json.dumps(row) + "\n" for row in (RECORDS if rows is None else rows))
    path.write_text(text, encoding="utf-8")


def pack(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def csv_gz(path: Path) -> None:
    write_separated(path, ",")
    pack(path)


def tsv(path: Path) -> None:
    write_separated(path, "\t")


def csv_plain(path: Path) -> None:
    write_separated(path, ",")


def lines_gz(path: Path) -> None:
    write_lines(path)
    pack(path)


def json_array(path: Path) -> None:
    path.write_text(json.dumps(RECORDS), encoding="utf-8")


def parquet(path: Path) -> None:
    pd.DataFrame(RECORDS).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("reviews.csv", csv_plain),
        ("reviews.csv.gz", csv_gz),
        ("reviews.TSV", tsv),
        ("reviews.jsonl", write_lines),
        ("reviews.ndjson", write_lines),
        ("reviews.json", write_lines),
        ("reviews.json", json_array),
        ("reviews.jsonl.gz", lines_gz),
        ("reviews.json.gz", lines_gz),
        ("reviews.parquet", parquet),
    ],
)
def test_every_format_gives_the_same_corpus(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    corpus = read_corpus(tmp_path / name, cost="minutes", confidence="agreed")
    assert corpus.name == "reviews"
    assert corpus.source == name
    assert corpus.texts == tuple(row[0] for row in ROWS)
    assert corpus.label_names == ("neg", "neutral", "pos")
    assert corpus.targets.tolist() == [n % 3 for n in range(40)]
    assert corpus.cost.tolist() == [n + 1 for n in range(40)]
    assert corpus.confidence is not None
    assert corpus.confidence.tolist() == [n / 40 for n in range(40)]
    assert [len(corpus.ids(split)) for split in SPLITS] == [24, 8, 8]


def test_the_format_can_be_named(tmp_path: Path) -> None:
    write_separated(tmp_path / "reviews.txt", "\t")
    corpus = read_corpus(tmp_path / "reviews.txt", format="tsv", name="mine")
    assert (corpus.name, corpus.n_rows) == ("mine", 40)


def test_a_csv_with_semicolons_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text;label\n" + "".join(f"text, {n};{'ab'[n % 2]}\n" for n in range(20)))
    assert read_corpus(path).texts[3] == "text, 3"


def test_a_csv_with_bom_crlf_and_quoted_newlines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    rows = "".join(f'"line one {n}\r\nline ""two"", end",{"ab"[n % 2]}\r\n' for n in range(20))
    path.write_bytes(b"\xef\xbb\xbf" + f"text,label\r\n{rows}\r\n".encode())
    corpus = read_corpus(path)
    assert corpus.n_rows == 20
    assert corpus.texts[1] == 'line one 1\r\nline "two", end'


def test_a_csv_text_may_be_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "long.csv"
    path.write_text("text,label\n" + "".join(f"{n} {'x' * 200_000},{'ab'[n % 2]}\n" for n in range(6)))
    assert len(read_corpus(path).texts[0]) == 200_002
    assert csv.field_size_limit() == before


def test_bare_quotes_in_a_tsv_are_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bare.tsv"
    lines = [f'"{n} is open\tab'[: None if n % 2 else -1] + "\n" for n in range(12)]
    path.write_text("text\tlabel\n" + "".join(lines))
    corpus = read_corpus(path)
    assert corpus.n_rows == 12
    assert corpus.texts[3] == '"3 is open'


def test_quoted_fields_in_a_tsv_are_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "quoted.tsv"
    lines = [f'"say ""{n}""{" or" if n % 2 else chr(9)}\nnot"\t{"ab"[n % 2]}\n' for n in range(12)]
    path.write_text("text\tlabel\n" + "".join(lines))
    corpus = read_corpus(path)
    assert corpus.n_rows == 12
    assert corpus.texts[2:4] == ('say "2"\t\nnot', 'say "3" or\nnot')


def test_a_quotation_over_two_lines_of_a_tsv_swallows_no_label(tmp_path: Path) -> None:
    path = tmp_path / "speech.tsv"
    lines = ['"He came\ta\n', 'and said"\tb\n', *(f"{n}\t{'ab'[n % 2]}\n" for n in range(8))]
    path.write_text("text\tlabel\n" + "".join(lines))
    corpus = read_corpus(path)
    assert corpus.n_rows == 10
    assert corpus.texts[:2] == ('"He came', 'and said"')


def test_json_lines_break_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [{"text": f"a\u2028b\u0085{n}", "label": n % 2} for n in range(10)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert read_corpus(path).texts[4] == "a\u2028b\u00854"


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"text,label\n" + "".join(f"caf\xe9 {n},{n % 2}\n" for n in range(10)).encode("latin-1"))
    assert read_corpus(path, encoding="latin-1").texts[0] == "caf\xe9 0"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        (["10", "9", "2"], ("2", "9", "10")),
        ([-1, 1, 0], ("-1", "0", "1")),
        ([True, False], ("False", "True")),
        ([2.0, 10.0], ("2", "10")),
        ([1.5, 0.5], ("0.5", "1.5")),
        (["b ", "a", " b"], ("a", "b")),
        (["10", "2", "x"], ("10", "2", "x")),
        (["none", "NA"], ("NA", "none")),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_labels_of_any_kind_are_named_and_sorted(
    tmp_path: Path, labels: list[Any], names: tuple[str, ...], ending: str
) -> None:
    rows = [{"text": f"text {n}", "label": labels[n % len(labels)]} for n in range(18)]
    path = tmp_path / f"kinds.{ending}"
    if ending == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        write_lines(path, rows)
    corpus = read_corpus(path)
    assert corpus.label_names == names
    # Labels are floats or blanks-padded words in the file, and each row must still find its own name.
    wanted = [str(labels[n % len(labels)]).strip().removesuffix(".0") for n in range(18)]
    assert [corpus.label_names[target] for target in corpus.targets.tolist()] == wanted


def test_a_split_column_is_honoured_when_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    words = ["train"] * 20 + ["Validation"] * 5 + ["test"] * 5
    rows = [{"text": f"t{n}", "label": n % 2, "part": word} for n, word in enumerate(words)]
    write_separated(path, ",", rows)
    corpus = read_corpus(path, splits="part")
    assert corpus.split.tolist() == [TRAIN] * 20 + [DEV] * 5 + [TEST] * 5
    assert corpus.notes == ()
    assert read_corpus(path).split.tolist() != corpus.split.tolist()


def test_a_folder_gives_the_official_splits(tmp_path: Path) -> None:
    folder = tmp_path / "trec"
    folder.mkdir()
    write_lines(folder / "test.jsonl.gz", RECORDS[30:])
    pack(folder / "test.jsonl.gz")
    write_separated(folder / "train.csv", ",", [*RECORDS[:20], {**RECORDS[33], "label": "pos"}])
    write_separated(folder / "valid.tsv", "\t", RECORDS[20:30])
    (folder / "README.md").write_text("not data")
    corpus = read_corpus(folder)
    assert corpus.name == corpus.source == "trec"
    assert corpus.split.tolist() == [TRAIN] * 20 + [UNUSED] + [DEV] * 10 + [TEST] * 10
    assert corpus.notes == ("1 train row dropped: same text in test",)
    assert corpus.texts[31:] == tuple(row["text"] for row in RECORDS[30:])


def test_dev_is_carved_from_train_when_a_folder_has_none(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", RECORDS[:32])
    write_lines(tmp_path / "test.jsonl", RECORDS[32:])
    corpus = read_corpus(tmp_path, seed=4)
    assert [len(corpus.ids(split)) for split in SPLITS] == [24, 8, 8]
    assert corpus.ids("test").tolist() == list(range(32, 40))
    assert corpus.notes == ("dev drawn from 32 train rows with seed 4",)


def test_a_folder_with_train_alone_is_split_as_one_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl")
    write_lines(tmp_path / "alone.jsonl")
    folder = read_corpus(tmp_path)
    assert folder.split.tolist() == read_corpus(tmp_path / "alone.jsonl").split.tolist()


def test_shards_of_a_split_are_joined_in_order(tmp_path: Path) -> None:
    for number, rows in enumerate((RECORDS[:10], RECORDS[10:25], RECORDS[25:])):
        pd.DataFrame(rows).to_parquet(tmp_path / f"train-{number:05}-of-00003.parquet")
    assert read_corpus(tmp_path).texts == tuple(row["text"] for row in RECORDS)


def test_max_rows_draws_by_seed_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    write_lines(path)
    corpus = read_corpus(path, max_rows=15, seed=1, cost="minutes", confidence="agreed")
    assert corpus.n_rows == 15
    assert corpus.notes[0] == "15 of 40 rows drawn with seed 1"
    rows = [int(text.split()[2].rstrip(",")) for text in corpus.texts]
    assert rows == sorted(rows)
    assert corpus.targets.tolist() == [row % 3 for row in rows]
    assert corpus.cost.tolist() == [row + 1 for row in rows]
    assert corpus.confidence is not None
    assert corpus.confidence.tolist() == [row / 40 for row in rows]
    assert read_corpus(path, max_rows=15, seed=1, cost="minutes").texts == corpus.texts
    assert read_corpus(path, max_rows=15, seed=2).texts != corpus.texts
    assert read_corpus(path, max_rows=40).digest() == read_corpus(path).digest()


def test_reading_twice_gives_the_same_corpus(tmp_path: Path) -> None:
    write_separated(tmp_path / "reviews.csv", ",")
    first, second = (read_corpus(tmp_path / "reviews.csv", seed=5) for _ in range(2))
    assert first.digest() == second.digest()
    assert first.digest() != read_corpus(tmp_path / "reviews.csv", seed=6).digest()


def test_a_confidence_that_is_missing_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    rows = [{"text": f"t{n}", "label": n % 2, "agreed": "" if n == 3 else 0.5} for n in range(10)]
    write_separated(path, ",", rows)
    corpus = read_corpus(path, confidence="agreed")
    assert corpus.confidence is not None
    assert np.flatnonzero(np.isnan(corpus.confidence)).tolist() == [3]


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ('id;"my, text";label', "{i};a b {i};{c}\n"),
        ("id;my, text;label", "{i};a b {i};{c}\n"),
        ('id,"my, text",label', '{i},"a; b {i}",{c}\n'),
        ("id\tmy, text\tlabel", "{i}\ta b {i}\t{c}\n"),
    ],
)
def test_the_separator_is_found_outside_quotes(tmp_path: Path, header: str, lines: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(header + "\n" + "".join(lines.format(i=i, c="xy"[i % 2]) for i in range(20)))
    corpus = load_corpus(file, text="my, text")
    assert corpus.n_rows == 20
    assert corpus.label_names == ("x", "y")


def test_a_separator_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("text|label\n" + "".join(f"a, b {i}|{'xy'[i % 2]}\n" for i in range(20)))
    assert load_corpus(file, separator="|").texts[3] == "a, b 3"
    with pytest.raises(ReActError, match=r"separator '\|\|' must be one character"):
        load_corpus(file, separator="||")
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(ReActError, match="is for CSV and TSV files, not for jsonl"):
        load_corpus(tmp_path / "x.jsonl", separator=";")


def test_a_column_of_ids_is_no_label(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("number,text,label\n" + "".join(f"{i},text {i},{'xy'[i % 2]}\n" for i in range(20)))
    with pytest.raises(ReActError, match=r"column 'number' of x\.csv holds 20 different values in 20 rows"):
        load_corpus(file, label="number")
