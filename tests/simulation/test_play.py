"""A strategy is played round by round, and whoever plays it decides what happens in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.metrics.curves import area_to_budget, areas_to_budget
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import synthetic_encoded
from react_rl.simulation.play import play
from react_rl.simulation.view import PoolView

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=4, budget=12, batch_size=3)


def begun() -> LabelingEngine:
    engine = LabelingEngine([synthetic_encoded()], OPTIONS, 2)
    engine.reset([Streams(k) for k in range(2)])
    return engine


def test_rounds_come_until_the_budget_is_spent() -> None:
    engine = begun()
    turns = list(play(engine, make_strategy("margin")))
    assert [turn.round.cost.tolist() for turn in turns] == [[3.0, 3.0]] * 4
    assert engine.finished.all()
    assert not list(play(engine, make_strategy("margin")))


def test_an_episode_that_is_stopped_between_rounds_takes_part_in_none_of_the_next() -> None:
    engine, running = begun(), []
    for turn in play(engine, make_strategy("margin")):
        running.append(turn.running.tolist())
        engine.stop(np.array([True, False]))
    assert running == [[True, True], [False, True], [False, True], [False, True]]
    assert engine.spent.tolist() == [3.0, 12.0]


class Silent:
    def select(self, view: PoolView, n: int) -> torch.Tensor:
        return torch.full((view.n_episodes, n), -1)


def test_a_strategy_that_asks_for_nothing_has_stopped() -> None:
    engine = begun()
    assert len(list(play(engine, Silent()))) == 1
    assert not engine.spent.any()


class OnlyTheDearest:
    """Asks for the most expensive free row, whether the budget allows it or not."""

    def select(self, view: PoolView, n: int) -> torch.Tensor:
        price = torch.where(view.labelled, -1.0, view.cost)
        return view.ids.gather(1, price.argmax(1, keepdim=True))


def test_a_strategy_that_asks_for_what_it_cannot_pay_does_not_play_forever() -> None:
    made = synthetic_encoded()
    cost = np.where(np.arange(made.corpus.n_rows) % 2, 1.0, 5.0)
    engine = LabelingEngine([made.with_corpus(replace(made.corpus, cost=cost))], OPTIONS, 2)
    engine.reset([Streams(k) for k in range(2)])
    turns = [
        turn.round.cost.tolist() for turn, _ in zip(play(engine, OnlyTheDearest()), range(5), strict=False)
    ]
    assert turns == [[5.0, 5.0], [5.0, 5.0], [0.0, 0.0]]
    assert engine.finished.all()


class InNumpy:
    """Margin, whose ids are an array: what the engine takes, the loop takes."""

    def select(self, view: PoolView, n: int) -> Any:
        return make_strategy("margin").select(view, n).numpy()


def test_ids_may_be_an_array_as_in_the_engine() -> None:
    bought = []
    for strategy in (make_strategy("margin"), InNumpy()):
        engine = begun()
        list(play(engine, strategy))
        bought.append(engine.view.labelled)
    assert torch.equal(*bought)


def test_areas_of_many_curves_are_those_of_each() -> None:
    values = [np.array([0.5, 0.4]), np.array([0.6, 0.6]), np.array([0.9, 0.7])]
    costs = [np.array([2.0, 3.0]), np.array([2.0, 0.0])]
    found = areas_to_budget(costs, values, 10.0)
    assert found[0] == pytest.approx(area_to_budget([0, 2, 4], [0.5, 0.6, 0.9], 10.0))
    assert found[1] == pytest.approx(area_to_budget([0, 3, 3], [0.4, 0.6, 0.7], 10.0))
