"""Stable-Baselines3 trains on environments that live on a CUDA device, or a simulated one."""

from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3 import PPO

from react_rl.envs import LabelingVecEnv

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("space", ["weigh-scores", "choose-strategy"])
def test_ppo_learns_on_episodes_that_live_on_a_gpu(space: str, cuda: str) -> None:
    env = LabelingVecEnv(n_episodes=8, device=cuda, action_space=space)
    model = PPO("MlpPolicy", env, n_steps=20, batch_size=40, device="cpu", seed=0).learn(160)
    observed = env.reset()
    assert isinstance(observed, np.ndarray)
    assert np.isfinite(model.predict(observed)[0]).all()
