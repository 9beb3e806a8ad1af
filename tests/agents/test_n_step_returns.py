"""Algorithms with a replay buffer sum the rewards of several steps before they ask for a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.buffers import NStepReplayBuffer

from react_rl.agents import AgentSettings
from react_rl.agents.algorithms import ALGORITHMS
from react_rl.agents.settings import algorithm_arguments, check_fit
from react_rl.envs import LabelingVecEnv
from react_rl.errors import ReActError

SPACES = {"SAC": "weigh-scores", "TD3": "weigh-scores"}
BUFFER = "stable_baselines3.common.buffers:ReplayBuffer"
EPISODE = {"pool_size": 40, "dev_size": 30, "initial_size": 4, "budget": 12, "batch_size": 4}


def environment(algorithm: str, **given: Any) -> LabelingVecEnv:
    space = given.pop("action_space", SPACES.get(algorithm, "choose-strategy"))
    env = LabelingVecEnv(n_episodes=2, episode=EPISODE, action_space=space, **given)
    env.seed(0)
    return env


@pytest.mark.parametrize(
    "algorithm", [name for name, entry in ALGORITHMS.items() if entry.family == "replay"]
)
def test_what_is_replayed_is_the_discounted_sum_to_the_end_of_the_steps_or_the_episode(
    algorithm: str,
) -> None:
    env = environment(algorithm)
    settings = AgentSettings.model_validate(
        {"algorithm": algorithm, "n_steps": 2, "gamma": 0.5, "episodes": 20, "n_envs": 2}
    )
    check_fit(settings, env.observation_space, env.action_space)
    arguments = algorithm_arguments(settings, 3, env.action_space)
    model: Any = ALGORITHMS[algorithm].kind("MlpPolicy", env, **(arguments | {"learning_starts": 100}))
    model.learn(18)
    buffer = model.replay_buffer
    assert isinstance(buffer, NStepReplayBuffer)
    # Episodes have three rounds: the third has nothing after it.
    rewards, dones = buffer.rewards[:9], buffer.dones[:9]
    np.testing.assert_array_equal(dones[:, 0], [0, 0, 1] * 3)
    after = np.vstack([rewards[1:], np.zeros(2)])
    expected = rewards + 0.5 * (1 - dones) * after
    for step in range(8):
        drawn = buffer._get_samples(np.full(50, step))
        found = drawn.rewards.numpy()[:, 0]
        slots = np.abs(found[:, None] - expected[step]).argmin(1)
        np.testing.assert_allclose(found, expected[step][slots], rtol=1e-5)
        assert drawn.discounts is not None
        np.testing.assert_allclose(drawn.discounts.numpy(), 0.5 if step % 3 == 2 else 0.25)


@pytest.mark.parametrize(
    ("given", "space", "sentence"),
    [
        ({"algorithm": "PPO"}, "choose-strategy", "replay buffer .*DQN.*agent.gae_lambda"),
        ({"algorithm": "ARS"}, "choose-strategy", "replay buffer .*leave it out"),
        ({"algorithm": "DQN"}, "pick-candidate", "dicts"),
        ({"algorithm": "DQN", "extra": {"n_steps": 2}}, "choose-strategy", "set by agent.n_steps"),
        (
            {"algorithm": "DQN", "extra": {"replay_buffer_class": BUFFER}},
            "choose-strategy",
            "replay_buffer_class out",
        ),
    ],
)  # fmt: skip
def test_where_there_are_no_such_returns_a_sentence_says_so(
    given: dict[str, Any], space: str, sentence: str
) -> None:
    env = environment("", action_space=space)
    settings = AgentSettings.model_validate(given | {"n_steps": 3})
    with pytest.raises(ReActError, match=sentence):
        check_fit(settings, env.observation_space, env.action_space)


def test_returns_of_one_step_leave_no_trace_in_a_card() -> None:
    assert not {"n_steps", "sharpness"} & AgentSettings().model_dump().keys()
    assert AgentSettings(algorithm="DQN", n_steps=3).model_dump()["n_steps"] == 3
