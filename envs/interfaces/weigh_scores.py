"""The weigh-scores interface: an action weighs standardised acquisition features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_weighted, weighted_score
from react_rl.acquisition.features import feature_named
from react_rl.envs.interfaces.contract import Decision, Frame, Interface, each_once, needs_of_features
from react_rl.envs.observations import Observation
from react_rl.errors import ReActError, unknown

WEIGHED_FEATURES: Final = ("margin", "entropy", "density", "novelty", "balance")
"""Features that the weigh-scores space weighs unless told otherwise."""


class WeighScores(Interface):
    """``Box(-1, 1, (F,))``: weights of standardised acquisition features; the batch is taken greedily.

    The weights are ``center + reach * action``: with a center, the zero action is that fixed mixture.

    Args:
        features: Names of the features, F of them.
        stop: Add a last coordinate; above 0.5 the episode stops and buys nothing more.
        center: Weight of each feature at action 0; features left out weigh 0 there.
        reach: How far an action moves the weights.
        observation: What the policy sees; None is the context observation.

    Raises:
        ReActError: A feature is unknown or named twice, or ``center`` has a feature that is not weighed.
    """

    def __init__(
        self,
        features: Sequence[str] = WEIGHED_FEATURES,
        stop: bool = False,
        center: Mapping[str, float] | None = None,
        reach: float = 1.0,
        *,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(observation=observation)
        for feature in features:
            feature_named(feature)
        self.features = each_once("Features", features)
        for feature in center or {}:
            if feature not in features:
                raise unknown("center feature", feature, features)
        if not reach > 0:
            raise ReActError(f"reach {reach} must be above 0.")
        self.needs = needs_of_features(features)
        self.stop = stop
        self.center = dict(center or {})
        self.reach = reach
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(self.features) + stop,), np.float32)
        self._center = np.array([self.center.get(f, 0.0) for f in self.features], dtype=np.float32)

    def weights(self, actions: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Feature weights ``(E, F)`` that actions ``(E, F [+ 1])`` stand for."""
        clipped = np.clip(actions[:, : len(self.features)], -1.0, 1.0)
        weights: npt.NDArray[np.float32] = (self._center + self.reach * clipped).astype(np.float32)
        return weights

    def decide(self, frame: Frame, actions: npt.NDArray[Any]) -> Decision:
        """Weigh, stop where the last coordinate says so, and take the batch greedily."""
        if not np.isfinite(actions).all():
            raise ReActError("An action holds a value that is not finite; check the policy's weights.")
        stopped = actions[:, -1] > 0.5 if self.stop else np.zeros(len(actions), dtype=np.bool_)
        view = frame.view.only(~stopped) if stopped.any() else frame.view
        weights = torch.from_numpy(self.weights(actions)).to(view.device)
        return Decision(take_weighted(view, self.features, weights, frame.batch_size), stopped)

    def score(self, frame: Frame, actions: npt.NDArray[Any]) -> Tensor:
        """Weighted sum of standardised features ``(E, P)``."""
        weights = torch.from_numpy(self.weights(actions)).to(frame.view.device)
        return weighted_score(frame.view, self.features, weights)

    def describe(self) -> dict[str, Any]:
        """Name and settings from which ``make_interface`` builds the same."""
        return {
            "name": "weigh-scores",
            "features": list(self.features),
            "stop": self.stop,
            "center": self.center,
            "reach": self.reach,
        }
