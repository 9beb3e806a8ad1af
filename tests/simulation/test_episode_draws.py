"""The draw of an episode: pool, dev set, classes and initial labels, and what cannot be drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, draw_episode, synthetic_encoded
from react_rl.simulation.draw import check_fit


@cache
def lopsided() -> EncodedCorpus:
    """400 rows of four classes with shares of about .55, .3, .1 and .05; ids 400 to 419 are unused."""
    made = synthetic_encoded(400, 4, seed=2)
    rng = np.random.default_rng(2)
    targets = rng.choice(4, size=400, p=[0.55, 0.3, 0.1, 0.05]).astype(np.int64)
    split = made.corpus.split.copy()
    split[::20] = 255
    corpus = replace(made.corpus, targets=targets, split=split)
    return EncodedCorpus.build(corpus, made.embeddings.numpy())


def options(**changes: Any) -> EpisodeOptions:
    sizes = {"pool_size": 100, "dev_size": 50, "initial_size": 12, "budget": 20, "batch_size": 4}
    return EpisodeOptions.model_validate(sizes | changes)


@given(
    seed=st.integers(0, 10_000),
    initial=st.sampled_from(["random", "stratified", "balanced"]),
    classes=st.sampled_from([None, (2, 2), (2, 4), (3, 3)]),
    size=st.integers(1, 30),
)
@settings(max_examples=60, deadline=None)
def test_every_row_comes_from_the_split_it_should(
    seed: int, initial: str, classes: tuple[int, int] | None, size: int
) -> None:
    corpus = lopsided().corpus
    asked = options(initial=initial, classes=classes, initial_size=size, pool_size=60, dev_size=30)
    try:
        draw = draw_episode([lopsided()], asked, Streams(seed))
    except ReActError:
        assert classes is not None, "without class subsets every draw succeeds"
        return
    for rows in (draw.pool, draw.dev, draw.initial, draw.classes):
        assert (np.diff(rows) > 0).all(), "ascending, each once"
    assert np.isin(draw.pool, corpus.ids("train")).all()
    assert np.isin(draw.dev, corpus.ids("dev")).all()
    assert np.isin(draw.initial, draw.pool).all()
    assert draw.initial.size == size
    assert not np.isin(corpus.ids("test"), np.concatenate([draw.pool, draw.dev])).any()
    assert np.isin(corpus.targets[np.concatenate([draw.pool, draw.dev])], draw.classes).all()
    low, high = classes or (4, 4)
    assert low <= draw.classes.size <= high
    if classes is None:
        assert (draw.pool.size, draw.dev.size) == (60, 30)


def next_by_share(counts: dict[int, int], taken: dict[int, int]) -> set[int]:
    """Classes that may come next when each advances in proportion to its share (Webster's divisors)."""
    claim = {c: (2 * taken[c] + 1) / counts[c] for c in counts if taken[c] < counts[c]}
    return {c for c, value in claim.items() if value <= min(claim.values()) + 1e-6}


def next_in_turn(counts: dict[int, int], taken: dict[int, int]) -> set[int]:
    """Classes that may come next when all advance at the same pace until they are used up."""
    left = {c: taken[c] for c in counts if taken[c] < counts[c]}
    return {c for c, value in left.items() if value == min(left.values())}


@pytest.mark.parametrize(("initial", "rule"), [("stratified", next_by_share), ("balanced", next_in_turn)])
@pytest.mark.parametrize("size", [1, 2, 4, 9, 12, 37])
def test_initial_labels_follow_their_rule(initial: str, rule: Any, size: int) -> None:
    corpus = lopsided().corpus
    for seed in range(20):
        draw = draw_episode([lopsided()], options(initial=initial, initial_size=size), Streams(seed))
        labels = corpus.targets[draw.pool]
        counts = {int(c): int((labels == c).sum()) for c in np.unique(labels)}
        goal = {c: int((corpus.targets[draw.initial] == c).sum()) for c in counts}
        # Some order of choices that the rule allows must lead to exactly these counts.
        taken = dict.fromkeys(counts, 0)
        for _ in range(size):
            open_ = [c for c in rule(counts, taken) if taken[c] < goal[c]]
            assert open_, f"seed {seed}: {goal} of {counts} breaks the rule after {taken}"
            taken[open_[0]] += 1
        assert taken == goal


def test_random_initial_labels_are_drawn_evenly_from_the_pool() -> None:
    hits = np.zeros(100)
    for seed in range(600):
        draw = draw_episode([lopsided()], options(initial_size=10), Streams(seed))
        hits[np.searchsorted(draw.pool, draw.initial)] += 1
    # 600 draws of a tenth: 60 each, with a standard deviation of about 7.3.
    assert abs(hits - 60).max() < 4 * 7.3
    assert hits.std() == pytest.approx(7.3, rel=0.25)


def test_classes_and_corpora_are_drawn_evenly() -> None:
    corpora = [synthetic_encoded(300, 5, seed=1), synthetic_encoded(300, 4, seed=2)]
    corpus_hits, class_hits, sizes = np.zeros(2), np.zeros(5), np.zeros(5)
    small = options(classes=(2, 3), pool_size=40, dev_size=20)
    for seed in range(400):
        draw = draw_episode(corpora, small, Streams(seed))
        corpus_hits[draw.corpus] += 1
        if draw.corpus == 0:
            class_hits[draw.classes] += 1
            sizes[draw.classes.size] += 1
    assert abs(corpus_hits[0] - 200) < 40
    assert abs(class_hits / corpus_hits[0] - 0.5).max() < 0.13
    assert sizes[[0, 1, 4]].sum() == 0
    assert abs(sizes[2] - sizes[3]) < 60


def test_classes_of_a_subset_are_numbered_from_zero_everywhere() -> None:
    data = lopsided()
    engine = LabelingEngine([data], options(classes=(2, 2), pool_size=60, dev_size=30, initial_size=8), 4)
    seen = set()
    for seed in range(0, 40, 4):
        engine.reset([Streams(seed + k) for k in range(4)])
        for e in range(4):
            draw = engine.draw_of(e)
            seen.add(tuple(draw.classes.tolist()))
            labels = data.corpus.targets[draw.initial]
            counts = [(labels == c).sum() for c in draw.classes]
            assert engine.view.class_counts[e].tolist() == counts
    assert len(seen) > 3


def test_a_subset_with_fewer_rows_than_asked_for_takes_what_there_is() -> None:
    data = lopsided()
    small = options(classes=(2, 2), pool_size=200, dev_size=60, initial_size=5)
    engine = LabelingEngine([data], small)
    for seed in range(30):
        try:
            engine.reset([Streams(seed)])
        except ReActError:
            continue
        draw = engine.draw_of(0)
        rows = data.corpus.ids("train")
        available = np.isin(data.corpus.targets[rows], draw.classes).sum()
        assert draw.pool.size == min(200, available)
        assert int(engine.view.available.sum()) == draw.pool.size - 5
        assert int(engine.view.progress.pool_size[0]) == draw.pool.size
        assert np.isfinite(engine.current["accuracy"]).all()


def test_a_failed_draw_leaves_the_running_episodes_alone() -> None:
    data = lopsided()
    engine = LabelingEngine([data], options(classes=(2, 2), pool_size=60, initial_size=40, budget=10), 1)

    def draws(seed: int) -> bool:
        try:
            draw_episode([data], engine.options, Streams(seed))
        except ReActError:
            return False
        return True

    good = next(seed for seed in range(100) if draws(seed))
    bad = next(seed for seed in range(100) if not draws(seed))
    engine.reset([Streams(good)])
    before, view = engine.draw_of(0), engine.view.available.clone()
    with pytest.raises(ReActError, match=r"only \d+ train and \d+ dev rows; use larger class subsets"):
        engine.reset([Streams(bad)])
    assert engine.draw_of(0) is before
    np.testing.assert_array_equal(engine.view.available, view)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"pool_size": 1000},
            "pool_size 1000 is larger than the 229 train rows of corpus 'synthetic'; use at most",
        ),
        (
            {"dev_size": 1000},
            "dev_size 1000 is larger than the 76 dev rows of corpus 'synthetic'; use at most 76",
        ),
        ({"classes": (2, 9)}, "A subset of 9 classes is asked of corpus 'synthetic', which has 4"),
        ({"budget": 89.0}, r"budget 89 is larger than the cost of the whole pool .*\(88 cost units\)"),
    ],
)
def test_episodes_that_do_not_fit_are_refused_before_they_start(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ReActError, match=sentence):
        LabelingEngine([lopsided()], options(**changes))


def test_the_largest_sizes_that_fit_are_accepted() -> None:
    corpus = lopsided().corpus
    train, dev = corpus.ids("train").size, corpus.ids("dev").size
    check_fit(corpus, options(pool_size=train, dev_size=dev, budget=float(train - 12)))
    engine = LabelingEngine([lopsided()], options(pool_size=train, dev_size=dev, budget=float(train - 12)))
    engine.reset([Streams(0)])
    np.testing.assert_array_equal(engine.draw_of(0).pool, corpus.ids("train"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"initial_size": 100}, "leaves nothing to query in a pool of 100"),
        ({"batch_size": 89}, "batch_size 89 is larger than the 88 unlabelled rows"),
        ({"classes": (3, 2)}, "2 <= smallest <= largest"),
        ({"classes": (1, 2)}, "greater than or equal to 2"),
        ({"budget": 0}, "greater than 0"),
        ({"label_noise": 1.0}, "less than 1"),
        ({"pool": 5}, "not permitted"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        options(**changes)


def test_the_streams_of_a_draw_are_pool_and_initial_only() -> None:
    touched, untouched = Streams(3), Streams(3)
    draw_episode([lopsided()], options(), touched)
    for name in ("oracle", "learner", "strategy", "policy"):
        one: npt.NDArray[np.float64] = getattr(touched, name).random(4)
        assert one.tolist() == getattr(untouched, name).random(4).tolist()
