"""The oracles try batches on copies of the learners and buy the best, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import STRATEGIES, make_strategy
from react_rl.acquisition.references import REFERENCES, BossOracle, GreedyOracle, LooksAtLabels
from react_rl.errors import ReActError
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded, synthetic_tagged
from react_rl.simulation.play import play
from react_rl.simulation.with_answers import values_with_answers

Oracle = GreedyOracle | BossOracle
both = pytest.mark.parametrize("make", [GreedyOracle, lambda: BossOracle(candidates=20)])
OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=5, budget=20, batch_size=4)


def started(n_episodes: int = 3, rounds: int = 0, metric: str = "accuracy") -> LabelingEngine:
    data = [synthetic_encoded(300, size, seed=size) for size in (2, 5)]
    engine = LabelingEngine(data, OPTIONS, n_episodes, (metric,))
    engine.reset([Streams(k) for k in range(n_episodes)])
    for _ in range(rounds):
        engine.step(make_strategy("random").select(engine.view, 4))
    return engine


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_a_trial_tells_the_metric_that_buying_the_batch_brings(metric: str) -> None:
    names = ("random", "margin", "typicality")
    ids = torch.stack([make_strategy(name).select(started(rounds=2).view, 4) for name in names], 1)
    told = values_with_answers(started(rounds=2, metric=metric), ids)
    for k in range(len(names)):
        engine = started(rounds=2, metric=metric)
        np.testing.assert_allclose(told[:, k], engine.step(ids[:, k].contiguous()).metrics[metric], atol=1e-6)
    assert len(np.unique(told)) > 3


def test_a_trial_in_small_pieces_is_the_same_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.stack([make_strategy("random").select(started(rounds=2).view, 4) for _ in range(5)], 1)
    whole = values_with_answers(started(rounds=2, metric="log_loss"), ids)
    monkeypatch.setattr("react_rl.simulation.trials._SCRATCH", 1)
    np.testing.assert_allclose(
        values_with_answers(started(rounds=2, metric="log_loss"), ids), whole, atol=1e-6
    )


def test_a_trial_changes_nothing() -> None:
    engine, other = started(rounds=1), started(rounds=1)
    before = engine.learner.logits_of(slice(None)).clone()
    values_with_answers(
        engine, torch.stack([make_strategy("random").select(started(rounds=1).view, 4)] * 3, 1)
    )
    assert torch.equal(engine.learner.logits_of(slice(None)), before)
    assert engine.spent.tolist() == other.spent.tolist()
    ids = make_strategy("random").select(other.view, 4)
    assert engine.step(ids).metrics["accuracy"].tolist() == other.step(ids).metrics["accuracy"].tolist()
    assert torch.equal(engine.learner.logits_of(slice(None)), other.learner.logits_of(slice(None)))


def tried_by(oracle: Oracle, engine: LabelingEngine) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidate batches ``(E, K, 4)`` of one round and the batch that was chosen ``(E, 4)``."""
    tried: list[torch.Tensor] = []

    def noted(engine: LabelingEngine, ids: torch.Tensor) -> npt.NDArray[np.float64]:
        tried.append(ids)
        return values_with_answers(engine, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("react_rl.acquisition.references.values_with_answers", noted)
        chosen = oracle.bind(engine).select(engine.view, 4)
    return tried[0], chosen


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_greedy_oracle_buys_the_best_of_its_candidates(metric: str) -> None:
    proposers = ("margin", "typicality", "mixture")
    engine = started(rounds=1, metric=metric)
    proposed = torch.stack(
        [make_strategy(n).select(started(rounds=1, metric=metric).view, 4) for n in proposers], 1
    )
    values = values_with_answers(engine, proposed)
    best = values.max(1) if metric == "accuracy" else values.min(1)
    oracle = GreedyOracle(candidates=3, strategies=proposers).bind(engine)
    found = engine.step(oracle.select(engine.view, 4)).metrics[metric]
    np.testing.assert_allclose(found, best, atol=1e-6)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_boss_buys_the_best_of_its_candidates(metric: str) -> None:
    engine = started(rounds=1, metric=metric)
    tried, chosen = tried_by(BossOracle(candidates=15), engine)
    assert tried.shape == (3, 15, 4)
    values = values_with_answers(engine, tried)
    best = values.max(1) if metric == "accuracy" else values.min(1)
    np.testing.assert_allclose(engine.step(chosen).metrics[metric], best, atol=1e-6)


def test_the_candidates_of_boss_come_from_subsets_of_all_sizes_by_strategies_in_turn() -> None:
    engine = started(3, rounds=1)
    sizes: list[list[int]] = []

    class Spy:
        name = "spy"

        def select(self, view: PoolView, n: int) -> torch.Tensor:
            sizes.append(view.available.sum(1).tolist())
            return make_strategy("margin").select(view, n)

    asked: list[str] = []

    def spy(name: str) -> Spy:
        asked.append(name)
        return Spy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("react_rl.acquisition.references.make_strategy", spy)
        oracle = BossOracle(candidates=400, strategies=("margin", "entropy"), largest=40)
        oracle.bind(engine).select(engine.view, 4)
    drawn = np.array(sizes)
    assert drawn.shape == (400, 3)
    # 60 rows less 9 labelled ones are 51 to choose from: 4 n = 16 and the largest 40 bound the subsets.
    assert (drawn.min(0).tolist(), drawn.max(0).tolist()) == ([16] * 3, [40] * 3)
    assert np.abs(drawn.mean(0) - 28).max() < 4 * np.sqrt((25**2 - 1) / 12 / 400)
    assert len({tuple(row) for row in drawn.tolist()}) > 300, "episodes draw sizes of their own"
    assert asked[-2:] == ["margin", "entropy"]


def test_more_candidates_come_from_halves_of_the_pool_and_do_not_repeat() -> None:
    tried, _ = tried_by(GreedyOracle(candidates=6, strategies=("margin",)), started(2))
    assert tried.shape == (2, 6, 4)
    for e in range(2):
        batches = {tuple(sorted(batch)) for batch in tried[e].tolist()}
        assert len(batches) > 1
        assert all(len(set(batch)) == 4 and min(batch) >= 0 for batch in batches)


@both
def test_the_oracles_play_whole_episodes_and_are_better_than_chance_on_dev(
    make: Callable[[], Oracle],
) -> None:
    finals = {}
    for name in ("random", "oracle"):
        engine = started(8)
        strategy = make().bind(engine) if name == "oracle" else make_strategy(name)
        area = np.zeros(8)
        while not engine.finished.all():
            area += engine.step(strategy.select(engine.view, 4)).metrics["accuracy"]
        assert engine.spent.tolist() == [20.0] * 8
        finals[name] = area.mean()
    assert finals["oracle"] > finals["random"]


@both
def test_the_same_seed_gives_the_same_batch_and_stopped_episodes_get_none(make: Callable[[], Oracle]) -> None:
    runs = []
    for _ in range(3):
        engine = started(3)
        engine.stop(np.array([False, True, False]))
        runs.append(make().bind(engine).select(engine.view, 4).tolist())
    assert runs == [runs[0]] * 3
    assert runs[0][1] == [-1] * 4
    assert min(runs[0][0] + runs[0][2]) >= 0


@both
def test_near_the_end_of_a_pool_every_candidate_is_as_large_as_can_be(make: Callable[[], Oracle]) -> None:
    options = OPTIONS.model_copy(update={"pool_size": 10, "budget": 5.0, "batch_size": 3})
    engine = LabelingEngine([synthetic_encoded(300, 2, seed=2)], options, 2)
    engine.reset([Streams(0), Streams(1)])
    oracle = make().bind(engine)
    while not engine.finished.all():
        engine.step(oracle.select(engine.view, 3))
    assert engine.spent.tolist() == [5.0, 5.0]


@both
def test_an_oracles_batch_does_not_depend_on_the_other_episodes(make: Callable[[], Oracle]) -> None:
    data = [synthetic_encoded(300, 5, seed=5)]
    batches = []
    for seeds in ([4, 5, 6], [5]):
        engine = LabelingEngine(data, OPTIONS, len(seeds))
        engine.reset([Streams(k) for k in seeds])
        batches.append(make().bind(engine).select(engine.view, 4).tolist())
    assert batches[0][1] == batches[1][0]


@both
def test_the_first_pick_scores_highest(make: Callable[[], Oracle]) -> None:
    engine, other = started(), started()
    scores = make().bind(engine).score(engine.view)
    ids = make().bind(other).select(other.view, OPTIONS.batch_size)
    for e in range(3):
        assert engine.view.ids[e, int(scores[e].argmax())] == ids[e, 0]
        assert int((scores[e] > 0).sum()) == OPTIONS.batch_size


def test_references_stay_out_of_the_strategies_and_need_an_engine() -> None:
    assert not set(REFERENCES) & set(STRATEGIES)
    for name, make in REFERENCES.items():
        assert make().name == name
        assert isinstance(make(), LooksAtLabels)
        with pytest.raises(ReActError, match="call bind"):
            make().select(started().view, 4)
    assert not isinstance(make_strategy("margin"), LooksAtLabels)
    with pytest.raises(ReActError, match="0 candidates"):
        GreedyOracle(candidates=0)
    with pytest.raises(ReActError, match="Did you mean 'margin'"):
        GreedyOracle(strategies=("margn",))


def test_the_greedy_oracle_looks_at_tags_too() -> None:
    options = OPTIONS.model_copy(update={"budget": 120.0})
    found = {}
    for name in ("random", "greedy-oracle"):
        engine = LabelingEngine([synthetic_tagged(300, 3)], options, 4, ["entity_f1"], TaggerSettings())
        engine.reset([Streams(k) for k in range(4)])
        chosen = make_strategy(name) if name == "random" else GreedyOracle().bind(engine)
        areas = [turn.round.metrics["entity_f1"].mean() for turn in play(engine, chosen)]
        found[name] = np.mean(areas[:4])
    assert found["greedy-oracle"] > found["random"]


def test_a_reference_needs_what_its_proposers_need() -> None:
    assert GreedyOracle().needs == {"trials"}
    assert "classes" in BossOracle().needs
