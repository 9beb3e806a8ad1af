"""Halves of a corpus: disjoint, the same ids, each with its own splits and class shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.data import SPLITS, UNUSED, Corpus, synthetic_corpus
from react_rl.data.grouping import normalised
from react_rl.errors import ReActError


def repeated(corpus: Corpus, every: int) -> Corpus:
    """Return ``corpus`` with each ``every``-th text said once more, in capitals, by the next row."""
    texts = list(corpus.texts)
    for row in range(0, len(texts) - 1, every):
        texts[row + 1] = f" {texts[row].upper()} "
    return replace(corpus, texts=tuple(texts))


@given(seed=st.integers(0, 20), every=st.integers(2, 9), n_classes=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_halves_are_disjoint_complete_and_share_no_text(seed: int, every: int, n_classes: int) -> None:
    corpus = repeated(synthetic_corpus(150, n_classes, seed), every)
    first, second = corpus.half("first"), corpus.half("second")
    assert first.texts == second.texts == corpus.texts
    np.testing.assert_array_equal((first.split == UNUSED) ^ (second.split == UNUSED), np.ones(150, bool))
    for half in (first, second):
        used = half.split != UNUSED
        np.testing.assert_array_equal(half.split[used], corpus.split[used])
    texts = [
        {normalised(corpus.texts[row]) for split in SPLITS for row in half.ids(split)}
        for half in (first, second)
    ]
    assert not texts[0] & texts[1]


def test_each_half_has_half_of_every_class_in_every_split() -> None:
    corpus = synthetic_corpus(600, 4, seed=2)
    for which in ("first", "second"):
        half = corpus.half(which)
        for split in SPLITS:
            whole = np.bincount(corpus.targets[corpus.ids(split)], minlength=4)
            part = np.bincount(corpus.targets[half.ids(split)], minlength=4)
            assert np.abs(part - whole / 2).max() <= 1


def test_halves_are_the_same_every_time_and_named() -> None:
    corpus = synthetic_corpus(100)
    assert corpus.half("first").digest() == corpus.half("first").digest()
    assert corpus.half("first").digest() != corpus.half("second").digest()
    assert corpus.half("second").name == "synthetic[second half]"


def test_a_half_can_be_halved() -> None:
    half = synthetic_corpus(400).half("second")
    quarters = half.half("first"), half.half("second")
    rows = [set(np.flatnonzero(quarter.split != UNUSED).tolist()) for quarter in quarters]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == set(np.flatnonzero(half.split != UNUSED).tolist())
    assert quarters[0].name == "synthetic[second half][first half]"


def test_an_unknown_half_is_refused() -> None:
    word: Any = "frist"
    with pytest.raises(ReActError, match="Did you mean 'first'"):
        synthetic_corpus(50).half(word)


def test_a_corpus_too_small_for_halves_says_so() -> None:
    corpus = Corpus(
        name="tiny",
        task="classification",
        texts=("a", "b", "c", "d"),
        targets=np.array([0, 1, 0, 1]),
        label_names=("x", "y"),
        split=np.array([0, 0, 0, 2], dtype=np.uint8),
        cost=np.ones(4),
    )
    with pytest.raises(ReActError, match="too small to be halved: its 1 test rows"):
        corpus.half("first")
