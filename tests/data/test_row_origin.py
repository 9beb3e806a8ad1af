"""Rows of a corpus lead back to the files of their owner."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.data import Corpus, CorpusConfig, corpus_from_frame, load_corpus, synthetic_corpus
from react_rl.data.row_origin import RowOrigin
from react_rl.errors import ReActError
from react_rl.simulation.corpora import load


def text_of(n: int) -> str:
    return f"question number {n}"


def write(path: Path, first: int, last: int, header: str = "id,text,label") -> Path:
    lines = [f"q{1000 + n},{text_of(n)},{'ab'[n % 2]}" for n in range(first, last)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("max_rows", [None, 20])
def test_a_row_leads_back_to_the_data_row_and_the_id_of_its_file(
    tmp_path: Path, max_rows: int | None
) -> None:
    corpus = load_corpus(write(tmp_path / "q.csv", 0, 60), max_rows=max_rows)
    origin = corpus.origin
    assert origin is not None
    assert origin.ids is not None
    assert len(origin) == corpus.n_rows == (max_rows or 60)
    for row, text in enumerate(corpus.texts):
        number = origin.row[row] - 1  # the first row under the header is row 1
        assert text == text_of(number)
        assert origin.ids[row] == f"q{1000 + number}"
        assert origin.place(row) == f"row {number + 1} of q.csv"


def test_rows_of_a_folder_lead_back_to_the_file_of_their_split(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", 0, 40)
    write(tmp_path / "test.csv", 40, 60)
    corpus = load_corpus(tmp_path, max_rows=30)
    assert corpus.origin is not None
    for row, text in enumerate(corpus.texts):
        file = corpus.origin.files[corpus.origin.file[row]]
        shift = {"train.csv": 0, "test.csv": 40}[file]
        assert text == text_of(corpus.origin.row[row] - 1 + shift)


def test_another_id_column_can_be_named_and_must_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", 0, 30, "key,text,label")
    assert load_corpus(path).origin.ids is None  # type: ignore[union-attr]
    named = load(CorpusConfig(corpus=str(path), id="key"))
    assert named.origin is not None
    assert named.origin.ids == tuple(f"q{1000 + n}" for n in range(30))
    with pytest.raises(ReActError, match=r"q\.csv has no id column 'kei'.*'key'"):
        load_corpus(path, id="kei")


@pytest.mark.parametrize("role", ["text", "label"])
def test_an_id_column_is_never_taken_for_texts_or_labels(tmp_path: Path, role: str) -> None:
    path = write(tmp_path / "q.csv", 0, 30)
    with pytest.raises(ReActError, match=f"'id' of q.csv holds the ids .* not taken for the {role}"):
        load_corpus(path, **{role: "id"})
    with pytest.raises(ReActError, match="holds the ids"):
        load_corpus(path, id=role)


def test_ids_of_json_lines_may_be_numbers_or_missing(tmp_path: Path) -> None:
    lines = [
        {"text": text_of(n), "label": n % 2} | ({"id": 7 * n} if n % 3 else {"id": None}) for n in range(30)
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    corpus = load_corpus(path)
    assert corpus.origin is not None
    assert corpus.origin.ids == tuple(str(7 * n) if n % 3 else "" for n in range(30))


def test_an_id_that_is_no_unicode_is_refused_with_its_row() -> None:
    origin = RowOrigin.of_files([("a.csv", [1, 2]), ("b.csv", [1])])
    with pytest.raises(ReActError, match=r"id .* of row 1 of b\.csv"):
        origin.with_ids(["x", "y", "\ud800"])


def test_a_data_frame_has_an_origin_too() -> None:
    frame = pd.DataFrame({"id": range(50, 80), "text": map(text_of, range(30)), "label": ["a", "b"] * 15})
    corpus = corpus_from_frame(frame)
    assert corpus.origin is not None
    assert corpus.origin.ids == tuple(map(str, range(50, 80)))
    assert corpus.origin.row.tolist() == list(range(1, 31))


def test_tagged_sentences_lead_back_to_the_line_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "people.conll"
    path.write_text("\n".join(f"Ann{n} B-PER\nlives O\n" for n in range(30)))
    corpus = load_corpus(path, max_rows=12)
    lines = path.read_text().split("\n")
    assert corpus.origin is not None
    for row, words in enumerate(corpus.tokens or ()):
        assert lines[corpus.origin.row[row] - 1].split()[0] == words[0]


def test_the_origin_stays_with_halves_and_is_no_part_of_the_content(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "q.csv", 0, 60))
    assert corpus.half("first").origin is corpus.origin
    assert replace(corpus, origin=None).digest() == corpus.digest()


def test_corpora_made_in_code_have_none_and_columns_of_built_in_ones_are_no_ids() -> None:
    assert synthetic_corpus().origin is None
    with pytest.raises(ReActError, match="Built-in corpus 'synthetic' has no column 'key'"):
        load(CorpusConfig(corpus="synthetic", id="key"))


def test_an_origin_of_another_length_is_refused() -> None:
    corpus: Corpus = synthetic_corpus()
    short = RowOrigin(("q.csv",), np.zeros(3, np.int64), np.arange(1, 4))
    with pytest.raises(ReActError, match="600 rows and an origin of 3"):
        replace(corpus, origin=short)
