"""Rewards: what a round is worth. V is the dev metric, or minus the dev log-loss, which is less noisy.

| kind   | reward of a round (minus w cost)                 | sum over an episode (w = 0)          |
| ------ | ------------------------------------------------ | ------------------------------------ |
| gain   | (V' - V) / scale                                 | final minus initial V                |
| area   | (V' - V_start) / scale * share of budget spent   | area under the curve above its start |
| shaped | (gamma V' - V) / scale                           | potential shaping                    |
| target | -cost / budget until V reaches the target        | minus the share of the budget it took |

With gamma = 1 the gains telescope, so `gain` gives no credit for early gains: use `area`, or gamma < 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from react_rl.envs.attainable import AttainableValue
from react_rl.errors import unknown
from react_rl.metrics.classification import DEFAULT_METRIC, METRICS
from react_rl.simulation.engine import LabelingEngine

LEAST_SCALE: Final = 0.05
"""Smallest attainable gain that rewards are divided by, so that a hopeless episode is not amplified."""

_CHANGING: Final = ("_start", "_before", "_scale")

Array = npt.NDArray[np.float64]


class RewardSettings(BaseModel):
    """What the policy is paid for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["area", "gain", "shaped", "target"] = "area"
    """Form of the reward; see the table in react_rl.envs.rewards."""
    metric: str = DEFAULT_METRIC
    """Dev metric: accuracy, macro_f1 or log_loss (which counts negatively)."""
    scale: Literal["one", "attainable"] = "attainable"
    """Divide by 1, or by what labelling the whole pool would gain: this keeps corpora comparable."""
    cost_weight: float = Field(default=0.0, ge=0, le=1e6)
    """Reward units paid for each cost unit; with a stop action above 0, stopping early can pay."""
    gamma: float = Field(default=0.99, gt=0, le=1)
    """Discount inside the shaped reward; give the agent the same."""
    target: float = Field(default=0.9, ge=-1000, le=1000)
    """Dev metric at which an episode with the target reward ends."""


class Reward:
    """Computes the rewards of E episodes of one engine.

    Args:
        engine: The engine; it must measure the reward's metric.
        settings: Form, metric, scale and cost weight.

    Raises:
        ReActError: The metric is unknown.
    """

    def __init__(self, engine: LabelingEngine, settings: RewardSettings) -> None:
        if settings.metric not in METRICS:
            raise unknown("metric", settings.metric, METRICS)
        self.settings = settings
        self._engine = engine
        self._sign = METRICS[settings.metric].sign
        self._attainable = (
            AttainableValue(engine, settings.metric) if settings.scale == "attainable" else None
        )
        self._start = np.zeros(engine.n_episodes)
        self._before = np.zeros(engine.n_episodes)
        self._scale = np.ones(engine.n_episodes)

    def value(self) -> Array:
        """V of each episode now ``(E,)``."""
        return self._sign * self._engine.current[self.settings.metric]

    def start(self, episodes: npt.NDArray[np.int64]) -> None:
        """Note where newly reset episodes begin. Mutates."""
        value = self.value()
        self._start[episodes] = value[episodes]
        self._before[episodes] = value[episodes]
        if self._attainable is not None:
            for episode in episodes:
                full = self._sign * self._attainable.of(int(episode))
                self._scale[episode] = max(full - value[episode], LEAST_SCALE)

    def state(self) -> dict[str, Tensor]:
        """What episodes began with and were last worth, by name."""
        return {name: torch.from_numpy(getattr(self, name)) for name in _CHANGING}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where ``state`` was taken. Mutates."""
        for name in _CHANGING:
            setattr(self, name, state[name].numpy().copy())

    def reached(self) -> npt.NDArray[np.bool_]:
        """Episodes that the target reward ends ``(E,)``."""
        if self.settings.kind != "target":
            return np.zeros(self._engine.n_episodes, dtype=np.bool_)
        reached: npt.NDArray[np.bool_] = self._engine.current[self.settings.metric] * self._sign >= (
            self.settings.target * self._sign
        )
        return reached

    def of_round(self, cost: Array, ended: npt.NDArray[np.bool_]) -> Array:
        """Reward of the round just played.

        Args:
            cost: Cost units charged in the round ``(E,)``.
            ended: Episodes that are over after it ``(E,)``: their last value holds to the end of the
                budget, so an early stop is judged over the same budget as any other run.

        Returns:
            ``(E,)`` float64.
        """
        settings, budget, value = self.settings, self._engine.options.budget, self.value()
        if settings.kind == "gain":
            reward = (value - self._before) / self._scale
        elif settings.kind == "shaped":
            reward = (settings.gamma * value - self._before) / self._scale
        elif settings.kind == "area":
            unspent = np.where(ended, np.maximum(budget - self._engine.spent, 0.0), 0.0)
            reward = (value - self._start) / self._scale * (cost + unspent) / budget
        else:
            reward = -cost / budget
        self._before = value.copy()
        return reward - settings.cost_weight * cost
