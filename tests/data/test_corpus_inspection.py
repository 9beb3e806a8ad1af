"""Facts about a corpus before anything is played on it, and what is warned about."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from react_rl.data import Corpus, CorpusFacts, inspect_corpus, load_corpus
from react_rl.data.inspection import log_facts


def facts(labels: list[str], texts: list[str] | None = None, split: list[int] | None = None) -> CorpusFacts:
    names = tuple(dict.fromkeys(labels))
    n = len(labels)
    return inspect_corpus(
        Corpus(
            name="x",
            task="classification",
            texts=tuple(texts or [f"text number {i}" for i in range(n)]),
            targets=np.array([names.index(label) for label in labels], dtype=np.int64),
            label_names=names,
            split=np.array(split or [i // 2 % 3 for i in range(n)], dtype=np.uint8),
            cost=np.ones(n),
        )
    )


def test_a_clean_corpus_is_counted_and_not_warned_about() -> None:
    found = facts(["a", "b"] * 6)
    assert (found.rows, found.classes, found.smallest, found.largest) == (12, 2, 6, 6)
    assert (found.repeated, found.contradicted, found.median_words) == (0, 0, 3.0)
    assert found.warnings == ()


def test_rows_out_of_use_do_not_count() -> None:
    found = facts(["a", "b"] * 6 + ["c"], split=[i // 2 % 3 for i in range(12)] + [255])
    assert (found.rows, found.classes) == (12, 2)


def test_repeated_texts_and_two_labels_are_counted() -> None:
    texts = ["One text", "one  text", "other", "other", *[f"t {i}" for i in range(8)]]
    found = facts(["a", "b", "a", "a", *["a", "b"] * 4], texts)
    assert (found.repeated, found.contradicted) == (2, 1)
    assert "2 rows repeat the text of another row" in found.warnings
    assert "1 text has two labels or more" in found.warnings


@pytest.mark.parametrize("alike", [("1", "1.0"), ("a", "A"), ("new york", "New  York"), ("True", "true")])
def test_labels_that_people_write_differently_are_named(alike: tuple[str, str]) -> None:
    (warning,) = facts([*alike] * 6).warnings
    assert all(repr(name) in warning for name in alike)
    assert "differ only in case, blanks or type" in warning


def test_labels_with_fractions_are_named() -> None:
    (warning,) = facts(["0.5", "1.5"] * 6).warnings
    assert "numbers with fractions ('0.5', '1.5')" in warning


def test_a_class_that_a_split_lacks_is_named() -> None:
    (warning,) = facts(["a", "b"] * 6, split=[0, 0, 1, 1, 2, 0, 0, 0, 1, 1, 2, 0]).warnings
    assert warning == "no test row has the label 'b'"


def test_labels_that_are_read_as_one_class_are_named(tmp_path: Path) -> None:
    lines = [{"text": f"text {n}", "label": [1, "1", "A ", "A", 2, 2.0][n % 6]} for n in range(36)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = inspect_corpus(load_corpus(path))
    assert "the labels 1, '1' are read as one class, '1'" in found.notes
    assert "the labels 'A ', 'A' are read as one class, 'A'" in found.notes
    assert found.classes == 3


def test_from_python_the_facts_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="react_rl"):
        log_facts([facts(["0.5", "1.5"] * 6)])
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels[0][0] == "INFO"
    assert "12 rows, 2 classes of 6 to 6 rows" in levels[0][1]
    assert levels[-1][0] == "WARNING"
    assert "numbers with fractions" in levels[-1][1]
