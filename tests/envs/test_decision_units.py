"""Separate units decide on strategy or weights, batch size, recipe and stopping."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.weighted import WeightedFeatures
from react_rl.agents import LearnedStrategy
from react_rl.envs import BatchedLabeling, LabelingEnv, RewardSettings, build_environment, make_interface
from react_rl.envs.interfaces import DecisionUnits
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.recipes import make_recipe
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded
from react_rl.simulation.play import play

OPTIONS = EpisodeOptions(pool_size=40, dev_size=30, initial_size=5, budget=14, batch_size=4)
EVERY: dict[str, dict[str, Any]] = {
    "strategy alone": {"strategies": ["random", "margin"]},
    "all units": {
        "strategies": ["margin", "mixture"],
        "batch_sizes": [1, 3, 6],
        "recipes": ["plain", "smooth"],
        "stop": True,
    },
    "weights": {"features": ["margin", "novelty"], "levels": [-1.0, 0.0, 1.0], "batch_sizes": [2, 4]},
}
every_kind = pytest.mark.parametrize("kind", list(EVERY))


@cache
def corpus() -> EncodedCorpus:
    return synthetic_encoded(200, 3, seed=1)


def view(n: int = 3) -> PoolView:
    engine = LabelingEngine([corpus()], OPTIONS, n)
    engine.reset([Streams(k) for k in range(n)])
    return engine.view


def units(**given: Any) -> DecisionUnits:
    made = make_interface("decision-units", **given)
    assert isinstance(made, DecisionUnits)
    return made


@every_kind
def test_both_checkers_accept_it(kind: str) -> None:
    given = {"action_space": "decision-units", "corpus": corpus(), "episode": OPTIONS, **EVERY[kind]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(LabelingEnv(**given), skip_render_check=True)
        sb3_check(LabelingEnv(**given))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("strategy alone", [2]), ("all units", [2, 3, 2, 2]), ("weights", [3, 3, 2])],
)
def test_each_unit_is_a_choice_of_its_own(kind: str, sizes: list[int]) -> None:
    space: Any = units(**EVERY[kind]).action_space
    assert space.nvec.tolist() == sizes


@every_kind
def test_it_is_built_again_from_its_description(kind: str) -> None:
    made = units(**EVERY[kind])
    again = make_interface(**made.describe())
    assert again.describe() == made.describe() == {"name": "decision-units", "stop": False, **EVERY[kind]}
    assert again.action_space == made.action_space


def test_every_episode_gets_its_strategy_size_and_recipe() -> None:
    space = units(**EVERY["all units"])
    decision = space.decide(
        space.frame(view(4)), np.array([[0, 1, 0, 0], [1, 0, 1, 0], [1, 2, 1, 0], [0, 2, 0, 1]])
    )
    assert decision.ids.shape == (4, 6)
    assert decision.stop.tolist() == [False, False, False, True]
    expected = [("margin", 3), ("mixture", 1), ("mixture", 6)]
    for e, (name, size) in enumerate(expected):
        own = make_strategy(name).select(view(4), size)[e].tolist()
        assert decision.ids[e].tolist() == own + [-1] * (6 - size)
    assert decision.ids[3].tolist() == [-1] * 6
    names = ["plain", "smooth", "smooth", "plain"]
    assert decision.recipe == [make_recipe(name) for name in names]


def test_levels_are_the_weights_of_the_features() -> None:
    space = units(**EVERY["weights"])
    actions = np.array([[2, 1, 1], [0, 2, 1], [1, 2, 0]])
    decision = space.decide(space.frame(view()), actions)
    for e, (margin, novelty, size) in enumerate([(1.0, 0.0, 4), (-1.0, 1.0, 4), (0.0, 1.0, 2)]):
        alone = WeightedFeatures("one", {"margin": margin, "novelty": novelty})
        assert decision.ids[e, :size].tolist() == alone.select(view(), size)[e].tolist()
        assert (decision.ids[e, size:] == -1).all()


def test_without_the_unit_the_batch_is_the_episodes() -> None:
    space = units(strategies=["margin"])
    frame = replace(space.frame(view()), batch_size=3)
    assert space.decide(frame, np.zeros((3, 1), dtype=np.int64)).ids.shape == (3, 3)


def core(n: int = 2, **given: Any) -> BatchedLabeling:
    made = BatchedLabeling([corpus()], OPTIONS, units(**given), RewardSettings(scale="one"), n)
    made.reset([Streams(k) for k in range(n)])
    return made


def test_the_engine_buys_batches_of_that_size_and_trains_by_that_recipe() -> None:
    env, plain = core(**EVERY["all units"]), core(**EVERY["all units"])
    first = env.step(np.array([[0, 2, 1, 0], [0, 1, 0, 0]]))
    plain.step(np.array([[0, 2, 0, 0], [0, 1, 0, 0]]))
    assert first.cost.tolist() == [6, 3]
    assert first.learned.all()
    assert env.engine.rounds.tolist() == [1, 1]
    assert not torch.allclose(env.frame.view.logits[0], plain.frame.view.logits[0])
    torch.testing.assert_close(env.frame.view.logits[1], plain.frame.view.logits[1])


class Changing:
    """Stands for a policy: what it decides follows from what it sees."""

    def predict(self, observation: Any, deterministic: bool) -> tuple[Any, None]:
        seen = np.round(np.abs(observation).sum(1) * 40).astype(np.int64)
        return np.stack([seen % 2, seen % 3, seen // 2 % 2, np.zeros_like(seen)], 1), None


def test_a_packed_policy_plays_as_in_the_environment() -> None:
    env, policy = core(4, **EVERY["all units"]), Changing()
    areas, bought = [], [[] for _ in range(4)]  # type: ignore[var-annotated]
    while not env.engine.finished.all():
        transition = env.step(policy.predict(env.observe(), True)[0])
        areas.append(env.engine.current["accuracy"].tolist())
        for e in range(4):
            bought[e] += [int(i) for i in transition.ids[e] if i >= 0]
    strategy = LearnedStrategy("changing", policy, units(**EVERY["all units"]))  # type: ignore[arg-type]
    engine = LabelingEngine([corpus()], OPTIONS, 4)
    engine.reset([Streams(k) for k in range(4)])
    packed, played = [[] for _ in range(4)], []  # type: ignore[var-annotated]
    for turn in play(engine, strategy):
        played.append(turn.round.metrics["accuracy"].tolist())
        for e in range(4):
            packed[e] += [int(i) for i in turn.round.ids[e] if i >= 0]
    assert packed == bought
    assert played == areas


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"strategies": ["margn"]}, "Did you mean 'margin'"),
        ({"features": ["margn"]}, "Did you mean 'margin'"),
        ({"features": ["margin"], "strategies": ["margin"]}, "give one of the two"),
        ({"levels": [0.0, 1.0]}, "levels are weights of features"),
        ({"batch_sizes": [4]}, r"batch_sizes \[4\] must be at least 2"),
        ({"batch_sizes": [0, 4]}, "whole numbers of at least 1"),
        ({"recipes": ["plain", "smoth"]}, "Did you mean 'smooth'"),
        ({"recipes": ["plain", "plain"]}, "each named once"),
        ({"candidates": 4}, "'candidates'"),
    ],
)
def test_wrong_settings_are_answered_with_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        build_environment(corpus(), "decision-units", **given)


def test_recipes_need_a_learner_that_takes_them() -> None:
    with pytest.raises(ReActError, match="'decision-units with recipes' needs recipes"):
        build_environment(corpus(), "decision-units", recipes=["plain", "smooth"], learner=MlpSettings())


def test_an_action_outside_is_refused() -> None:
    with pytest.raises(ReActError, match="Action 3 of unit 1 is outside the action space; choose 0 to 2"):
        core(**EVERY["all units"]).step(np.array([[0, 3, 0, 0], [0, 0, 0, 0]]))
