"""Action spaces: how an action of a policy becomes the row ids of the next batch.

Actions speak of features and strategies, never of pool positions, so a policy moves to other corpora,
pool sizes and numbers of classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_weighted, weighted_score
from react_rl.acquisition.features import feature_named
from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import Capability
from react_rl.learners.registry import LearnerSettings, check_needs
from react_rl.simulation.view import PoolView

WEIGHED_FEATURES: Final = ("margin", "entropy", "density", "novelty", "balance")
"""Features that the weigh-scores space weighs unless told otherwise."""

CHOSEN_STRATEGIES: Final = ("random", "margin", "entropy", "k-center", "typicality", "mixture")
"""Strategies that the choose-strategy space offers unless told otherwise."""


class ActionSpace(Protocol):
    """Turns actions of E episodes into queries."""

    @property
    def space(self) -> gymnasium.Space[Any]:
        """Space of one episode's action."""
        ...

    @property
    def needs(self) -> Mapping[str, frozenset[Capability]]:
        """What each strategy that an action may choose asks of the learner, by its name."""
        ...

    def decide(
        self, view: PoolView, actions: npt.NDArray[Any], n: int
    ) -> tuple[Tensor, npt.NDArray[np.bool_]]:
        """Return row ids ``(E, n)`` (-1 for none) and the episodes ``(E,)`` that the action stops."""
        ...

    def score(self, view: PoolView, actions: npt.NDArray[Any]) -> Tensor:
        """Say how much each row is wanted as the first pick under the actions, ``(E, P)``."""
        ...

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_action_space`` builds the same space."""
        ...


def check_learner_of(action_space: ActionSpace, learner: LearnerSettings | None) -> None:
    """Check that the learner can do what strategies among the actions need.

    Raises:
        ReActError: It cannot; the strategy and what to set are named.
    """
    for name, needs in action_space.needs.items():
        check_needs(name, needs, learner)


class WeighScores:
    """``Box(-1, 1, (F,))``: weights of standardised acquisition features; the batch is taken greedily.

    The weights are ``center + reach * action``: with a center, the zero action is that fixed mixture.

    Args:
        features: Names of the features, F of them.
        stop: Add a last coordinate; above 0.5 the episode stops and buys nothing more.
        center: Weight of each feature at action 0; features left out weigh 0 there.
        reach: How far an action moves the weights.

    Raises:
        ReActError: A feature is unknown or named twice, or ``center`` has a feature that is not weighed.
    """

    def __init__(
        self,
        features: Sequence[str] = WEIGHED_FEATURES,
        stop: bool = False,
        center: Mapping[str, float] | None = None,
        reach: float = 1.0,
    ) -> None:
        for feature in features:
            feature_named(feature)
        if len(set(features)) != len(features) or not features:
            raise ReActError(f"Features {list(features)} must be at least one, each named once.")
        for feature in center or {}:
            if feature not in features:
                raise unknown("center feature", feature, features)
        if not reach > 0:
            raise ReActError(f"reach {reach} must be above 0.")
        self.features = tuple(features)
        self.needs: dict[str, frozenset[Capability]] = {}
        self.stop = stop
        self.center = dict(center or {})
        self.reach = reach
        self.space = gymnasium.spaces.Box(-1.0, 1.0, (len(self.features) + stop,), np.float32)
        self._center = np.array([self.center.get(f, 0.0) for f in self.features], dtype=np.float32)

    def weights(self, actions: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Feature weights ``(E, F)`` that actions ``(E, F [+ 1])`` stand for."""
        clipped = np.clip(actions[:, : len(self.features)], -1.0, 1.0)
        weights: npt.NDArray[np.float32] = (self._center + self.reach * clipped).astype(np.float32)
        return weights

    def decide(
        self, view: PoolView, actions: npt.NDArray[Any], n: int
    ) -> tuple[Tensor, npt.NDArray[np.bool_]]:
        """Weigh, stop where the last coordinate says so, and take the batch greedily."""
        if not np.isfinite(actions).all():
            raise ReActError("An action holds a value that is not finite; check the policy's weights.")
        stopped = actions[:, -1] > 0.5 if self.stop else np.zeros(len(actions), dtype=np.bool_)
        if stopped.any():
            view = view.only(~stopped)
        weights = torch.from_numpy(self.weights(actions)).to(view.device)
        return take_weighted(view, self.features, weights, n), stopped

    def score(self, view: PoolView, actions: npt.NDArray[Any]) -> Tensor:
        """Weighted sum of standardised features ``(E, P)``."""
        weights = torch.from_numpy(self.weights(actions)).to(view.device)
        return weighted_score(view, self.features, weights)

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_action_space`` builds the same space."""
        return {
            "name": "weigh-scores",
            "features": list(self.features),
            "stop": self.stop,
            "center": self.center,
            "reach": self.reach,
        }


class ChooseStrategy:
    """``Discrete(K [+ 1])``: which query strategy takes this round's batch, or (last action) stop.

    Args:
        strategies: Names of the strategies, K of them.
        stop: Add a last action that ends the episode.
    """

    def __init__(self, strategies: Sequence[str] = CHOSEN_STRATEGIES, stop: bool = False) -> None:
        if len(set(strategies)) != len(strategies) or not strategies:
            raise ReActError(f"Strategies {list(strategies)} must be at least one, each named once.")
        self.names = tuple(strategies)
        self.needs = {name: entry_of(name).needs for name in strategies}
        self.stop = stop
        self._strategies = [make_strategy(name) for name in strategies]
        self.space = gymnasium.spaces.Discrete(len(self.names) + stop)

    def decide(
        self, view: PoolView, actions: npt.NDArray[Any], n: int
    ) -> tuple[Tensor, npt.NDArray[np.bool_]]:
        """Let each episode's strategy choose; no other episode's random stream moves."""
        actions = np.asarray(actions).reshape(-1)
        outside = (actions < 0) | (actions >= self.space.n)
        if outside.any():
            raise ReActError(
                f"Action {actions[outside][0]} is outside the action space; choose 0 to {self.space.n - 1}."
            )
        ids = torch.full((view.n_episodes, n), -1, dtype=torch.int64, device=view.device)
        for k in np.unique(actions[actions < len(self.names)]):
            chosen = actions == k
            focus = view if chosen.all() else view.only(chosen)
            picked = self._strategies[int(k)].select(focus, n)
            ids = torch.where(torch.from_numpy(chosen).to(view.device)[:, None], picked, ids)
        return ids, actions == len(self.names)

    def score(self, view: PoolView, actions: npt.NDArray[Any]) -> Tensor:
        """Scores of each episode's strategy ``(E, P)``; 0 where the episode stops."""
        actions = np.asarray(actions).reshape(-1)
        scores = torch.zeros(view.ids.shape, device=view.device)
        for k in np.unique(actions[actions < len(self.names)]):
            chosen = actions == k
            own = self._strategies[int(k)].score(view if chosen.all() else view.only(chosen))
            scores = torch.where(torch.from_numpy(chosen).to(view.device)[:, None], own.float(), scores)
        return scores

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_action_space`` builds the same space."""
        return {"name": "choose-strategy", "strategies": list(self.names), "stop": self.stop}


ACTION_SPACES: Final = {"weigh-scores": WeighScores, "choose-strategy": ChooseStrategy}


def make_action_space(name: str, **settings: Any) -> ActionSpace:
    """Build an action space by name.

    Raises:
        ReActError: Unknown name or setting; the nearest one is given.
    """
    if name not in ACTION_SPACES:
        raise unknown("action space", name, ACTION_SPACES)
    allowed = {
        "weigh-scores": ("features", "stop", "center", "reach"),
        "choose-strategy": ("strategies", "stop"),
    }
    for key in settings:
        if key not in allowed[name]:
            raise unknown(f"setting of action space {name!r}:", key, allowed[name])
    space: ActionSpace = ACTION_SPACES[name](**settings)
    return space
