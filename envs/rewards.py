"""Rewards: what a round is worth. V is the dev metric, or minus the dev log-loss, which is less noisy.

| kind   | reward of a round (minus w cost)                 | sum over an episode (w = 0)          |
| ------ | ------------------------------------------------ | ------------------------------------ |
| gain   | (V' - V) / scale                                 | final minus initial V                |
| area   | (V' - V_start) / scale * share of budget spent   | area under the curve above its start |
| shaped | (gamma V' - V) / scale                           | potential shaping                    |
| target | -cost / budget until V reaches the target        | minus the share of the budget it took |

With gamma = 1 the gains telescope, so `gain` gives no credit for early gains: use `area`, or gamma < 1.
Adding one is a function of a ``PlayedRound`` and a line in ``REWARDS``; one's own is named ``module:Name``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from torch import Tensor

from react_rl.envs.attainable import AttainableValue
from react_rl.errors import ReActError, unknown
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.registry import METRICS
from react_rl.own_code import REWARD, announced, is_outside, load_outside
from react_rl.simulation.engine import LabelingEngine

LEAST_SCALE: Final = 0.05
"""Smallest attainable gain that rewards are divided by, so that a hopeless episode is not amplified."""

_CHANGING: Final = ("_start", "_before", "_scale")

Array = npt.NDArray[np.float64]


class RewardSettings(BaseModel):
    """What the policy is paid for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: str = "area"
    """Form of the reward: area, gain, shaped, target (see the table in react_rl.envs.rewards), or one's own,
    module:Name."""
    metric: str = DEFAULT_METRIC
    """Dev metric: accuracy, macro_f1 or log_loss (which counts negatively), entity_f1, ...; task is the first
    one of the corpora's task."""
    scale: Literal["one", "attainable"] = "attainable"
    """Divide by 1, or by what labelling the whole pool would gain: this keeps corpora comparable."""
    cost_weight: float = Field(default=0.0, ge=0, le=1e6)
    """Reward units paid for each cost unit; with a stop action above 0, stopping early can pay."""
    gamma: float = Field(default=0.99, gt=0, le=1)
    """Discount inside the shaped reward; give the agent the same."""
    target: float = Field(default=0.9, ge=-1000, le=1000)
    """Dev metric at which an episode with the target reward ends."""
    against: str | None = None
    """What is taken off: what a strategy earns on the same episode (mixture, or any other by name), or the
    mean of the slots with the same draw (group); None takes nothing off."""
    group_size: int = Field(default=1, ge=1, le=10**5)
    """Slots side by side that play the same pool, dev set and initial labels."""

    @field_validator("kind")
    @classmethod
    def _check_kind(cls, value: str) -> str:
        if value not in REWARDS and not is_outside(value, REWARD):
            options = [*REWARDS, *announced(REWARD.group), "module:Name"]
            raise ValueError(str(unknown("reward", value, options)).rstrip("."))
        return value

    @model_serializer(mode="wrap")
    def _without_pairing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Cards and configs of rewards that stand alone read as if there were no such keys.
        values: dict[str, Any] = handler(self)
        for key in ("against", "group_size"):
            if getattr(self, key) == type(self).model_fields[key].default:
                values.pop(key, None)
        return values


@dataclass(frozen=True)
class PlayedRound:
    """What a reward is computed from; arrays of length E, and V is larger where the learner is better.

    Args:
        value: V after the round.
        before: V before it.
        start: V when the episode began.
        scale: What differences of V are divided by.
        cost: Cost units charged in the round.
        unspent: Cost units that an episode which ends with the round leaves; 0 for the others.
        budget: Cost units that an episode may spend.
        ended: Episodes that are over after the round.
        settings: The reward's settings.
    """

    value: Array
    before: Array
    start: Array
    scale: Array
    cost: Array
    unspent: Array
    budget: float
    ended: npt.NDArray[np.bool_]
    settings: RewardSettings


@dataclass(frozen=True)
class RewardForm:
    """A form of the reward.

    Args:
        of: From a played round to the reward of each episode ``(E,)``, without the cost's weight.
        summary: One line for people.
        total: What the rewards of an episode sum to.
        ends_at_target: Whether an episode ends when V reaches ``settings.target``.
    """

    of: Callable[[PlayedRound], Array]
    summary: str
    total: str
    ends_at_target: bool = False


def _area(played: PlayedRound) -> Array:
    # The last value holds to the end of the budget, so an early stop is judged over the same budget.
    return (played.value - played.start) / played.scale * (played.cost + played.unspent) / played.budget


def _gain(played: PlayedRound) -> Array:
    return (played.value - played.before) / played.scale


def _shaped(played: PlayedRound) -> Array:
    return (played.settings.gamma * played.value - played.before) / played.scale


def _target(played: PlayedRound) -> Array:
    return -played.cost / played.budget


REWARDS: Final[dict[str, RewardForm]] = {
    "area": RewardForm(
        _area, "(V' - V_start) / scale x share of the budget", "area under the curve above its start"
    ),
    "gain": RewardForm(_gain, "(V' - V) / scale", "final minus initial V"),
    "shaped": RewardForm(_shaped, "(gamma V' - V) / scale", "potential shaping"),
    "target": RewardForm(
        _target,
        "-cost / budget until the target",
        "minus the share of the budget that it took",
        ends_at_target=True,
    ),
}
"""The forms by name."""


def reward_form(kind: str) -> RewardForm:
    """The form called ``kind``: a registered one, one that a package announces, or ``module:Name``.

    Raises:
        ReActError: There is no such form, or what is named is neither a ``RewardForm`` nor a function.
    """
    if kind in REWARDS:
        return REWARDS[kind]
    if not is_outside(kind, REWARD):
        raise unknown("reward", kind, [*REWARDS, *announced(REWARD.group), "module:Name"])
    found = load_outside(kind, REWARD)
    if isinstance(found, RewardForm):
        return found
    if isinstance(found, type) or not callable(found):
        raise ReActError(
            f"Reward {kind!r} is of type {type(found).__name__}; it must be a function of a PlayedRound that "
            "returns a reward for each episode, or a RewardForm."
        )
    return RewardForm(found, "own", "-")


class Reward:
    """Computes the rewards of E episodes of one engine.

    Args:
        engine: The engine; it must measure the reward's metric.
        settings: Form, metric, scale and cost weight.
        attainable: What whole pools would reach, where another reward has measured some; None measures.

    Raises:
        ReActError: The metric or the form is unknown.
    """

    def __init__(
        self, engine: LabelingEngine, settings: RewardSettings, attainable: AttainableValue | None = None
    ) -> None:
        if settings.metric not in METRICS:
            raise unknown("metric", settings.metric, METRICS)
        self.settings = settings
        self._form = reward_form(settings.kind)
        self._engine = engine
        self._sign = METRICS[settings.metric].sign
        if settings.scale == "attainable" and attainable is None:
            attainable = AttainableValue(engine, settings.metric)
        self._attainable = attainable
        self._start = np.zeros(engine.n_episodes)
        self._before = np.zeros(engine.n_episodes)
        self._scale = np.ones(engine.n_episodes)

    def beside(self, engine: LabelingEngine) -> Reward:
        """The same reward for episodes of another engine with the same corpora and options."""
        return Reward(engine, self.settings, self._attainable)

    def value(self) -> Array:
        """V of each episode now ``(E,)``."""
        return self._sign * self._engine.current[self.settings.metric]

    def _value_of_round(self) -> Array:
        """V of each episode when the round ended, on the dev rows that it began with ``(E,)``."""
        return self._sign * self._engine.reached[self.settings.metric]

    def start(self, episodes: npt.NDArray[np.int64]) -> None:
        """Note where newly reset episodes begin. Mutates."""
        value = self.value()
        self._start[episodes] = value[episodes]
        self._before[episodes] = value[episodes]
        if self._attainable is not None:
            for episode in episodes:
                full = self._sign * self._attainable.of(self._engine.draw_of(int(episode)))
                self._scale[episode] = max(full - value[episode], LEAST_SCALE)

    def state(self) -> dict[str, Tensor]:
        """What episodes began with and were last worth, by name."""
        return {name: torch.from_numpy(getattr(self, name)) for name in _CHANGING}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where ``state`` was taken. Mutates."""
        for name in _CHANGING:
            setattr(self, name, state[name].numpy().copy())

    def reached(self) -> npt.NDArray[np.bool_]:
        """Episodes that a reward with a target ends ``(E,)``."""
        if not self._form.ends_at_target:
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
        engine, value = self._engine, self._value_of_round()
        budget = float(engine.options.budget)
        played = PlayedRound(
            value,
            self._before,
            self._start,
            self._scale,
            cost,
            np.where(ended, np.maximum(budget - engine.spent, 0.0), 0.0),
            budget,
            ended,
            self.settings,
        )
        reward = np.asarray(self._form.of(played))
        if reward.shape != cost.shape or not np.isfinite(reward).all():
            raise ReActError(
                f"Reward {self.settings.kind!r} gave {reward!r:.80} for {cost.size} episodes; it must give "
                "one finite number for each."
            )
        self._before = self.value()
        return reward - self.settings.cost_weight * cost
