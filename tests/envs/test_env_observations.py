"""The context observation: finite, in its space, the same numbers for the same pool however it is ordered."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.envs import CONTEXT, ContextObservation, make_observation
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import Draw, EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=50, dev_size=30, initial_size=6, budget=44, batch_size=4)
PLACE = {name: place for place, name in enumerate(CONTEXT)}


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    return tuple(synthetic_encoded(250, size, seed=size) for size in (2, 4, 18))


def engine_of(n: int, options: EpisodeOptions = OPTIONS, *data: EncodedCorpus) -> LabelingEngine:
    engine = LabelingEngine(data or corpora(), options, n)
    engine.reset([Streams(k) for k in range(n)])
    return engine


def play(engine: LabelingEngine, rounds: int, strategy: str = "random") -> None:
    for _ in range(rounds):
        engine.step(make_strategy(strategy).select(engine.view, engine.options.batch_size))


@pytest.mark.parametrize("initial_size", [0, 1, 6])
@pytest.mark.parametrize("abstention", [0.0, 0.9])
def test_it_is_finite_and_in_its_space_from_the_first_round_to_the_empty_pool(
    initial_size: int, abstention: float
) -> None:
    options = OPTIONS.model_copy(update={"initial_size": initial_size, "abstention": abstention})
    engine, observation = engine_of(6, options), ContextObservation()
    while not engine.finished.all():
        seen = observation.observe(engine.view)
        assert seen.dtype == np.float32
        assert all(observation.space.contains(row) for row in seen)
        play(engine, 1)
    assert all(observation.space.contains(row) for row in observation.observe(engine.view))


def test_every_number_says_something() -> None:
    engine, observation = engine_of(12), ContextObservation()
    seen = []
    for _ in range(5):
        seen.append(observation.observe(engine.view))
        play(engine, 1, "mixture")
    table = np.concatenate(seen)
    assert table.shape[1] == len(CONTEXT)
    for name, column in zip(CONTEXT, table.T, strict=True):
        assert column.std() > 1e-3, name
        assert np.abs(column).max() < 5, f"{name} is not clipped on an ordinary corpus"


def test_it_does_not_depend_on_the_order_or_the_numbers_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpora()[1]
    new_id = np.random.default_rng(0).permutation(data.corpus.n_rows)
    old_id = np.argsort(new_id)
    order, base = torch.from_numpy(old_id), data.corpus
    moved = replace(
        base,
        texts=tuple(base.texts[i] for i in old_id),
        targets=base.targets[old_id],
        split=base.split[old_id],
        cost=base.cost[old_id],
    )
    twin = EncodedCorpus(moved, data.embeddings[order], data.density[order], data.cost[order])
    one = engine_of(1, OPTIONS, data)
    draw = one.draw_of(0)
    renumbered = Draw(
        0, draw.classes, np.sort(new_id[draw.pool]), np.sort(new_id[draw.dev]), np.sort(new_id[draw.initial])
    )
    monkeypatch.setattr("react_rl.simulation.draws.draw_episode", lambda *_: renumbered)
    other = engine_of(1, OPTIONS, twin)
    for _ in range(4):
        seen, theirs = (ContextObservation().observe(engine.view) for engine in (one, other))
        np.testing.assert_allclose(seen, theirs, atol=1e-3)
        ids = make_strategy("mixture").select(one.view, 4)
        one.step(ids)
        other.step(torch.from_numpy(new_id[ids.numpy()]))


def test_labels_that_were_not_bought_do_not_show() -> None:
    data = corpora()[1]
    one = engine_of(1, OPTIONS, data)
    play(one, 3, "margin")
    draw = one.draw_of(0)
    known = one.view.ids[one.view.labelled].numpy()
    hidden = np.setdiff1d(np.arange(250), np.concatenate([known, draw.dev]))
    targets = data.corpus.targets.copy()
    targets[hidden] = (targets[hidden] + 1) % 4
    changed = EncodedCorpus(
        replace(data.corpus, targets=targets),
        data.embeddings,
        data.density,
        data.cost,
    )
    other = engine_of(1, OPTIONS, changed)
    play(other, 3, "margin")
    seen, theirs = (ContextObservation().observe(engine.view) for engine in (one, other))
    np.testing.assert_array_equal(seen, theirs)


def test_neighbours_in_the_batch_do_not_show() -> None:
    together = LabelingEngine(corpora(), OPTIONS, 3)
    together.reset([Streams(k) for k in range(3)], corpora=[0, 2, 1])
    play(together, 2, "mixture")
    seen = ContextObservation().observe(together.view)
    for e, corpus in enumerate((0, 2, 1)):
        alone = LabelingEngine(corpora()[corpus : corpus + 1], OPTIONS, 1)
        alone.reset([Streams(e)], corpora=[0])
        play(alone, 2, "mixture")
        if alone.draw_of(0).pool.tolist() == together.draw_of(e).pool.tolist():
            np.testing.assert_allclose(ContextObservation().observe(alone.view)[0], seen[e], atol=1e-3)
        else:
            pytest.fail("an episode on a named corpus depends on the other corpora of the engine")


def test_the_numbers_mean_what_they_are_called() -> None:
    engine = engine_of(4, OPTIONS)
    play(engine, 3, "mixture")
    view, seen = engine.view, ContextObservation().observe(engine.view)
    for e in range(4):
        free = view.available[e].numpy()
        n_classes = engine.draw_of(e).classes.size
        margin = view.margin[e].double().numpy()[free]
        density = view.density[e].double().numpy()[free]
        near = view.nearest_labelled[e].double().numpy()[free]
        p = view.probabilities[e].double().numpy()[:n_classes, free]
        labels = engine.corpus_of(e).corpus.targets[view.ids[e][view.labelled[e]].numpy()]
        bought = np.bincount(labels, minlength=n_classes) / labels.size
        accuracy = engine.current["accuracy"][e]
        average = p.mean(1)
        expected = {
            "share of the budget spent": 12 / 44,
            "rounds left, log scale": np.log1p(32 / 4) / 4,
            "number of classes, log scale": np.log(n_classes) / 4,
            "labels for each class, log scale": np.log1p(18 / n_classes) / 4,
            "dev metric above chance": (accuracy - 1 / n_classes) / (1 - 1 / n_classes),
            "mean margin of the pool": margin.mean(),
            "deviation of the margin": margin.std(),
            "share of the pool with a margin below 0.1": (margin < 0.1).mean(),
            "mean entropy of the pool, over log C": -(p * np.log(p)).sum(0).mean() / np.log(n_classes),
            "balance of the bought labels (entropy over log C)": -sum(s * np.log(s) for s in bought if s > 0)
            / np.log(n_classes),
            "balance of the predicted classes (entropy over log C)": -(average * np.log(average)).sum()
            / np.log(n_classes),
            "mean similarity to the nearest labelled row": near.mean(),
            "deviation of that similarity": near.std() * 4,
            "mean density of the pool": density.mean(),
            "deviation of the density": density.std() * 4,
            "correlation of uncertainty and density": np.corrcoef(-margin, density)[0, 1],
            "correlation of uncertainty and novelty": np.corrcoef(-margin, -near)[0, 1],
            "correlation of density and novelty": np.corrcoef(density, -near)[0, 1],
            "labelled nearest neighbours of one class, above chance": agreement(engine, e)
            - (bought**2).sum(),
            "mean probability of the bought labels under the model": fit(engine, e),
        }
        for name, value in expected.items():
            assert seen[e, PLACE[name]] == pytest.approx(value, abs=2e-3), name


def agreement(engine: LabelingEngine, e: int) -> float:
    data, rows = engine.corpus_of(e), engine.view.ids[e][engine.view.labelled[e]].numpy()
    vectors, labels = data.embeddings.double().numpy()[rows], data.corpus.targets[rows]
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return float((labels[similarity.argmax(1)] == labels).mean())


def fit(engine: LabelingEngine, e: int) -> float:
    view = engine.view
    columns = np.flatnonzero(view.labelled[e].numpy())
    labels = engine.corpus_of(e).corpus.targets[view.ids[e].numpy()[columns]]
    return float(view.probabilities[e].double().numpy()[labels, columns].mean())


def test_gains_are_those_of_the_dev_metric() -> None:
    engine, observation = engine_of(2), ContextObservation()
    start = engine.current["accuracy"].copy()
    play(engine, 2, "mixture")
    before = engine.current["accuracy"].copy()
    play(engine, 1, "mixture")
    seen, now = observation.observe(engine.view), engine.current["accuracy"]
    np.testing.assert_allclose(
        seen[:, PLACE["dev metric gained since the start"]], (now - start) * 2, atol=1e-5
    )
    np.testing.assert_allclose(
        seen[:, PLACE["dev metric gained in the last round"]], (now - before) * 10, atol=1e-5
    )


def test_it_is_built_by_name_and_describes_itself() -> None:
    described = make_observation("context").describe()
    assert described["name"] == "context"
    assert described["numbers"] == len(CONTEXT) == len(set(CONTEXT))


def test_what_is_shown_is_the_metric_asked_for_whatever_else_is_measured() -> None:
    shown = []
    for metrics in (("accuracy", "log_loss"), ("log_loss", "accuracy")):
        engine = LabelingEngine([synthetic_encoded()], OPTIONS, 3, metrics)
        engine.reset([Streams(k) for k in range(3)])
        engine.step(make_strategy("margin").select(engine.view, 4))
        shown.append({m: ContextObservation(m).observe(engine.view) for m in metrics})
    for metric in ("accuracy", "log_loss"):
        np.testing.assert_array_equal(shown[0][metric], shown[1][metric])
    differ = (shown[0]["accuracy"] != shown[0]["log_loss"]).any(0)
    assert np.flatnonzero(differ).tolist() == [4, 5, 6]


def test_a_falling_log_loss_is_shown_as_a_gain_between_chance_and_perfect() -> None:
    engine = LabelingEngine([synthetic_encoded()], OPTIONS, 4, ("log_loss",))
    engine.reset([Streams(k) for k in range(4)])
    start = engine.current["log_loss"].copy()
    for _ in range(4):
        engine.step(make_strategy("margin").select(engine.view, 4))
    level, gained = ContextObservation("log_loss").observe(engine.view)[:, 4:6].T
    loss = engine.current["log_loss"]
    np.testing.assert_allclose(level, 1 - loss / np.log(3), rtol=1e-5)
    np.testing.assert_allclose(gained, 2 * (start - loss), rtol=1e-4, atol=1e-6)
    assert gained.mean() > 0


def test_an_observation_of_a_metric_that_is_not_measured_or_has_no_chance_is_refused() -> None:
    engine = LabelingEngine([synthetic_encoded()], OPTIONS, 1, ("log_loss",))
    engine.reset([Streams(0)])
    with pytest.raises(ReActError, match="only log_loss are measured"):
        ContextObservation().observe(engine.view)
    with pytest.raises(ReActError, match="has no value of chance; use one of accuracy, macro_f1, log_loss"):
        ContextObservation("expected_calibration_error")
    with pytest.raises(ReActError, match="Did you mean 'log_loss'"):
        make_observation("context", "logloss")
