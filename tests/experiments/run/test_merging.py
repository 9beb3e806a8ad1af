"""Labels of a batch put into the file that it was made for: all or none, and none that is there changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from react_rl.errors import ReActError
from react_rl.experiments import merge_labels
from react_rl.experiments.run.merging import MergedLabels

FILE = "question,kind\n=a,x\nb  c,\nd,y\ne,\nf,\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(FILE)
    return path


def merged(mine: Path, batch: str, name: str = "next.csv") -> MergedLabels:
    """What becomes of a batch that was filled in."""
    path = mine.with_name(name)
    path.write_text(batch)
    return merge_labels(mine, path, text="question", label="kind")


def test_labels_go_to_their_rows_in_whatever_order_and_columns_they_come_back(mine: Path) -> None:
    found = merged(mine, "label;row;text;note\n z ;5;F;?\ny;2;B c;\nx;1;'=a;\n;4;e;\n")
    assert found == MergedLabels({"z": 1, "y": 1}, there=1, empty=1, new=("z",), waiting=1)
    assert mine.read_text() == "question,kind\n=a,x\nb  c,y\nd,y\ne,\nf,z\n"
    before = mine.stat()
    again = merge_labels(mine, mine.with_name("next.csv"), text="question", label="kind")
    assert again == MergedLabels({}, there=3, empty=1, new=(), waiting=1)
    assert (mine.stat().st_mtime_ns, mine.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_without_labels_gets_a_column(tmp_path: Path) -> None:
    path, batch = tmp_path / "mine.csv", tmp_path / "next.jsonl"
    path.write_text("text\na\nb\n")
    batch.write_text('{"row": 2.0, "text": "b", "label": 1}\n')
    assert merge_labels(path, batch).new == ("1",)
    assert path.read_text() == "text,label\na,\nb,1\n"


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        ("row,text,label\n2,b c,y\n3,d,x\n", "Row 3 of mine.csv has the label 'y' already, and 'x' was"),
        ("row,text,label\n2,b c,y\n4,f,x\n", "Row 4 of mine.csv has another text than next.csv has for it"),
        ("row,text,label\n2,b c,y\n2,b c,x\n", "next.csv gives row 2 of mine.csv two labels, 'y' and 'x'"),
        ("row,text,label\n2,b c,y\n6,e,x\n", "Row 2 of next.csv has a label for row 6 of mine.csv, which"),
        ("row,text,label\n0,b c,y\n", "a label for row 0 of mine.csv, which has rows 1 to 5"),
        ("row,text,label\ninf,b c,y\n", "a label for row inf of mine.csv"),
        ('row,text,label\n2,b c,"y\tz"\n', "next.csv: the label 'y\\tz' holds a control character"),
        ("row,text\n2,b c\n", "next.csv has no column 'label'; labels are read from the columns"),
    ],
)  # fmt: skip
def test_all_labels_are_written_or_none(mine: Path, batch: str, sentence: str) -> None:
    with pytest.raises(ReActError) as refused:
        merged(mine, batch)
    assert sentence in str(refused.value)
    assert mine.read_text() == FILE
