"""Rounds of the labelling loop: which rows are bought, what is charged, and what is refused.

A plain re-simulation with sets, on the corpus's own ids, stands beside the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize

from react_rl.acquisition import make_strategy, suited
from react_rl.errors import ReActError
from react_rl.learners import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, Round, synthetic_encoded

SMALL = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=20, batch_size=4)
EXACT = SoftmaxSettings(tolerance=1e-6, max_steps=2000)


@cache
def encoded(n_classes: int = 3, priced: bool = False) -> EncodedCorpus:
    """A corpus of 300 rows whose row costs are one, or drawn between .5 and 4."""
    made = synthetic_encoded(300, n_classes, seed=n_classes)
    cost = np.random.default_rng(n_classes).uniform(0.5, 4.0, 300) if priced else np.ones(300)
    corpus = replace(made.corpus, name=f"classes-{n_classes}", cost=cost)
    return replace(made, corpus=corpus, cost=torch.from_numpy(cost))


def engine_on(
    *corpora: EncodedCorpus, n: int = 1, options: EpisodeOptions = SMALL, **settings: Any
) -> LabelingEngine:
    return LabelingEngine(corpora or [encoded()], options, n, **settings)


def seeds(*numbers: int) -> list[Streams]:
    return [Streams(number) for number in numbers]


def rounds_of(engine: LabelingEngine, strategy: str = "margin") -> Iterator[Round]:
    while not engine.finished.all():
        yield engine.step(make_strategy(strategy).select(engine.view, engine.options.batch_size))


def bought(rounds: list[Round], episode: int) -> list[int]:
    return [int(i) for r in rounds for i in r.ids[episode] if i >= 0]


def ids_where(engine: LabelingEngine, mask: torch.Tensor, episode: int) -> set[int]:
    return set(engine.view.ids[episode][mask[episode]].tolist())


def fitted_dev_loss(engine: LabelingEngine, episode: int, known: list[int]) -> tuple[float, float]:
    """Accuracy and log-loss on the dev rows of a model that scipy trains on the rows ``known``."""
    data, draw = engine.corpus_of(episode), engine.draw_of(episode)
    settings = engine.view.linear_settings
    assert settings is not None
    vectors = data.embeddings.numpy().astype(np.float64)
    rows = np.concatenate([vectors, np.full((len(vectors), 1), settings.bias)], axis=1)
    targets = np.searchsorted(draw.classes, data.corpus.targets)
    n_classes = draw.classes.size
    onehot = np.eye(n_classes)[targets[known]]

    def log_chances(flat: npt.NDArray[np.float64], chosen: Any) -> npt.NDArray[np.float64]:
        logits = rows[chosen] @ flat.reshape(n_classes, -1).T
        logits = logits - logits.max(1, keepdims=True)
        result: npt.NDArray[np.float64] = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return result

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logs = log_chances(flat, known)
        value = -(logs * onehot).sum() + settings.l2 / 2 * (flat**2).sum()
        slope = (np.exp(logs) - onehot).T @ rows[known] + settings.l2 * flat.reshape(n_classes, -1)
        return float(value), slope.ravel()

    start = np.zeros(n_classes * rows.shape[1])
    weights = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x
    logs = log_chances(weights, draw.dev)
    right = targets[draw.dev]
    accuracy = float((logs.argmax(1) == right).mean())
    return accuracy, float(-logs[np.arange(right.size), right].mean())


@pytest.mark.parametrize("classes", [None, (2, 2)])
def test_the_rows_that_are_asked_for_are_bought_and_no_others(classes: tuple[int, int] | None) -> None:
    corpora = [encoded(2), encoded(3), encoded(5)]
    options = SMALL.model_copy(update={"classes": classes})
    engine = engine_on(*corpora, n=5, options=options, metrics=("log_loss", "accuracy"), learner=EXACT)
    engine.reset(seeds(0, 1, 2, 3, 4), corpora=[0, 1, 2, 1, 2])
    rng = np.random.default_rng(0)
    draws = [engine.draw_of(e) for e in range(5)]
    known = [set(draw.initial.tolist()) for draw in draws]
    while not engine.finished.all():
        batch = []
        for e, draw in enumerate(draws):
            free = set(draw.pool.tolist()) - known[e]
            assert ids_where(engine, engine.view.available, e) == free
            assert ids_where(engine, engine.view.labelled, e) == known[e]
            batch.append(rng.choice(sorted(free), 4, replace=False))
        result = engine.step(torch.from_numpy(np.stack(batch)))
        np.testing.assert_array_equal(result.ids, batch)
        for e, draw in enumerate(draws):
            known[e] |= set(batch[e].tolist())
            targets = engine.corpus_of(e).corpus.targets[sorted(known[e])]
            counts = [int((targets == c).sum()) for c in draw.classes]
            assert engine.view.class_counts[e, : draw.classes.size].tolist() == counts
            assert engine.labels[e] == len(known[e])
    for e in range(5):
        accuracy, log_loss = fitted_dev_loss(engine, e, sorted(known[e]))
        assert engine.current["log_loss"][e] == pytest.approx(log_loss, abs=1e-3)
        assert engine.current["accuracy"][e] == pytest.approx(accuracy, abs=1.01 / 40)


def snapshot(engine: LabelingEngine) -> list[npt.NDArray[Any]]:
    view = engine.view
    state = [view.available, view.labelled, view.logits, view.nearest_labelled, view.class_counts]
    counters = [engine.spent, engine.rounds, engine.labels, engine.finished, engine.current["accuracy"]]
    return [tensor.numpy().copy() for tensor in state] + [array.copy() for array in counters]


def test_a_step_takes_lists_and_arrays_of_ids() -> None:
    rounds = []
    for kind in (torch.Tensor.clone, torch.Tensor.tolist, torch.Tensor.numpy):
        engine = engine_on(n=2)
        engine.reset(seeds(0, 1))
        rounds.append(engine.step(kind(make_strategy("margin").select(engine.view, 4))))
    for other in rounds[1:]:
        assert np.array_equal(other.ids, rounds[0].ids)
        assert np.array_equal(other.metrics["accuracy"], rounds[0].metrics["accuracy"])


@pytest.mark.parametrize(
    "wrong", ["train row outside the pool", "dev", "test", "initial", "bought", "twice", "no row", "largest"]
)
def test_a_wrong_id_is_refused_and_nothing_changes(wrong: str) -> None:
    engine, untouched = engine_on(n=2), engine_on(n=2)
    for one in (engine, untouched):
        one.reset(seeds(0, 1))
        first = one.step(make_strategy("margin").select(one.view, 4))
    draw, data = engine.draw_of(1), engine.corpus_of(1).corpus
    free = make_strategy("margin").select(engine.view, 4)
    bad = {
        "train row outside the pool": np.setdiff1d(data.ids("train"), draw.pool)[0],
        "dev": draw.dev[0],
        "test": data.ids("test")[0],
        "initial": draw.initial[0],
        "bought": first.ids[1][0],
        "twice": free[1][0],
        "no row": 300,
        "largest": torch.iinfo(torch.int64).max,
    }[wrong]
    ids = free.clone()
    ids[1, 2] = int(bad)
    before = snapshot(engine)
    with pytest.raises(ReActError, match="twice" if wrong == "twice" else f"Row id {int(bad)} .*episode 1"):
        engine.step(ids)
    for now, then in zip(snapshot(engine), before, strict=True):
        np.testing.assert_array_equal(now, then)
    for now_, then_ in zip(rounds_of(engine), rounds_of(untouched), strict=True):
        np.testing.assert_array_equal(now_.ids, then_.ids)
        np.testing.assert_array_equal(now_.metrics["accuracy"], then_.metrics["accuracy"])


def test_an_id_of_another_episodes_pool_is_refused() -> None:
    engine = engine_on(n=2)
    engine.reset(seeds(0, 1))
    ids = make_strategy("margin").select(engine.view, 4)
    foreign = np.setdiff1d(engine.draw_of(0).pool, engine.draw_of(1).pool)
    ids[1, 0] = int(foreign[0])
    with pytest.raises(ReActError, match="episode 1"):
        engine.step(ids)


def relabelled(data: EncodedCorpus, rows: npt.NDArray[np.int64]) -> EncodedCorpus:
    targets = data.corpus.targets.copy()
    targets[rows] = (targets[rows] + 1) % data.corpus.n_classes
    # The same tensors: building it again would scale the embeddings once more and change their last bits.
    return replace(data, corpus=replace(data.corpus, targets=targets))


@pytest.mark.parametrize("strategy", sorted(suited()))
def test_labels_that_were_not_bought_reach_nobody(strategy: str) -> None:
    first = engine_on(n=2)
    first.reset(seeds(5, 6))
    rounds = list(rounds_of(first, strategy))
    used = [{*bought(rounds, e), *first.draw_of(e).initial, *first.draw_of(e).dev} for e in range(2)]
    never = np.setdiff1d(np.arange(300), sorted(used[0] | used[1]))
    second = engine_on(relabelled(encoded(), never), n=2)
    second.reset(seeds(5, 6))
    for then in rounds:
        ids = make_strategy(strategy).select(second.view, 4)
        now = second.step(ids)
        np.testing.assert_array_equal(now.ids, then.ids)
        np.testing.assert_array_equal(now.metrics["accuracy"], then.metrics["accuracy"])
    for name in ("logits", "probabilities", "margin", "nearest_labelled", "class_counts", "density"):
        assert torch.equal(getattr(first.view, name), getattr(second.view, name)), name


def test_labels_that_were_bought_do_matter() -> None:
    first = engine_on()
    first.reset(seeds(5))
    rounds = list(rounds_of(first))
    second = engine_on(relabelled(encoded(), np.array(bought(rounds, 0)[:4])))
    second.reset(seeds(5))
    for then in rounds:
        second.step(torch.from_numpy(then.ids))
    assert not torch.equal(first.view.class_counts, second.view.class_counts)
    assert not torch.equal(first.view.logits, second.view.logits)


@pytest.mark.parametrize("strategy", ["random", "margin", "mixture"])
def test_a_uniform_budget_is_spent_to_the_last_label_it_can_pay(strategy: str) -> None:
    engine = engine_on(n=3, options=SMALL.model_copy(update={"budget": 18.0}))
    engine.reset(seeds(0, 1, 2))
    rounds = list(rounds_of(engine, strategy))
    for e in range(3):
        assert [int((r.ids[e] >= 0).sum()) for r in rounds] == [4, 4, 4, 4, 2]
        assert len(set(bought(rounds, e))) == 18
    assert engine.spent.tolist() == [18.0] * 3
    assert [r.finished.all() for r in rounds] == [False] * 4 + [True]


@pytest.mark.parametrize("strategy", ["random", "margin", "k-center"])
def test_rows_with_prices_are_bought_in_order_as_long_as_each_fits(strategy: str) -> None:
    engine = engine_on(encoded(3, priced=True), encoded(2), n=4, metrics=("log_loss",))
    engine.reset(seeds(0, 1, 2, 3), corpora=[0, 0, 1, 0])
    spent, owned = np.zeros(4), [set(engine.draw_of(e).initial.tolist()) for e in range(4)]
    while not engine.finished.all():
        finished, asked = engine.finished.copy(), make_strategy(strategy).select(engine.view, 4)
        affordable = engine.view.available.clone()
        result = engine.step(asked)
        for e in range(4):
            cost = engine.corpus_of(e).corpus.cost
            free = set(engine.draw_of(e).pool.tolist()) - owned[e]
            can_pay = {i for i in free if cost[i] <= 20 - spent[e] + 1e-9} if not finished[e] else set()
            assert ids_where(engine, affordable, e) == can_pay
            expected, before = [], spent[e]
            for i in asked[e].tolist():
                fits = i >= 0 and not finished[e] and spent[e] + cost[i] <= 20 + 1e-9
                expected.append(i if fits else -1)
                spent[e] += cost[i] if fits else 0.0
            assert result.ids[e].tolist() == expected
            assert result.cost[e] == pytest.approx(spent[e] - before)
            owned[e] |= set(expected) - {-1}
            left = set(engine.draw_of(e).pool.tolist()) - owned[e]
            assert result.finished[e] == all(spent[e] + cost[i] > 20 + 1e-9 for i in left)
    np.testing.assert_allclose(engine.spent, spent)
    assert (spent <= 20 + 1e-9).all()
    assert (spent > 20 - 1.0).all()


def test_episodes_end_one_by_one_and_those_that_ended_stay_as_they_were() -> None:
    engine = engine_on(encoded(3, priced=True), n=6)
    engine.reset(seeds(*range(6)))
    last: dict[int, tuple[float, float, int]] = {}
    lengths = []
    for result in rounds_of(engine, "random"):
        lengths.append(int(result.finished.sum()))
        for e in range(6):
            now = (float(engine.spent[e]), float(result.metrics["accuracy"][e]), int(engine.labels[e]))
            if e in last:
                assert (result.ids[e] == -1).all()
                assert now == last[e]
            elif result.finished[e]:
                last[e] = now
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 2
    assert engine.rounds.min() < engine.rounds.max()


def test_a_stopped_episode_buys_nothing_more_and_its_neighbours_play_on() -> None:
    engine = engine_on(n=3)
    engine.reset(seeds(0, 1, 2))
    before = engine.step(make_strategy("margin").select(engine.view, 4))
    asked = make_strategy("margin").select(engine.view, 4)
    engine.stop(np.array([False, True, False]))
    assert engine.finished.tolist() == [False, True, False]
    assert not engine.view.available[1].any()
    after = engine.step(asked)
    assert (after.ids[1] == -1).all()
    assert after.cost.tolist() == [4.0, 0.0, 4.0]
    assert after.metrics["accuracy"][1] == before.metrics["accuracy"][1]
    assert engine.rounds.tolist() == [2, 1, 2]


@pytest.mark.parametrize("strategy", sorted(suited()))
def test_an_exhausted_pool_ends_the_episode(strategy: str) -> None:
    options = EpisodeOptions(pool_size=16, dev_size=20, initial_size=3, budget=13, batch_size=5)
    engine = engine_on(n=2, options=options)
    engine.reset(seeds(0, 1))
    rounds = list(rounds_of(engine, strategy))
    assert [(r.ids >= 0).sum(1).tolist() for r in rounds] == [[5, 5], [5, 5], [3, 3]]
    for e in range(2):
        draw = engine.draw_of(e)
        assert sorted(bought(rounds, e)) == np.setdiff1d(draw.pool, draw.initial).tolist()
    assert not engine.view.available.any()
    assert (make_strategy(strategy).select(engine.view, 4) == -1).all()


def test_a_round_without_a_purchase_charges_nothing() -> None:
    engine = engine_on()
    engine.reset(seeds(0))
    before = snapshot(engine)
    result = engine.step(torch.full((1, 4), -1))
    assert result.cost.tolist() == [0.0]
    assert not result.finished.any()
    np.testing.assert_array_equal(engine.view.available.numpy(), before[0])
    assert engine.labels.tolist() == [6]


def test_noise_and_abstention_come_at_their_rates_and_abstentions_are_charged() -> None:
    options = EpisodeOptions(
        pool_size=150,
        dev_size=40,
        initial_size=10,
        budget=140,
        batch_size=20,
        label_noise=0.2,
        abstention=0.3,
    )
    engine = engine_on(encoded(5), n=12, options=options)
    engine.reset(seeds(*range(12)))
    initial = engine.view.class_counts.sum(1).tolist()
    assert initial == [10.0] * 12
    rounds = list(rounds_of(engine, "random"))
    assert engine.spent.tolist() == [140.0] * 12
    answered = engine.labels - 10
    assert abs(answered.sum() / (12 * 140) - 0.7) < 0.04
    _, onehot, live = engine.view.labelled_geometry
    wrong = total = 0
    for e in range(12):
        rows = [*engine.draw_of(e).initial.tolist(), *bought(rounds, e)]
        for slot, row in enumerate(rows):
            if live[e, slot]:
                total += 1
                wrong += int(onehot[e, :, slot].argmax()) != engine.corpus_of(e).corpus.targets[row]
    assert total == engine.labels.sum()
    assert abs(wrong / total - 0.2) < 0.04


def test_the_oracle_answers_the_same_whoever_asks_and_whenever() -> None:
    options = SMALL.model_copy(update={"label_noise": 0.4, "abstention": 0.2, "budget": 54.0})
    counts = []
    for strategy in ("random", "margin"):
        engine = engine_on(options=options)
        engine.reset(seeds(3))
        list(rounds_of(engine, strategy))
        counts.append(engine.view.class_counts)
    assert torch.equal(counts[0], counts[1])


def test_no_classification_corpus_no_episode() -> None:
    with pytest.raises(ReActError, match="at least one corpus"):
        LabelingEngine([], SMALL)


def test_corpora_of_two_dimensions_do_not_share_an_engine() -> None:
    other = EncodedCorpus.build(encoded().corpus, np.eye(300, 20, dtype=np.float32) + 0.1)
    with pytest.raises(ReActError, match=r"one dimension, found \[16, 20\]"):
        engine_on(encoded(), other)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ReActError, match="Did you mean 'accuracy'"):
        engine_on(metrics=("acuracy",))


@pytest.mark.parametrize(
    ("streams", "message"),
    [([Streams(0)], "2 episodes begin with 1 of Streams"), ([0, 1], "2 episodes begin with 2 of int")],
    ids=["too few", "seeds"],
)
def test_what_is_no_stream_for_each_episode_is_refused(streams: list[Any], message: str) -> None:
    engine = LabelingEngine([synthetic_encoded()], EpisodeOptions(pool_size=50, dev_size=30, budget=20), 2)
    with pytest.raises(ReActError, match=message):
        engine.reset(streams)


def test_an_episode_that_was_never_reset_says_so() -> None:
    with pytest.raises(ReActError, match="never reset"):
        engine_on().draw_of(0)


def test_an_engine_shows_itself_in_one_line() -> None:
    options = EpisodeOptions(pool_size=50, dev_size=30, budget=20)
    engine = LabelingEngine([synthetic_encoded()], options, 2)
    assert repr(engine).startswith("LabelingEngine(2 episodes on synthetic, ")
