"""A trained policy is a query strategy like any other, and validation measures any strategy the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.contract import QueryStrategy
from react_rl.agents import LearnedStrategy, Validation
from react_rl.envs import RewardSettings
from react_rl.envs.batched import episode_streams
from react_rl.envs.interfaces import ChooseStrategy, WeighScores
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.play import play
from react_rl.simulation.view import PoolView
from react_rl.simulation.world import World

OPTIONS = EpisodeOptions(pool_size=40, dev_size=30, initial_size=5, budget=30, batch_size=4)
DATA = [synthetic_encoded(200, size, seed=size) for size in (2, 4)]


def started(seeds: range, rounds: int = 0) -> LabelingEngine:
    engine = LabelingEngine(DATA, OPTIONS, len(seeds))
    engine.reset([Streams(seed) for seed in seeds])
    for _ in range(rounds):
        engine.step(make_strategy("random").select(engine.view, OPTIONS.batch_size))
    return engine


class Scripted:
    """Stands for a policy: always the given actions."""

    def __init__(self, actions: npt.ArrayLike) -> None:
        self.actions = np.asarray(actions)

    def predict(self, observation: npt.NDArray[np.float32], deterministic: bool) -> tuple[Any, None]:
        assert deterministic
        assert observation.shape[0] == len(self.actions)
        return self.actions, None


def scripted(actions: npt.ArrayLike, space: WeighScores | ChooseStrategy) -> LearnedStrategy:
    return LearnedStrategy("scripted", Scripted(actions), space)  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["trained", "trained_chooser"])
@pytest.mark.parametrize("rounds", [0, 3])
@pytest.mark.parametrize("n", [1, 4, 60])
def test_it_selects_available_rows_once_and_pads_with_minus_one(
    request: pytest.FixtureRequest, which: str, rounds: int, n: int
) -> None:
    strategy = LearnedStrategy.load(request.getfixturevalue(which).policy)
    view = started(range(5), rounds).view
    stopped = np.zeros(5, dtype=np.bool_)
    if isinstance(strategy.interface, ChooseStrategy):
        stopped = np.asarray(strategy.act(strategy.interface.frame(view))) == len(strategy.interface.names)
    ids = strategy.select(view, n)
    assert ids.shape == (5, n)
    assert ids.dtype == torch.int64
    for e in range(5):
        free = set(view.ids[e][view.available[e]].tolist())
        taken = [i for i in ids[e].tolist() if i >= 0]
        assert len(taken) == (0 if stopped[e] else min(n, len(free)))
        assert len(set(taken)) == len(taken)
        assert set(taken) <= free
        assert ids[e, len(taken) :].tolist() == [-1] * (n - len(taken))


@pytest.mark.parametrize("which", ["trained", "trained_chooser"])
def test_it_scores_every_row(request: pytest.FixtureRequest, which: str) -> None:
    strategy = LearnedStrategy.load(request.getfixturevalue(which).policy)
    view = started(range(4), 1).view
    scores = strategy.score(view)
    assert scores.shape == view.ids.shape
    assert torch.isfinite(scores[view.available]).all()


def test_an_episode_that_the_policy_stops_gets_no_ids_and_the_others_are_undisturbed() -> None:
    space = WeighScores(("margin", "density"), stop=True)
    actions = [[1.0, 0.0, -1.0], [1.0, 0.0, 0.9], [0.0, 1.0, -1.0]]
    stopping = scripted(actions, space).select(started(range(3), 1).view, 4)
    assert stopping[1].tolist() == [-1] * 4
    running = scripted([[1.0, 0.0, -1.0], [1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], space)
    expected = running.select(started(range(3), 1).view, 4)
    assert stopping[[0, 2]].tolist() == expected[[0, 2]].tolist()


def test_a_chooser_selects_what_the_chosen_strategy_selects() -> None:
    space = ChooseStrategy(("margin", "k-center"), stop=True)
    ids = scripted([1, 0, 2], space).select(started(range(3), 1).view, 4)
    assert ids[0].tolist() == make_strategy("k-center").select(started(range(3), 1).view, 4)[0].tolist()
    assert ids[1].tolist() == make_strategy("margin").select(started(range(3), 1).view, 4)[1].tolist()
    assert ids[2].tolist() == [-1] * 4


def test_a_weigher_at_action_zero_selects_what_its_center_selects() -> None:
    center = {"margin": 0.7, "density": 1.0, "novelty": 1.0, "balance": 0.5}
    space = WeighScores(center=center)
    view = started(range(3), 2).view
    strategy = scripted(np.zeros((3, 5)), space)
    assert strategy.features == ("margin", "entropy", "density", "novelty", "balance")
    weights = strategy.weights(view)
    assert weights is not None
    np.testing.assert_allclose(weights, np.tile([0.7, 0.0, 1.0, 1.0, 0.5], (3, 1)), atol=1e-6)
    mixture = make_strategy("mixture").select(started(range(3), 2).view, 4)
    assert strategy.select(started(range(3), 2).view, 4).tolist() == mixture.tolist()


def test_only_a_weigher_has_weights(trained_chooser: Any) -> None:
    strategy = LearnedStrategy.load(trained_chooser.policy)
    assert strategy.features == ()
    assert strategy.weights(started(range(2)).view) is None


def by_hand(strategy: QueryStrategy, corpus: int, seed: int, options: EpisodeOptions) -> float:
    """Area under one episode's dev accuracy over the budget, one straight line after the other."""
    engine = LabelingEngine(DATA, options, 1)
    engine.reset([episode_streams(seed, DATA[corpus].name)], None, [corpus])
    costs, values = [0.0], [float(engine.current["accuracy"][0])]
    while not engine.finished.all():
        ids = strategy.select(engine.view, options.batch_size)
        engine.step(ids)
        costs.append(float(engine.spent[0]))
        values.append(float(engine.current["accuracy"][0]))
        if bool((ids < 0).all()):
            break
    costs.append(options.budget)
    values.append(values[-1])
    return float(np.trapezoid(values, costs)) / options.budget


@pytest.mark.parametrize("budget", [30.0, 28.0])
@pytest.mark.parametrize("name", ["random", "margin", "mixture"])
def test_validation_areas_equal_areas_computed_by_hand(name: str, budget: float) -> None:
    options = OPTIONS.model_copy(update={"budget": budget})
    areas = Validation([World(DATA, options)], 6, first_seed=50).areas(make_strategy(name))
    expected = [by_hand(make_strategy(name), i % 2, 50 + i // 2, options) for i in range(6)]
    np.testing.assert_allclose(areas, expected, atol=1e-12)


def test_validation_measures_every_corpus_with_equally_many_episodes_and_repeats_itself() -> None:
    validation = Validation([World(DATA, OPTIONS)], 1)
    first = validation.areas(make_strategy("random"))
    assert first.shape == (2,), "at least one episode for each corpus"
    assert validation.areas(make_strategy("random")).tolist() == first.tolist()


class StopsAfter:
    """Random sampling that stops after some rounds."""

    name = "stops"

    def __init__(self, rounds: list[int]) -> None:
        self.rounds = rounds

    def score(self, view: PoolView) -> Tensor:
        return view.random()

    def select(self, view: PoolView, n: int) -> Tensor:
        ids = make_strategy("random").select(view, n)
        over = torch.tensor([r >= last for r, last in zip(view.progress.rounds, self.rounds, strict=True)])
        return torch.where(over[:, None], -1, ids)


def test_an_early_stop_keeps_its_last_value_to_the_end_of_the_budget() -> None:
    areas = Validation([World(DATA, OPTIONS)], 4, first_seed=9).areas(StopsAfter([0, 2, 5, 100]))
    expected = [
        by_hand(StopsAfter([last]), i % 2, 9 + i // 2, OPTIONS) for i, last in enumerate([0, 2, 5, 100])
    ]
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    engine = LabelingEngine(DATA, OPTIONS, 1)
    engine.reset([episode_streams(9, DATA[0].name)], None, [0])
    assert areas[0] == pytest.approx(float(engine.current["accuracy"][0])), "it never bought anything"


def test_with_a_price_on_labels_the_return_decides_and_not_the_area() -> None:
    priced = RewardSettings(kind="gain", scale="one", cost_weight=0.004)
    rounds = [0, 2, 5, 100]
    returns = Validation([World(DATA, OPTIONS)], 4, first_seed=9, priced=priced).areas(StopsAfter(rounds))
    for place, last in enumerate(rounds):
        engine = LabelingEngine(DATA, OPTIONS, 1)
        engine.reset([episode_streams(9 + place // 2, DATA[place % 2].name)], None, [place % 2])
        start = engine.current["accuracy"][0]
        for _ in play(engine, StopsAfter([last])):
            pass
        gain = engine.current["accuracy"][0] - start
        assert returns[place] == pytest.approx(gain - 0.004 * engine.spent[0], abs=1e-12)
    assert returns[0] == 0.0
