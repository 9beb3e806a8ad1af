"""Augmented random search that counts steps and episodes as the other algorithms do, and can be stopped."""

from __future__ import annotations

from typing import Any, cast

import torch
from sb3_contrib import ARS
from sb3_contrib.common.vec_env.async_eval import AsyncEval
from stable_baselines3.common.callbacks import BaseCallback


class _Stopped(Exception):
    """The callback ended the training."""


class _Started:
    """A callback whose rollout has started.

    Args:
        callback: The callback.
    """

    def __init__(self, callback: BaseCallback) -> None:
        self._callback = callback

    def on_rollout_start(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)


class RandomSearch(ARS):
    """ARS of sb3-contrib (Mania et al. 2018, Simple random search of static linear policies).

    There, a callback learns neither which episodes ended nor can it stop the training, and a step of E
    environments counts up to E times E.
    """

    def learn(self, total_timesteps: int, callback: Any = None, *args: Any, **kwargs: Any) -> RandomSearch:
        """Train until the steps are taken or the callback says stop."""
        try:
            super().learn(total_timesteps, callback, *args, **kwargs)
        except _Stopped:
            callback.on_training_end()
        return self

    def _do_one_update(self, callback: BaseCallback, async_eval: AsyncEval | None) -> None:
        # A training that goes on from a file has the policy alone.
        self._own_memory()
        self.weights = torch.nn.utils.parameters_to_vector(self.policy.parameters()).detach()  # type: ignore[assignment]
        # Directions are drawn after what the callback keeps of the training, so that they are drawn again.
        callback.on_rollout_start()
        super()._do_one_update(cast(BaseCallback, _Started(callback)), async_eval)
        self._own_memory()

    def _own_memory(self) -> None:
        # Weights that were read from one vector are parts of it, which files of weights do not allow.
        for weights in self.policy.parameters():
            weights.data = weights.data.clone()

    def _trigger_callback(
        self, _locals: dict[str, Any], _globals: dict[str, Any], callback: BaseCallback, n_envs: int
    ) -> None:
        # It is called for each environment in turn.
        place = _locals["i"]
        self.num_timesteps += 1
        callback.update_locals({"dones": _locals["dones"][place : place + 1]})
        if not callback.on_step():
            raise _Stopped
