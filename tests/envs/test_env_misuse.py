"""What an environment is given or asked by mistake is one sentence."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from react_rl.envs import (
    ACTION_SPACES,
    REWARDS,
    ContextObservation,
    LabelingEnv,
    LabelingVecEnv,
    LabelingVectorEnv,
    PlayedRound,
)
from react_rl.errors import ReActError


class Spaceless:
    metrics = ("accuracy",)
    space: Any = None

    def observe(self, view: object) -> None: ...

    def describe(self) -> dict[str, Any]:
        return {}


def own_reward(played: PlayedRound) -> Any:
    return played.value


@pytest.mark.parametrize("name", ACTION_SPACES)
@pytest.mark.parametrize("stop", ["x", 1, None])
def test_stop_is_true_or_false(name: str, stop: Any) -> None:
    with pytest.raises(ReActError, match=r"stop is .*; it must be True or False"):
        LabelingEnv(action_space=name, stop=stop)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"observation": ContextObservation}, r"is the class ContextObservation; give an object"),
        ({"observation": Spaceless()}, r"The space of the observation is None; it must be a Gymnasium space"),
        ({"observation": {"name": "context"}}, r"has no 'metrics'; it must be a name or an object with"),
        ({"reward": own_reward}, r"give its name, .* reward='module:NAME'"),
        ({"reward": REWARDS["gain"]}, r"give its name, .* reward='module:NAME'"),
        ({"action_space": ACTION_SPACES["weigh-scores"]}, r"action_space is .*; give a name, or an object"),
        ({"device": 99}, r"[Dd]evice 99"),  # built for CUDA, torch takes a number for that of a GPU
        ({"features": 3}, r"features is 3: it should be a list"),
        ({"features": "margin"}, r"features is 'margin': it should be a list"),
        ({"features": [3]}, r"features is \[3\]: input should be a valid string"),
        ({"center": 3}, r"center is 3: "),
        ({"reach": True}, r"reach is True: it should be a number"),
        ({"action_space": "choose-strategy", "strategies": 3}, r"strategies is 3: it should be a list"),
        (
            {"action_space": "pick-candidate", "candidates": "x"},
            r"candidates is 'x': input should be a valid",
        ),
        ({"action_space": "pick-candidate", "proposers": 3}, r"proposers is 3: it should be a list"),
        ({"action_space": "decision-units", "recipes": 3}, r"recipes is 3: it should be a list"),
        ({"tasks": 3}, r"tasks is 3; give a mapping by the names of tasks"),
        ({"tasks": {"classification": 3}}, r"tasks is .*; give a mapping by the names of tasks"),
        (
            {"tasks": {"classification": {"episode": 3}}},
            r"Episodes of classification: give a mapping, not int",
        ),
        ({"render_mode": "human"}, r"render_mode is 'human'; labelling draws no frames"),
    ],
)
def test_a_setting_of_another_kind_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        LabelingEnv(**settings)


@pytest.mark.parametrize("face", [LabelingEnv, LabelingVectorEnv, LabelingVecEnv])
def test_a_core_is_what_build_environment_returns(face: Any) -> None:
    with pytest.raises(ReActError, match="core is 3; give what build_environment returns"):
        face(core=3)


@pytest.mark.parametrize("options", [3, "corpus", [{}], [{}, {}, {}]])
def test_options_of_parallel_environments_are_one_mapping_or_one_for_each(options: Any) -> None:
    env = LabelingVecEnv(n_episodes=2)
    with pytest.raises(ReActError, match=r"Reset options are .*; give a mapping, .* or a list of 2"):
        env.set_options(options)
    env.set_options([{"corpus": "synthetic"}, {}])
    env.reset()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (3, "Reset options are 3; give a mapping"),
        ("corpus", "Reset options are 'corpus'; give a mapping"),
        ({"corpus": ["synthetic"]}, r"Reset option 'corpus' is \['synthetic'\]; it must be a name"),
        ({"episode": True}, "Reset option 'episode' is True; it must be a whole number"),
        ({"seed": 1}, "Unknown reset option 'seed'. Known: corpus, episode"),
    ],
)
def test_options_that_say_nothing_are_refused(options: Any, sentence: str) -> None:
    for env in (LabelingEnv(), LabelingVectorEnv(2)):
        with pytest.raises(ReActError, match=sentence):
            env.reset(options=options)


def test_an_episode_ends_when_its_environment_is_closed_and_reset_begins_another() -> None:
    env, vector, sb3 = LabelingEnv(), LabelingVectorEnv(2), LabelingVecEnv(n_episodes=2)
    env.reset(seed=0)
    vector.reset(seed=0)
    sb3.reset()
    actions = vector.action_space.sample()
    for one in (env, vector, sb3):
        one.close()
        one.close()
    for step in (lambda: env.step(actions[0]), lambda: vector.step(actions), lambda: sb3.step(actions)):
        with pytest.raises(ReActError, match="call reset before step"):
            step()
    again = LabelingEnv().reset(seed=0)[0]
    np.testing.assert_array_equal(env.reset(seed=0)[0], again)
    assert not env.step(actions[0])[2]


def test_what_cannot_be_drawn_says_so_as_gymnasium_does() -> None:
    env = gymnasium.make("react_rl:ReActRL/Labeling-v0")
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match="the info of reset and step says how an episode stands"):
        env.render()
