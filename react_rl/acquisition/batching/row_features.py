"""Acquisition features of all rows side by side, standardised, kept up to date while a batch grows."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import moments
from react_rl.acquisition.features import Feature, Growth, feature_named
from react_rl.acquisition.features.landmarks import Landmarks
from react_rl.simulation.view import PoolView

ROW_FEATURES: Final = (
    *("margin", "relative_entropy", "second_probability", "third_probability", "gini"),
    *("density", "crowding", "novelty", "unsure_herding"),
    *("variance", "even_reduction", "variance_reduction"),
    *("balance", "rarity", "vote_entropy", "disagreement"),
)
"""Features of a row that policies over rows see unless told otherwise."""

CLASS_FREE_FEATURES: Final = (
    *("margin", "relative_entropy", "least_confidence"),
    *("density", "crowding", "novelty", "wide_novelty", "herding", "unsure_herding"),
    *("variance", "even_reduction", "unsure_reduction"),
    *("cheapness", "brevity"),
)
"""The same where rows have no classes."""

FEATURES_OF_TASKS: Final[dict[str, tuple[str, ...]]] = {
    "classification": ROW_FEATURES,
    "tagging": (*CLASS_FREE_FEATURES, "mentions", "peak_entropy"),
    "question-answering": CLASS_FREE_FEATURES,
}
"""Features of a row that policies over rows see unless told otherwise, by task."""

CLIP: Final = 4.0
"""Standardised features end here."""


class RowFeatures:
    """The features of the rows of E pools as policies see them, while a batch grows.

    Features are standardised over the available rows with the moments of the round's start.

    Args:
        view: The pools.
        features: Names of the features, F of them.
        landmarks: The rows that stand for the pools; None lets them be found.
        counted: Rows that the moments are of ``(E, P)`` bool; None for the available ones.
    """

    def __init__(
        self,
        view: PoolView,
        features: Sequence[str],
        landmarks: Landmarks | None = None,
        counted: Tensor | None = None,
    ) -> None:
        self.view = view
        self.growth = Growth(view, landmarks)
        known = [feature_named(name) for name in features]
        raw = self._raw(known)
        self.counted = view.available if counted is None else counted
        """Rows that the moments are of ``(E, P)`` bool."""
        self.scale = moments(view, raw, counted)
        """Mean and deviation of each feature ``(E, F, 1)``."""
        self._places = [f for f, feature in enumerate(known) if feature.moves]
        self._moving = [known[f] for f in self._places]
        self._moving_scale = [moment[:, self._places] for moment in self.scale]
        self._columns = standard(raw, *self.scale)

    @property
    def values(self) -> Tensor:
        """Standardised features ``(E, R, F)``."""
        return self._columns.transpose(1, 2)

    def narrowed(self, rows: Tensor) -> RowFeatures:
        """Features of the columns ``(E, R)`` alone, ascending; these here stay as they are."""
        other = copy(self)
        other.growth = self.growth.narrowed(rows)
        other._columns = self._columns.gather(2, rows[:, None].expand(-1, self._columns.shape[1], -1))
        return other

    def add(self, columns: Tensor) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates."""
        self.growth.add(columns)
        self._move()

    def absorb(self, columns: Tensor) -> None:
        """Count picked columns ``(E, K)`` as labelled, all at once; as ``add`` one by one. Mutates."""
        self.growth.absorb(columns)
        self._move()

    def _move(self) -> None:
        if self._moving:
            values = standard(self._raw(self._moving), *self._moving_scale)
            for place, column in zip(self._places, values.unbind(1), strict=True):
                self._columns[:, place] = column

    def _raw(self, features: Sequence[Feature]) -> Tensor:
        """The numbers of features ``(E, F, R)``, the same for copies; levelled together, which is quicker."""
        raw = torch.stack([feature.of(self.growth) for feature in features], 1)
        shared = [f for f, feature in enumerate(features) if feature.shared]
        if len(shared) == len(features):
            return self.growth.level(raw)
        raw[:, shared] = self.growth.level(raw[:, shared])
        return raw


def standard(raw: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Features shifted, scaled and cut off, in place."""
    return raw.sub_(mean).div_(deviation).clamp_(-CLIP, CLIP)
