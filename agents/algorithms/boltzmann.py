"""DQN that explores by softmax(alpha Q) instead of at random: better actions are tried more often."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import DQN


class BoltzmannDQN(DQN):
    """DQN whose behaviour draws actions with chances softmax(alpha Q).

    Alpha, the inverse temperature, grows geometrically from ``initial_alpha`` to ``final_alpha`` over
    ``exploration_fraction`` of the training and stays there. Asked for the best action, it gives that.

    Source: Sutton 1990, Integrated architectures for learning, planning and reacting (softmax of values);
    Cesa-Bianchi et al. 2017, Boltzmann exploration done right (why the schedule matters).

    Args:
        *args: As in DQN.
        initial_alpha: Inverse temperature at the start, in 1 / units of Q.
        final_alpha: Inverse temperature at the end.
        **kwargs: As in DQN.
    """

    def __init__(
        self, *args: Any, initial_alpha: float = 10.0, final_alpha: float = 1000.0, **kwargs: Any
    ) -> None:
        if not 0 < initial_alpha <= final_alpha < math.inf:
            raise ValueError(
                f"initial_alpha {initial_alpha} and final_alpha {final_alpha} must be above 0, in this order"
            )
        super().__init__(*args, **kwargs)
        self.initial_alpha = initial_alpha
        self.final_alpha = final_alpha

    @property
    def alpha(self) -> float:
        """Inverse temperature now."""
        share = min((1.0 - self._current_progress_remaining) / self.exploration_fraction, 1.0)
        return float(self.initial_alpha * (self.final_alpha / self.initial_alpha) ** share)

    def predict(
        self,
        observation: Any,
        state: tuple[npt.NDArray[Any], ...] | None = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], ...] | None]:
        """Draw actions by softmax(alpha Q), or take the best."""
        if deterministic:
            return self.policy.predict(observation, state, episode_start, deterministic)
        self.policy.set_training_mode(False)
        seen, vectorized = self.policy.obs_to_tensor(observation)
        with torch.no_grad():
            chances = torch.softmax(self.alpha * self.q_net(seen), 1)
            drawn = torch.multinomial(chances, 1)[:, 0]
        actions: npt.NDArray[Any] = drawn.cpu().numpy()
        return (actions if vectorized else np.asarray(actions[0])), state
