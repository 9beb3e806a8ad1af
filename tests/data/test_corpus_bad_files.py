"""Bad files: each gives one sentence that names the place, what was seen and what to do."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_rl.data import load_corpus, read_corpus
from react_rl.errors import ReActError

GOOD = "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(10))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,lable\n" + GOOD, {}, r"c\.csv has no label column 'label'\. Did you mean 'lable'\?"),
        ("question,context\n" + GOOD, {}, r"and no column 'answers'; .* task=question-answering"),
        ("question,context,answers\na,b,b\n", {}, r"give task=question-answering; for classification"),
        ("tokens,ner\n" + GOOD, {}, r"has tokens and no column 'tags'; .* task=tagging and .* tags=\.\.\."),
        ("txt,label\n" + GOOD, {}, r"no text column 'text'\. Did you mean 'txt'\? Columns: txt, label"),
        ("text,label\n" + GOOD, {"cost": "mins"}, "no cost column 'mins'"),
        ("text,label\n" + GOOD, {"confidence": "sure"}, "no confidence column 'sure'"),
        ("text,label\n" + GOOD, {"splits": "part"}, "no splits column 'part'"),
        (
            "text,label\n" + GOOD + "x,\ny,\n",
            {},
            r"2 of 12 rows have no label in column 'label', first row 11",
        ),
        ("text,label\n" + GOOD + "x,NaN\n", {}, r"1 of 11 rows have no label .* first row 11 of c\.csv"),
        ("text,label\n" + GOOD + "x,null\n", {}, r"fill or remove them \(nan, null and <NA> count as none"),
        ("text,label\nz,a\n  ,b\n" + GOOD, {}, r"1 of 12 rows have an empty text .* first row 2 of c\.csv"),
        ("text,label\na,x\nb,x\n", {}, r"'label' of c\.csv holds one class only \('x'\); at least two"),
        ("text,label\na,x\n\n,b,x\n", {}, r"c\.csv, line 4: 3 fields under a header of 2; put quotes"),
        ("text,label\na,x\nb\n", {}, r"c\.csv, line 3: 1 fields under a header of 2"),
        ('text,label\na,x\n"b,x\nc,y\n', {}, r"c\.csv, line 4: .*check the quotes"),
        ("text,text\na,x\nb,y\n", {}, "two columns called 'text'"),
        ("", {}, r"c\.csv is empty"),
        (" \n\n", {}, r"c\.csv is empty"),
        ("text,label\n", {}, r"c\.csv has no rows"),
        ("text,label\na,x\nb,y\n", {}, r"c\.csv: 2 rows with 2 different texts are too few"),
        (
            "text,label,m\n" + GOOD.replace("\n", ",1\n") + "x,a,free\n",
            {"cost": "m"},
            "row 11 .*'free'.*no number",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",1\n") + "x,a,0\n",
            {"cost": "m"},
            r"cost of row 11 .* is 0\.0;",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",1\n") + "x,a,\n",
            {"cost": "m"},
            "cost of row 11 .* is nan;",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",1\n") + "x,a,inf\n",
            {"cost": "m"},
            "cost of row 11 .* is inf;",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",1\n") + "x,a,7\n",
            {"confidence": "m"},
            r"confidence of row 11 .* is 7\.0; it must be between 0 and 1",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",train\n") + "x,a,tset\n",
            {"splits": "m"},
            "split of row 11 .* is 'tset'; it must be one of train, dev, test",
        ),
        (
            "text,label,m\n" + GOOD.replace("\n", ",train\n") + "x,a,\n",
            {"splits": "m"},
            "1 of 11 rows have no split",
        ),
        ("text,label\n" + GOOD, {"max_rows": 0}, "max_rows is 0"),
        ("text,label\n" + GOOD, {"seed": -1}, "seed is -1"),
        ("text,label\n" + GOOD, {"shares": (0.5, 0.5, 0.5)}, "sum to 1"),
        ("text,label\n" + GOOD, {"format": "cvs"}, r"Unknown format 'cvs'\. Did you mean 'csv'"),
        ("text,label\n" + GOOD, {"encoding": "utf-88"}, "Unknown encoding 'utf-88'"),
    ],
)
def test_a_bad_csv_is_one_sentence(
    tmp_path: Path, content: str, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "c.csv"
    path.write_text(content)
    with pytest.raises(ReActError, match=message) as caught:
        read_corpus(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": 1}\n{"text": \n', r"c\.jsonl, line 2 is no valid JSON"),
        ('{"text": "a", "label": 1}\n\n["b", 2]\n', r"c\.jsonl, line 3 is a list; each must be an object"),
        ('[{"text": "a", "label": 1}, 3]', r"c\.jsonl, item 2 is a int"),
        ("[1,", "no valid JSON"),
        ("[]", "has no rows"),
        ('{"text": "a", "label": 1}\n{"text": "b"}\n', "1 of 2 rows have no label .* first row 2"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label": null}\n', "1 of 2 rows have no label"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label": NaN}\n', "1 of 2 rows have no label"),
        ('{"text": "a", "label": 1}\n{"text": null, "label": 2}\n', "1 of 2 rows have an empty text"),
        ('{"text": "a", "label": 1}\n{"text": 5, "label": 2}\n', "text of row 2 .* is a int, no string"),
        ('{"text": "a", "label": 1}\n{"text": ["b"], "label": 2}\n', "text of row 2 .* is a list"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label": [2]}\n', r"label of row 2 of c\.jsonl is a list"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label": {"x": 2}}\n', "label of row 2 .* is a dict"),
    ],
)
def test_bad_json_lines_are_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(content)
    with pytest.raises(ReActError, match=message):
        read_corpus(path)


def test_half_a_surrogate_pair_is_refused_when_reading(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("".join(f'{{"text": "a {n} \\ud83d", "label": {n % 2}}}\n' for n in range(10)))
    with pytest.raises(ReActError, match="no valid Unicode"):
        read_corpus(path)


def test_another_encoding_names_byte_and_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"text,label\ngood,a\ncaf\xe9,b\n")
    with pytest.raises(ReActError, match=r"latin\.csv is not utf-8: byte 0xe9 in line 3 .*encoding="):
        read_corpus(path)


def test_utf16_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(("text,label\n" + GOOD).encode("utf-16"))
    with pytest.raises(ReActError, match="'utf-16'"):
        read_corpus(path)
    assert read_corpus(path, encoding="utf-16").n_rows == 10


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.csv.gz"
    packed = bytearray(gzip.compress(("text,label\n" + GOOD * 50).encode()))
    if damage == "cut":
        packed = packed[: len(packed) // 2]
    else:
        packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))
    with pytest.raises(ReActError, match=r"c\.csv\.gz is a damaged gzip file"):
        read_corpus(path)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1 and nothing that follows it")
    with pytest.raises(ReActError, match=r"c\.parquet is no readable Parquet file"):
        read_corpus(path)


def test_missing_labels_in_parquet_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    pd.DataFrame({"text": ["a", "b", "c"], "label": [1, None, 2]}).to_parquet(path)
    with pytest.raises(ReActError, match=r"1 of 3 rows have no label .* first row 2 of c\.parquet"):
        read_corpus(path)


def test_an_unknown_ending_names_the_known(tmp_path: Path) -> None:
    path = tmp_path / "c.xlsx"
    path.write_text("text,label\n" + GOOD)
    with pytest.raises(ReActError, match=r"format of c\.xlsx is not clear .* csv, jsonl, parquet, tsv"):
        read_corpus(path)


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n" + GOOD)
    with pytest.raises(ReActError, match=r"no file or folder '.*revews\.csv'\. Did you mean 'reviews\.csv'"):
        read_corpus(tmp_path / "revews.csv")


def test_a_file_in_a_missing_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match=r"nor the folder '.*nowhere'"):
        read_corpus(tmp_path / "nowhere" / "reviews.csv")


def test_a_folder_without_train_says_what_it_has(tmp_path: Path) -> None:
    for name in ("test.csv", "reviews.csv", "notes.txt"):
        (tmp_path / name).write_text("text,label\n" + GOOD)
    with pytest.raises(ReActError, match=r"has no train file .* it has test\.csv, reviews\.csv\."):
        read_corpus(tmp_path)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match="it has no data files"):
        read_corpus(tmp_path)


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv", "validation.csv"):
        (tmp_path / name).write_text("text,label\n" + GOOD)
    with pytest.raises(ReActError, match=r"two files for one split, dev\.csv and validation\.csv"):
        read_corpus(tmp_path)


def test_a_split_column_beside_split_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label,part\n" + GOOD.replace("\n", ",train\n"))
    with pytest.raises(ReActError, match="leave out splits='part'"):
        read_corpus(tmp_path, splits="part")


def test_the_place_of_a_bad_row_counts_within_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "test.csv").write_text("text,label\ngood,a\nbad,\n")
    with pytest.raises(ReActError, match=r"1 of 12 rows have no label .* first row 2 of test\.csv"):
        read_corpus(tmp_path)


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="there is no /dev/null")
def test_what_is_no_file_says_what_it_is(tmp_path: Path) -> None:
    loop, lost, pipe = tmp_path / "loop.csv", tmp_path / "lost.csv", tmp_path / "pipe.csv"
    loop.symlink_to(loop)
    lost.symlink_to(tmp_path / "gone.csv")
    os.mkfifo(pipe)
    for path, what in (
        (loop, "is a symbolic link that leads back to itself"),
        (lost, r"is a symbolic link to '.*gone\.csv', which cannot be reached"),
        (pipe, "is a named pipe"),
        (Path("/dev/null"), "'/dev/null' is a device"),
    ):
        with pytest.raises(ReActError, match=what) as caught:
            load_corpus(str(path))
        assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_called_so(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(("text,label\n" + GOOD).encode(encoding))
    with pytest.raises(ReActError, match=r"reviews\.csv is UTF-16, not utf-8; .*'utf-16', with encoding="):
        read_corpus(path)
    assert read_corpus(path, encoding=encoding).n_classes == 2
