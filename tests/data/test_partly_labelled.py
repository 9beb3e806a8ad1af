"""Files of which some rows have a label: what counts as none, how rows are numbered, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from react_rl.data.partly_labelled import read_partly_labelled
from react_rl.errors import ReActError


def test_rows_are_numbered_as_records_whatever_blank_lines_and_cells_of_several_lines_are_between(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('id,text,label\nA,"one\ntwo\n\nthree",x\n\n\nB,four,\n\nC,"five\nsix",y\nD,seven,\n')
    data = read_partly_labelled(path)
    assert data.texts == ("one\ntwo\n\nthree", "four", "five\nsix", "seven")
    assert data.origin.row.tolist() == [1, 2, 3, 4]
    assert data.origin.ids == ("A", "B", "C", "D")
    assert data.labels.tolist() == [0, -1, 1, -1]
    assert data.candidates.tolist() == [1, 3]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_says_the_same(tmp_path: Path, ending: str) -> None:
    rows = [("t0", "2"), ("t1", None), ("t2", "10"), ("t3", ""), ("t4", "2")]
    path = tmp_path / f"mine.{ending}"
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table(
            {"say": [t for t, _ in rows], "kind": [None if k is None else k for _, k in rows]}
        )
        parquet.write_table(table, path)
    elif ending in ("csv", "tsv"):
        mark = "," if ending == "csv" else "\t"
        path.write_text("\n".join(mark.join((t, k or "")) for t, k in [("say", "kind"), *rows]) + "\n")
    else:
        objects = [{"say": t} if k is None else {"say": t, "kind": k} for t, k in rows]
        lines = [json.dumps(one) for one in objects]
        path.write_text("\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]")
    data = read_partly_labelled(path, text="say", label="kind")
    assert data.name == "mine"
    assert data.label_names == ("2", "10")
    assert data.labels.tolist() == [0, -1, 1, -1, 0]
    assert data.counts.tolist() == [2, 1]


@pytest.mark.parametrize("word", ["", "  ", "nan", "NULL", "<NA>"])
def test_words_for_nothing_are_no_label(tmp_path: Path, word: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"text,label\na,x\nb,{word}\nc,y\n")
    assert read_partly_labelled(path).labels.tolist() == [0, -1, 1]


def test_a_file_without_a_column_of_labels_has_none_unless_one_was_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,kind\na,x\nb,y\n")
    data = read_partly_labelled(path)
    assert data.label_names == ()
    assert data.labels.tolist() == [-1, -1]
    assert "no column is called 'label'" in data.notes[0]
    assert data.notes[0].endswith("(text, kind)")
    with pytest.raises(ReActError, match=r"no label column 'kinds'\. Did you mean 'kind'"):
        read_partly_labelled(path, label="kinds")


def test_of_rows_with_one_text_the_first_is_worth_a_label_and_none_once_one_has_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nGood  film,x\nbad,\ngood film,\nBad,\nnew,\nbad ,\ngood film,y\n")
    data = read_partly_labelled(path)
    assert data.candidates.tolist() == [1, 4]
    assert data.notes == ("1 text has two labels or more",)
    assert np.unique(data.groups).size == 3


def test_labels_that_may_be_one_class_are_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\na,Spam\nb,spam\nc,\n")
    assert "'Spam', 'spam' differ only in case" in read_partly_labelled(path).notes[0]


@pytest.mark.parametrize(
    ("name", "content", "options", "sentence"),
    [
        (
            "a.csv",
            "text,label\na,x\n  ,\n",
            {},
            "1 of 2 rows have an empty text in column 'text', first row 2",
        ),
        ("a.csv", "text,label\na,x\n", {"text": "txt"}, "no text column 'txt'. Did you mean 'text'?"),
        ("a.csv", "text,label\na,x\n", {"id": "key"}, "no id column 'key'"),
        (
            "a.csv",
            "text,id\na,x\n",
            {"label": "id"},
            "holds the ids of the rows and is not taken for the label",
        ),
        ("a.csv", "text,label\n", {}, "has no rows"),
        ("a.txt", "text,label\na,x\n", {}, "The format of a.txt is not clear"),
        ("a.csv", "text,label\na,b,c\n", {}, "3 fields under a header of 2"),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', {}, "The label of row 1 of a.jsonl is a list"),
        ("a.csv", 'text,label\na,"x\ny"\n', {}, "the label 'x\\ny' holds a control character"),
        ("a.conll", "Ann B-PER\n", {}, "holds tagged sentences; rows to label are suggested for text class"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n', {}, "holds tagged sentences"),
        (
            "a.jsonl",
            '{"question": "a", "context": "b", "answers": []}\n',
            {},
            "holds questions about contexts",
        ),
        ("a.csv", "question,context\na,b\n", {}, "has questions and contexts and no column 'answers'"),
        ("b.csv", None, {}, "There is no file or folder"),
        (".", None, {}, "is a folder; name the one file whose rows are to be labelled"),
    ],
)
def test_what_is_no_file_of_texts_and_classes_is_refused(
    tmp_path: Path, name: str, content: str | None, options: dict[str, str], sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReActError) as refused:
        read_partly_labelled(path, **options)
    assert sentence in str(refused.value)


def test_the_row_of_a_wrong_label_is_counted_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "label": "x"}\n{"text": "c", "label": {"y": 1}}\n')
    with pytest.raises(ReActError, match=r"label of row 3 of a\.jsonl is a dict"):
        read_partly_labelled(path)
