"""Thinned classes: sizes in the chosen ratio in every split, the same ids, reproducible, clear refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.data import DEV, SPLITS, TEST, TRAIN, UNUSED, Corpus, imbalanced, synthetic_corpus
from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError
from react_rl.simulation.corpora import load


def corpus_of(sizes: Mapping[int, tuple[int, ...]]) -> Corpus:
    """A corpus with these sizes of classes a, b, ... in each split."""
    targets, split = [], []
    for code, counts in sizes.items():
        for label, count in enumerate(counts):
            targets += [label] * count
            split += [code] * count
    rows = len(targets)
    return Corpus(
        name="made",
        task="classification",
        texts=tuple(f"row {n}" for n in range(rows)),
        targets=np.array(targets, dtype=np.int64),
        label_names=tuple("abcdef"[: max(targets) + 1]),
        split=np.array(split, dtype=np.uint8),
        cost=np.ones(rows),
    )


def counts(corpus: Corpus, split: str) -> list[int]:
    rows = corpus.targets[corpus.ids(split)]
    return [int(n) for n in np.bincount(rows, minlength=corpus.n_classes)]


def test_two_classes_stand_in_the_chosen_ratio_and_as_many_rows_stay_as_that_allows() -> None:
    corpus = imbalanced(corpus_of({TRAIN: (100, 80), DEV: (50, 40), TEST: (30, 35)}), 10)
    assert counts(corpus, "train") == [100, 10]
    assert counts(corpus, "dev") == [50, 5]
    # The larger class of the corpus is the larger one in every split.
    assert counts(corpus, "test") == [30, 3]


def test_sizes_between_the_largest_and_the_smallest_fall_geometrically() -> None:
    whole = corpus_of({TRAIN: (160, 200, 180), DEV: (90, 90, 90), TEST: (90, 90, 90)})
    skewed = imbalanced(whole, 9)
    # b is the largest class, then c, then a: 1, 1/3, 1/9.
    assert counts(skewed, "train") == [22, 200, 66]
    assert counts(skewed, "test") == [10, 90, 30]


def test_a_class_that_is_rarer_than_its_place_sets_the_size_of_the_others() -> None:
    rare = imbalanced(corpus_of({TRAIN: (100, 5), DEV: (10, 10), TEST: (10, 10)}), 4)
    assert counts(rare, "train") == [20, 5]


@given(ratio=st.floats(1, 30), n_classes=st.integers(2, 5), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_rows_keep_their_ids_and_sizes_keep_the_profile(ratio: float, n_classes: int, seed: int) -> None:
    whole = synthetic_corpus(300, n_classes, seed)
    thin = imbalanced(whole, ratio, seed)
    assert thin.texts == whole.texts
    used = thin.split != UNUSED
    np.testing.assert_array_equal(thin.split[used], whole.split[used])
    order = np.argsort(-np.bincount(whole.targets[whole.split != UNUSED]), kind="stable")
    for split in SPLITS:
        sizes = np.array(counts(thin, split))[order]
        assert sizes.min() >= 1
        assert (np.diff(sizes) <= 0).all()
        # Flooring takes less than a row off each, one is the least; the class that set the sizes is whole.
        exact = np.array(counts(whole, split))[order] * ratio ** (np.arange(n_classes) / (n_classes - 1))
        wanted = exact.min() * ratio ** -(np.arange(n_classes) / (n_classes - 1))
        assert (np.abs(sizes - np.maximum(wanted, 1)) < 1).all()


def test_ratio_one_makes_all_classes_equal() -> None:
    equal = imbalanced(corpus_of({TRAIN: (40, 30, 70), DEV: (9, 8, 7), TEST: (5, 5, 6)}), 1)
    assert [counts(equal, split) for split in SPLITS] == [[30] * 3, [7] * 3, [5] * 3]


def test_the_seed_decides_which_rows_stay() -> None:
    whole = corpus_of({TRAIN: (100, 80), DEV: (50, 40), TEST: (30, 90)})
    again, other = imbalanced(whole, 10), imbalanced(whole, 10, seed=1)
    assert imbalanced(whole, 10).digest() == again.digest() != other.digest()
    assert counts(again, "train") == counts(other, "train")
    assert again.name == "made[ratio 10]"


def test_rows_that_were_out_of_use_stay_so() -> None:
    half = synthetic_corpus(300, 3, seed=1).half("first")
    thin = imbalanced(half, 3)
    assert not ((half.split == UNUSED) & (thin.split != UNUSED)).any()


@pytest.mark.parametrize("ratio", [0.5, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(ReActError, match="must be 1 or more"):
        imbalanced(synthetic_corpus(100), ratio)


def test_a_split_without_a_class_is_refused_by_name() -> None:
    lacking = corpus_of({TRAIN: (10, 10), DEV: (5, 0), TEST: (5, 5)})
    with pytest.raises(ReActError, match="Class 'b' of corpus 'made' has no dev rows"):
        imbalanced(lacking, 2)


def test_a_tagging_corpus_is_refused() -> None:
    tags = np.empty(3, dtype=object)
    tags[:] = [["O"], ["B"], ["O"]]
    plain = corpus_of({TRAIN: (1, 1), TEST: (1, 0)})
    with pytest.raises(ReActError, match="is a tagging corpus"):
        imbalanced(replace(plain, task="tagging", targets=tags), 2)


def test_a_config_thins_the_half_that_it_names() -> None:
    config = CorpusConfig(corpus="synthetic", half="second", imbalance=5)
    corpus = load(config)
    assert corpus.name == "synthetic[second half][ratio 5]"
    sizes = sorted(counts(corpus, "train"))
    assert sizes[-1] / sizes[0] == pytest.approx(5, rel=0.25)
    assert load(config.model_copy(update={"name": "skewed"})).name == "skewed"
