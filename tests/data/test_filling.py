"""Labels written into files: nothing else in them changes, whatever their format, encoding and style."""

from __future__ import annotations

import csv
import gzip
import json
import math
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_rl.data.filling import fill_labels
from react_rl.data.tables import read_table
from react_rl.errors import ReActError

CSV = [
    # before, labels, after
    ("text,label\na,x\nb,\nc,\n", {1: "y"}, "text,label\na,x\nb,y\nc,\n"),
    ("text,label\r\na,x\r\nb,", {1: "y"}, "text,label\r\na,x\r\nb,y"),
    ('n,label,text\n\n"1",,"b\n\nb"\n\n2,x,"""c"\n', {0: "y"}, 'n,label,text\n\n1,y,"b\n\nb"\n\n2,x,"""c"\n'),
    ("text;label\na, b;x\nc, d;\n", {1: "y;z"}, 'text;label\na, b;x\nc, d;"y;z"\n'),
    ("text\na\n\n'b\n", {1: "y"}, "text,label\na,\n\n'b,y\n"),
    ('"text"\n"a\nb"\n', {0: 'say "y"'}, '"text",label\n"a\nb","say ""y"""\n'),
    ("text,label\na,x\nb,NaN \nc,nan\n", {1: "y"}, "text,label\na,x\nb,y\nc,nan\n"),
    ("text,label\na,007\nb,\n", {1: "7.0"}, "text,label\na,007\nb,7.0\n"),
]


@pytest.mark.parametrize(("before", "labels", "after"), CSV)
def test_a_csv_file_changes_where_a_label_goes_alone(
    tmp_path: Path, before: str, labels: dict[int, str], after: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(before.encode())
    fill_labels(path, "label", labels)
    assert path.read_bytes() == after.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('text\tlabel\nsay "a\tx\n"b" c\t\n', 'text\tlabel\nsay "a\tx\n"b" c\ty\n'),  # never quotes
        ('text\tlabel\n"a\tb"\tx\n"c\nd"\t\n', 'text\tlabel\n"a\tb"\tx\n"c\nd"\ty\n'),  # quotes as CSV does
    ],
)
def test_quotes_in_a_tsv_file_stay_what_they_are(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(before)
    fill_labels(path, "label", {1: "y"})
    assert path.read_text() == after


@pytest.mark.parametrize(
    ("mark", "codec", "encoding"),
    [
        (b"", "utf-8", "utf-8"),
        (BOM_UTF8, "utf-8", "utf-8"),
        (b"", "utf-8", "utf-8-sig"),
        (b"", "cp1252", "cp1252"),
        (b"", "gb18030", "gb18030"),
        (BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (BOM_UTF16_BE, "utf-16-be", "utf-16"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_stays(tmp_path: Path, mark: bytes, codec: str, encoding: str, packed: bool) -> None:
    path = tmp_path / ("mine.csv.gz" if packed else "mine.csv")
    before, after = (mark + f"text,label\né,x\nü,{label}\n".encode(codec) for label in ("", "ö"))
    path.write_bytes(gzip.compress(before) if packed else before)
    fill_labels(path, "label", {1: "ö"}, encoding=encoding)
    written = path.read_bytes()
    assert (gzip.decompress(written) if packed else written) == after


JSON = [
    # ending, content, labels, and what is in place of $ before and after
    ("jsonl", '{"text": "a", "label": $, "n": 1e5}\n', {0: "y"}, ("null", '"y"')),
    ("jsonl", '{"text":"a"}\n\n{"label":$,"text":"ü"}', {1: "é"}, ('""', '"é"')),
    ("jsonl", '{"text": "a"}\n{"text": "b"$ }\n', {1: "é"}, ("", ', "label": "\\u00e9"')),
    ("jsonl", '{"text":"\\"}","label":1}\n{"text":"b"$}', {1: "2"}, ("", ', "label": 2')),
    ("jsonl", '{"text":"a","label":1}\n{"text":"b"$}', {1: "x"}, ("", ', "label": "x"')),
    ("jsonl", '{"text":"a","label":1.0}\n{"text":"b"$}', {1: "2"}, ("", ', "label": 2.0')),
    ("jsonl", '{"text":"a","label":true}\n{"text":"b"$}', {1: "FALSE"}, ("", ', "label": false')),
    ("jsonl", '{"a": {"label": null}, "text": "a", "label": $}', {0: "y"}, ("null", '"y"')),
    ("json", '[\n {"text": "a",\n  "label": $},\n {"text": "b"}\n]\n', {0: "y"}, ('""', '"y"')),
    ("json", '[{"text": "a", "label": "x"}, {"text": "b"$}]', {1: "x"}, ("", ', "label": "x"')),
]


@pytest.mark.parametrize(("ending", "text", "labels", "place"), JSON)
def test_a_json_file_changes_where_a_label_goes_alone(
    tmp_path: Path, ending: str, text: str, labels: dict[int, str], place: tuple[str, str]
) -> None:
    path = tmp_path / f"mine.{ending}"
    before, after = (text.replace("$", there).encode() for there in place)
    path.write_bytes(before)
    fill_labels(path, "label", labels)
    assert path.read_bytes() == after


def test_a_parquet_file_keeps_values_types_order_and_metadata(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "mine.parquet"
    kinds = {
        "label": pa.string(), "no": pa.null(), "i": pa.int32(), "f": pa.float64(), "b": pa.bool_(),
        "d": pa.dictionary(pa.int8(), pa.string()), "text": pa.string(), "more": pa.list_(pa.float32()),
    }  # fmt: skip
    values: dict[str, list[Any]] = {
        "label": ["x", None], "no": [None, None], "i": [3, None], "f": [1.0, math.nan], "b": [True, None],
        "d": ["x", None], "text": ["a", "b"], "more": [[0.1, math.nan], None],
    }  # fmt: skip
    fields = [pa.field(name, kind, metadata={"of": name}) for name, kind in kinds.items()]
    table = pa.table(values, pa.schema(fields, {"made": "by hand"}))
    new = {"label": "y", "no": "y", "i": "4", "f": "2", "b": "false", "d": "y", "behind": "y"}
    typed = {"i": 4, "f": 2.0, "b": False}
    for column, label in new.items():
        pq.write_table(table, path, compression="zstd")
        fill_labels(path, column, {1: "False" if label == "false" else label})
        found, metadata = pq.read_table(path), pq.ParquetFile(path).metadata
        assert metadata.row_group(0).column(0).compression == "ZSTD"
        assert found.schema.metadata[b"made"] == b"by hand"
        assert found.column_names == [*kinds, *([column] if column == "behind" else [])]
        for name, kind in kinds.items():
            assert found.schema.field(name).type == (pa.string() if name == column == "no" else kind)
            assert found.schema.field(name).metadata[b"of"] == name.encode()
            was = values[name] if name != column else [values[name][0], typed.get(name, label)]
            assert repr(found[name].to_pylist()) == repr(table[name].to_pylist() if name != column else was)
    assert found["behind"].to_pylist() == [None, "y"]
    before = path.read_bytes()
    with pytest.raises(
        ReActError, match=r"does not fit the column 'i' of mine\.parquet, which is of type int32"
    ):
        fill_labels(path, "i", {1: "many"})
    assert path.read_bytes() == before


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "mine.csv"
    real.write_text("text,label\na,\n")
    real.chmod(0o640)
    link.symlink_to(real)
    fill_labels(link, "label", {0: "y"})
    assert link.is_symlink()
    assert real.read_text() == "text,label\na,y\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_kept_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes("text,label\né,\n".encode("cp1252"))
    before = path.read_bytes()
    with pytest.raises(ReActError, match=r"A label holds '中', which mine\.csv cannot hold in cp1252"):
        fill_labels(path, "label", {0: "中"}, encoding="cp1252")
    monkeypatch.setattr("react_rl.data.filling._csv", lambda text, *_: text.replace("é", "e"))
    with pytest.raises(ReActError, match=r"mine\.csv would no longer read the same"):
        fill_labels(path, "label", {0: "y"}, encoding="cp1252")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_changes_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\na,\n")

    def meanwhile(*_: object) -> bool:
        path.write_text("text,label\na,theirs\n")
        return True

    monkeypatch.setattr("react_rl.data.filling._kept", meanwhile)
    with pytest.raises(ReActError, match=r"mine\.csv changed while labels were written"):
        fill_labels(path, "label", {0: "y"})
    assert path.read_text() == "text,label\na,theirs\n"


CELLS = st.text(st.sampled_from("ab ,;\t\"'\n\r\\{}[]:é中"), max_size=6)
LABELS = st.text(st.sampled_from("xy ,;\"'\\{}é"), min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@given(
    rows=st.lists(st.tuples(CELLS.filter(str.strip), CELLS), min_size=1, max_size=5),
    label=LABELS,
    there=st.booleans(),
    place=st.integers(0, 4),
)
def test_any_cells_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    ending: str,
    rows: list[tuple[str, str]],
    label: str,
    there: bool,
    place: int,
) -> None:
    path = tmp_path_factory.mktemp("any") / f"mine.{ending}"
    records = [{"text": text, **({"label": None} if there else {}), "more": more} for text, more in rows]
    if ending == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, records[0])
            table.writeheader()
            table.writerows(records)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    row = place % len(rows)
    fill_labels(path, "label", {row: label})
    columns = read_table(path, wanted=("text", "label", "more")).columns
    assert list(zip(columns["text"], columns["more"], strict=True)) == rows
    assert [i for i, value in enumerate(columns["label"]) if value] == [row]
    assert columns["label"][row] == label
