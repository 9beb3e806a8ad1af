"""Episodes side by side: each goes as it would alone, however its neighbours begin, end and restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import make_strategy, suited
from react_rl.learners import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=50, dev_size=40, initial_size=5, budget=18, batch_size=3)
CORPORA = (0, 2, 1, 2, 0, 1)
"""Corpus of each of six episodes; the corpora have 2, 3 and 6 classes."""


@cache
def world(priced: bool = False) -> tuple[EncodedCorpus, ...]:
    found = []
    for size in (2, 3, 6):
        made = synthetic_encoded(250, size, seed=size)
        cost = np.random.default_rng(size).uniform(0.5, 3.0, 250) if priced else np.ones(250)
        corpus = replace(made.corpus, name=f"classes-{size}", cost=cost)
        found.append(replace(made, corpus=corpus, cost=torch.tensor(cost)))
    return tuple(found)


@dataclass
class Trace:
    """What one episode bought and measured in each of its rounds."""

    ids: list[list[int]]
    metrics: list[tuple[float, ...]]


def play(engine: LabelingEngine, strategy: str, until: int = 1000) -> list[Trace]:
    """Play to the end (or for ``until`` rounds); rounds of an episode that is over are not traced."""
    traces = [Trace([], []) for _ in range(engine.n_episodes)]
    while not engine.finished.all() and until > 0:
        until -= 1
        over = engine.finished.copy()
        result = engine.step(make_strategy(strategy).select(engine.view, engine.options.batch_size))
        for e in np.flatnonzero(~over):
            traces[e].ids.append(result.ids[e].tolist())
            traces[e].metrics.append(tuple(float(v[e]) for v in result.metrics.values()))
    return traces


def fresh(
    n: int, options: EpisodeOptions = OPTIONS, corpora: Sequence[EncodedCorpus] | None = None, **more: Any
) -> LabelingEngine:
    return LabelingEngine(corpora or world(), options, n, metrics=("accuracy", "log_loss"), **more)


def assert_same(one: Trace, other: Trace, tolerance: float = 1e-4) -> None:
    assert one.ids == other.ids
    accuracy, log_loss = (np.array(column) for column in zip(*one.metrics, strict=True))
    accuracy_, log_loss_ = (np.array(column) for column in zip(*other.metrics, strict=True))
    np.testing.assert_allclose(log_loss, log_loss_, atol=tolerance)
    # A dev row on the border between two classes may fall to either side.
    np.testing.assert_allclose(accuracy, accuracy_, atol=0 if tolerance == 0 else 1.01 / 40)


@pytest.mark.parametrize("strategy", sorted(suited()))
def test_the_same_seeds_give_the_same_run_to_the_last_bit(strategy: str) -> None:
    runs = []
    for _ in range(2):
        engine = fresh(6, OPTIONS.model_copy(update={"label_noise": 0.1, "abstention": 0.1}))
        engine.reset([Streams(k) for k in range(6)])
        traces = play(engine, strategy)
        runs.append((traces, engine.learner.logits_of(slice(None)).clone()))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def test_other_seeds_give_other_pools_dev_sets_and_initial_labels() -> None:
    engine = fresh(2)
    engine.reset([Streams(0), Streams(1)], corpora=[0, 0])
    one, other = engine.draw_of(0), engine.draw_of(1)
    for name in ("pool", "dev", "initial"):
        assert getattr(one, name).tolist() != getattr(other, name).tolist()


@pytest.mark.parametrize("strategy", sorted(suited()))
@pytest.mark.parametrize("priced", [False, True])
def test_six_episodes_together_are_six_episodes_alone(strategy: str, priced: bool) -> None:
    together = fresh(6, corpora=world(priced))
    together.reset([Streams(k) for k in range(6)], corpora=CORPORA)
    traces = play(together, strategy)
    for e, corpus in enumerate(CORPORA):
        alone = fresh(1, corpora=world(priced))
        alone.reset([Streams(e)], corpora=[corpus])
        assert_same(traces[e], play(alone, strategy)[0])


@pytest.mark.parametrize("strategy", sorted(suited()))
def test_a_restart_in_the_middle_is_a_fresh_run_and_disturbs_nobody(strategy: str) -> None:
    engine, undisturbed = fresh(6), fresh(6)
    for one in (engine, undisturbed):
        one.reset([Streams(k) for k in range(6)], corpora=CORPORA)
    before, calm = play(engine, strategy, until=2), play(undisturbed, strategy)
    engine.reset([Streams(71), Streams(74)], episodes=[1, 4], corpora=[0, 2])
    assert engine.spent.tolist() == [6, 0, 6, 6, 0, 6]
    assert engine.rounds.tolist() == [2, 0, 2, 2, 0, 2]
    after = play(engine, strategy)
    for e in (0, 2, 3, 5):
        assert_same(Trace(before[e].ids + after[e].ids, before[e].metrics + after[e].metrics), calm[e])
    for e, seed, corpus in ((1, 71, 0), (4, 74, 2)):
        alone = fresh(1)
        alone.reset([Streams(seed)], corpora=[corpus])
        assert_same(after[e], play(alone, strategy)[0])


def test_restarted_episodes_leave_the_view_of_the_others_untouched_bit_for_bit() -> None:
    engine = fresh(6)
    engine.reset([Streams(k) for k in range(6)], corpora=CORPORA)
    play(engine, "margin", until=2)
    others = [0, 2, 3, 5]
    names = ("ids", "available", "labelled", "cost", "density", "logits", "nearest_labelled", "class_counts")
    before = {name: getattr(engine.view, name)[others].clone() for name in names}
    engine.reset([Streams(71), Streams(74)], episodes=[1, 4])
    for name in names:
        assert torch.equal(getattr(engine.view, name)[others], before[name]), name


@pytest.mark.parametrize("order", [[2, 0], [1, 2, 0], [2, 1, 0]])
def test_episodes_may_be_reset_in_any_order(order: list[int]) -> None:
    engine, sorted_ = fresh(3), fresh(3)
    for one in (engine, sorted_):
        one.reset([Streams(k) for k in range(3)], corpora=[0, 1, 2])
    streams, corpora = {0: 50, 1: 51, 2: 52}, {0: 2, 1: 0, 2: 1}
    engine.reset([Streams(streams[e]) for e in order], order, [corpora[e] for e in order])
    for e in order:
        sorted_.reset([Streams(streams[e])], [e], [corpora[e]])
    np.testing.assert_allclose(engine.view.logits, sorted_.view.logits, atol=1e-5)
    assert torch.equal(engine.view.class_counts, sorted_.view.class_counts)
    for trace, expected in zip(play(engine, "margin"), play(sorted_, "margin"), strict=True):
        assert_same(trace, expected)


@pytest.mark.parametrize("strategy", sorted(suited()))
def test_inner_products_made_on_the_fly_give_the_same_rows_as_those_kept(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = []
    for limit in (4096, 0, 260):
        monkeypatch.setattr("react_rl.simulation.encoded.GRAM_ROWS", limit)
        bigger = synthetic_encoded(300, 4, seed=9)
        corpora = [bigger, *(replace(one) for one in world())]  # copies, without what was computed for them
        # With a limit of 260 one corpus of the engine has a table and the others have none.
        assert [one.gram is not None for one in corpora] == [limit >= 300] + [limit >= 250] * 3
        engine = fresh(6, corpora=corpora)
        engine.reset([Streams(k) for k in range(6)], corpora=[0, 1, 2, 3, 0, 1])
        head = play(engine, strategy, until=2)
        engine.reset([Streams(9)], episodes=[2], corpora=[0])
        tail = play(engine, strategy)
        traces.append([Trace(a.ids + b.ids, a.metrics + b.metrics) for a, b in zip(head, tail, strict=True)])
    for other in traces[1:]:
        for one, two in zip(traces[0], other, strict=True):
            assert_same(one, two)


def test_a_run_leaves_the_global_random_state_alone() -> None:
    numpy_before, torch_before = str(np.random.get_state(legacy=False)), torch.get_rng_state()  # noqa: NPY002
    for strategy in suited():
        engine = fresh(3, OPTIONS.model_copy(update={"label_noise": 0.1, "initial": "stratified"}))
        engine.reset([Streams(k) for k in range(3)])
        play(engine, strategy)
    assert str(np.random.get_state(legacy=False)) == numpy_before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_every_strategy_meets_the_same_pools_dev_sets_and_initial_labels() -> None:
    draws = []
    for strategy in sorted(suited()):
        engine = fresh(3)
        engine.reset([Streams(k) for k in range(3)])
        play(engine, strategy)
        engine.reset([Streams(k) for k in range(3)])
        draws.append([engine.draw_of(e) for e in range(3)])
    for other in draws[1:]:
        for one, two in zip(draws[0], other, strict=True):
            assert one.corpus == two.corpus
            for name in ("pool", "dev", "initial", "classes"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_an_episode_that_is_over_keeps_its_model_while_others_go_on() -> None:
    engine = fresh(2, learner=SoftmaxSettings(tolerance=1e-7, max_steps=3))
    engine.reset([Streams(0), Streams(1)], corpora=[2, 2])
    play(engine, "random", until=2)
    engine.stop(np.array([True, False]))
    before: npt.NDArray[np.float32] = engine.learner.logits_of(slice(None))[0].numpy().copy()
    play(engine, "random")
    np.testing.assert_allclose(engine.learner.logits_of(slice(None))[0], before, atol=1e-5)
