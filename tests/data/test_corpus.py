"""The corpus value: what it refuses, what it keeps, and that no method renumbers a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from react_rl.data import UNUSED, Corpus
from react_rl.errors import ReActError


def small(**changes: Any) -> Corpus:
    fields: dict[str, Any] = {
        "name": "small",
        "task": "classification",
        "texts": ("red", "green", "blue", "grey", "pink", "black"),
        "targets": np.array([0, 1, 0, 1, 0, 1]),
        "label_names": ("a", "b"),
        "split": np.array([0, 0, 1, 1, 2, 2], dtype=np.uint8),
        "cost": np.ones(6),
    }
    return Corpus(**{**fields, **changes})


def test_ids_are_row_ids_ascending() -> None:
    corpus = small(split=np.array([2, 0, 1, 0, UNUSED, 2], dtype=np.uint8))
    assert corpus.ids("train").tolist() == [1, 3]
    assert corpus.ids("dev").tolist() == [2]
    assert corpus.ids("test").tolist() == [0, 5]
    assert corpus.ids("test").dtype == np.int64
    assert (corpus.n_rows, corpus.n_classes) == (6, 2)


def test_an_unknown_split_names_the_nearest() -> None:
    with pytest.raises(ReActError, match=r"Unknown split 'tran'\. Did you mean 'train'"):
        small().ids("tran")


def test_arrays_are_read_only_copies() -> None:
    cost = np.ones(6)
    corpus = small(cost=cost)
    cost[0] = 7
    assert corpus.cost[0] == 1
    for array in (corpus.cost, corpus.split, corpus.targets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    "changes",
    [
        {"texts": ("red!", "green", "blue", "grey", "pink", "black")},
        {"targets": np.array([1, 1, 0, 1, 0, 1])},
        {"label_names": ("a", "c")},
        {"split": np.array([0, 0, 1, 1, 2, UNUSED], dtype=np.uint8)},
        {"cost": np.array([1, 1, 1, 1, 1, 2.0])},
        {"confidence": np.ones(6)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_digest_follows_the_content(changes: dict[str, Any]) -> None:
    assert small(**changes).digest() != small().digest()


def test_the_digest_ignores_name_source_and_notes() -> None:
    assert small(name="other", source="x", notes=("y",)).digest() == small().digest()


def test_the_digest_keeps_the_borders_between_texts() -> None:
    moved = ("re", "dgreen", "blue", "grey", "pink", "black")
    assert small(texts=moved).digest() != small().digest()


def test_restrict_keeps_rows_and_ids() -> None:
    corpus = small()
    keep = np.array([True, True, False, True, True, False])
    smaller = corpus.restrict(keep)
    assert smaller.texts == corpus.texts
    assert smaller.ids("train").tolist() == [0, 1]
    assert smaller.ids("dev").tolist() == [3]
    assert smaller.ids("test").tolist() == [4]
    assert smaller.split.tolist() == [0, 0, UNUSED, 1, 2, UNUSED]
    assert corpus.split.tolist() == [0, 0, 1, 1, 2, 2]


def test_restrict_never_brings_back_unused_rows() -> None:
    corpus = small().restrict(np.array([True, True, False, True, True, True]))
    assert corpus.restrict(np.ones(6, dtype=np.bool_)).split[2] == UNUSED


@pytest.mark.parametrize("mask", [np.ones(5, dtype=np.bool_), np.arange(6)])
def test_restrict_refuses_what_is_no_mask(mask: Any) -> None:
    with pytest.raises(ReActError, match=r"must be bool of shape \(6,\)"):
        small().restrict(mask)


def test_restrict_refuses_to_leave_one_class() -> None:
    with pytest.raises(ReActError, match=r"one class only \('a'\) in use"):
        small().restrict(np.array([True, False, True, False, True, False]))


def test_unknown_confidence_of_a_row_is_nan() -> None:
    corpus = small(confidence=np.array([1, 0, np.nan, 0.5, 1, 1]))
    assert corpus.confidence is not None
    assert np.isnan(corpus.confidence[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "corpus name .* is empty"),
        ({"task": ""}, "the name of the task '' is empty"),
        ({"texts": ()}, "has no rows"),
        ({"texts": ("red", "  \n", "blue", "grey", "pink", "black")}, "text of row id 1 is empty"),
        ({"texts": ("red", 3, "blue", "grey", "pink", "black")}, "row id 1 is int, not a string"),
        ({"texts": ("red", "x\ud800", "blue", "grey", "pink", "black")}, "row id 1 .*surrogate"),
        ({"targets": np.array([0, 1, 0, 1, 0])}, r"targets must be int64 of shape \(6,\)"),
        ({"targets": np.array([0, 1, 0, 1, 0, 1.0])}, "targets must be int64 .*not float64"),
        ({"targets": np.array([0, 1, 0, 2, 0, 1])}, "target 2 in row id 3"),
        ({"targets": np.array([0, -1, 0, 1, 0, 1])}, "target -1 in row id 1"),
        ({"targets": np.zeros(6, dtype=np.int64)}, r"one class only \('a'\)"),
        ({"label_names": ("a", "a")}, "label name 'a' more than once"),
        ({"label_names": ("a", "")}, "the label name '' is empty"),
        ({"split": np.zeros(6, dtype=np.int64)}, "split must be uint8"),
        ({"split": np.array([0, 0, 9, 1, 2, 2], dtype=np.uint8)}, "split code 9 in row id 2"),
        ({"split": np.full(6, UNUSED, dtype=np.uint8)}, "no rows in use"),
        ({"cost": np.ones(5)}, r"cost must be float64 of shape \(6,\)"),
        ({"cost": np.array([1, 1, 0, 1, 1, 1.0])}, "cost 0.0 in row id 2"),
        ({"cost": np.array([1, 1, 1, -2, 1, 1.0])}, "cost -2.0 in row id 3"),
        ({"cost": np.array([1, np.nan, 1, 1, 1, 1])}, "cost nan in row id 1"),
        ({"cost": np.array([1, np.inf, 1, 1, 1, 1])}, "cost inf in row id 1"),
        ({"confidence": np.array([1, 1, 1, 1, 1, 1.5])}, "confidence 1.5 in row id 5"),
        ({"confidence": np.ones(4)}, "confidence must be float64"),
    ],
)
def test_a_wrong_field_is_one_clear_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError, match=message) as caught:
        small(**changes)
    assert "\n" not in str(caught.value)


def test_another_task_carries_objects_as_targets() -> None:
    tags = np.empty(2, dtype=object)
    tags[:] = [["B-PER", "O"], ["O"]]
    other = np.empty(2, dtype=object)
    other[:] = [["B-LOC", "O"], ["O"]]
    corpus = Corpus(
        name="tags",
        task="tagging",
        texts=("Ada writes", "yes"),
        targets=tags,
        label_names=("O", "B-PER", "B-LOC"),
        split=np.array([0, 1], dtype=np.uint8),
        cost=np.ones(2),
    )
    assert corpus.digest() != replace(corpus, targets=other).digest()
    assert corpus.restrict(np.array([True, False])).ids("train").tolist() == [0]
    with pytest.raises(ReActError, match="2 texts and 1 targets"):
        replace(corpus, targets=tags[:1])
