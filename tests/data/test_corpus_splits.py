"""Splits: every row once, no text in two splits, stratified, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.data import DEV, TEST, TRAIN, UNUSED, draw_splits
from react_rl.data.grouping import deal_groups, normalised, text_groups
from react_rl.data.splits import Shares, split_code
from react_rl.errors import ReActError

texts_and_classes = st.lists(
    st.tuples(st.sampled_from([f"Word {n}" for n in range(40)]), st.integers(0, 2)), min_size=40, max_size=160
).filter(lambda rows: len({text for text, _ in rows}) >= 20)


def variant(text: str, number: int) -> str:
    """Return another spelling of the same normalised text."""
    return (text, text.upper(), f"  {text}\n", text.replace(" ", "\t "))[number % 4]


def test_normalising_strips_collapses_and_casefolds() -> None:
    assert normalised("  Große\n\tStraße  X ") == "grosse strasse x"


def test_groups_are_numbered_by_first_appearance() -> None:
    assert text_groups(["b", "a", " B ", "c", "A"]).tolist() == [0, 1, 0, 2, 1]


@given(rows=texts_and_classes, seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_no_text_crosses_splits_and_every_row_has_one(rows: list[tuple[str, int]], seed: int) -> None:
    texts = [variant(text, place) for place, (text, _) in enumerate(rows)]
    classes = np.array([label for _, label in rows])
    split, _ = draw_splits(texts, classes, seed=seed)
    assert set(split.tolist()) == {TRAIN, DEV, TEST}
    home: dict[str, int] = {}
    for text, code in zip(texts, split.tolist(), strict=True):
        assert home.setdefault(normalised(text), code) == code
    again, _ = draw_splits(texts, classes, seed=seed)
    assert split.tobytes() == again.tobytes()


@given(
    sizes=st.lists(st.integers(5, 60), min_size=2, max_size=6),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33)]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_class_keeps_its_shares(sizes: list[int], shares: Shares, seed: int) -> None:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    split, _ = draw_splits([f"text {row}" for row in range(len(classes))], classes, shares=shares, seed=seed)
    for label, size in enumerate(sizes):
        for code, share in enumerate(shares):
            assert abs(int((split[classes == label] == code).sum()) - share * size) <= 2
    for code, share in enumerate(shares):
        assert abs(int((split == code).sum()) - share * len(classes)) <= 2


def test_rare_classes_do_not_all_fall_into_train() -> None:
    classes = np.arange(100)
    split, _ = draw_splits([f"text {row}" for row in range(100)], classes)
    assert Counter(split.tolist()) == {TRAIN: 60, DEV: 20, TEST: 20}


def test_duplicates_are_dealt_out_like_other_rows() -> None:
    """Pairs may not gather in the largest split."""
    texts = [f"text {row // 2}" for row in range(400)]
    split, _ = draw_splits(texts, np.zeros(400, dtype=np.int64))
    assert Counter(split.tolist()) == {TRAIN: 240, DEV: 80, TEST: 80}


def test_seeds_draw_different_splits() -> None:
    texts = [f"text {row}" for row in range(100)]
    classes = np.zeros(100, dtype=np.int64)
    draws = {draw_splits(texts, classes, seed=seed)[0].tobytes() for seed in range(10)}
    assert len(draws) == 10


def test_every_row_reaches_every_split_under_some_seed() -> None:
    texts = [f"text {row}" for row in range(20)]
    classes = np.arange(20) % 2
    draws = np.stack([draw_splits(texts, classes, seed=seed)[0] for seed in range(400)])
    shares = np.stack([(draws == code).mean(axis=0) for code in (TRAIN, DEV, TEST)])
    # 400 draws give a share of .2 a standard error of .02.
    np.testing.assert_allclose(shares, np.array([[0.6], [0.2], [0.2]]) * np.ones(20), atol=0.11)


def test_official_splits_stay_and_repeated_texts_leave_the_earlier_split() -> None:
    texts = ["a", "b", "C ", "d", "B", "e", " c", "E", "f"]
    official = np.array([TRAIN, TRAIN, TRAIN, TRAIN, DEV, DEV, TEST, TEST, TEST], dtype=np.uint8)
    split, notes = draw_splits(texts, np.zeros(9, dtype=np.int64), official=official)
    assert split.tolist() == [TRAIN, UNUSED, UNUSED, TRAIN, DEV, UNUSED, TEST, TEST, TEST]
    assert notes == (
        "1 train row dropped: same text in dev",
        "1 train row dropped: same text in test",
        "1 dev row dropped: same text in test",
    )
    assert official.tolist()[1] == TRAIN


def test_a_missing_dev_is_carved_out_of_train_only() -> None:
    official = np.array([TRAIN] * 80 + [TEST] * 20, dtype=np.uint8)
    split, notes = draw_splits(
        [f"text {row}" for row in range(100)], np.arange(100) % 2, official=official, seed=3
    )
    assert Counter(split.tolist()) == {TRAIN: 60, DEV: 20, TEST: 20}
    assert (split[80:] == TEST).all()
    assert notes == ("dev drawn from 80 train rows with seed 3",)


def test_a_missing_test_is_carved_out_of_train_only() -> None:
    official = np.array([TRAIN] * 80 + [DEV] * 20, dtype=np.uint8)
    split, _ = draw_splits([f"text {row}" for row in range(100)], np.arange(100) % 2, official=official)
    assert Counter(split.tolist()) == {TRAIN: 60, DEV: 20, TEST: 20}
    assert (split[80:] == DEV).all()


def test_official_unused_rows_stay_unused() -> None:
    official = np.array([TRAIN] * 30 + [UNUSED] * 10, dtype=np.uint8)
    split, _ = draw_splits([f"text {row}" for row in range(40)], np.arange(40) % 2, official=official)
    assert (split[30:] == UNUSED).all()
    assert set(split[:30].tolist()) == {TRAIN, DEV, TEST}


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.0), (0.6, 0.2, 0.3), (float("nan"), 0.5, 0.5), (0.5, 0.5)])
def test_wrong_shares_are_refused(shares: Shares) -> None:
    with pytest.raises(ReActError, match="three numbers above 0 that sum to 1"):
        draw_splits(["a", "b", "c"], np.zeros(3, dtype=np.int64), shares=shares)


def test_too_few_different_texts_are_refused() -> None:
    with pytest.raises(ReActError, match="4 rows with 2 different texts are too few"):
        draw_splits(["a", "A", "b", "B "], np.zeros(4, dtype=np.int64))


def test_official_splits_without_train_are_refused() -> None:
    with pytest.raises(ReActError, match="no train rows"):
        draw_splits(["a", "b"], np.zeros(2, dtype=np.int64), official=np.array([1, 2], dtype=np.uint8))


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ReActError, match="seed is -1"):
        draw_splits(["a", "b", "c"], np.zeros(3, dtype=np.int64), seed=-1)


@pytest.mark.parametrize(
    ("word", "code"), [("train", TRAIN), ("Validation", DEV), (" valid ", DEV), ("TEST", TEST)]
)
def test_splits_go_by_several_names(word: str, code: int) -> None:
    assert split_code(word) == code


def test_an_unknown_split_word_names_the_nearest() -> None:
    with pytest.raises(ReActError, match="Did you mean 'validation'"):
        split_code("validaton")


def test_a_group_goes_as_a_whole_and_hands_miss_by_at_most_the_largest_group() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, size=300)
    hands = deal_groups(groups, np.zeros(300, dtype=np.int64), (0.5, 0.3, 0.2), np.random.default_rng(1))
    largest = np.bincount(groups).max()
    for group in range(30):
        assert len(set(hands[groups == group].tolist())) == 1
    for hand, share in enumerate((0.5, 0.3, 0.2)):
        assert abs((hands == hand).sum() - share * 300) <= largest
