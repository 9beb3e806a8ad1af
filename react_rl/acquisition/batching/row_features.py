"""Acquisition features of all rows side by side, standardised, kept up to date while a batch grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import moments
from react_rl.acquisition.features import Growth, feature_named
from react_rl.simulation.view import PoolView

ROW_FEATURES: Final = (
    *("margin", "relative_entropy", "second_probability", "third_probability", "gini"),
    *("density", "crowding", "novelty", "unsure_herding"),
    *("variance", "even_reduction", "variance_reduction"),
    *("balance", "rarity", "vote_entropy", "disagreement"),
)
"""Features of a row that policies over rows see unless told otherwise."""

CLIP: Final = 4.0
"""Standardised features end here."""


class RowFeatures:
    """The features of the rows of E pools as policies see them, while a batch grows.

    Features are standardised over the available rows with the moments of the round's start.

    Args:
        view: The pools.
        features: Names of the features, F of them.
    """

    def __init__(self, view: PoolView, features: Sequence[str]) -> None:
        self.growth = Growth(view)
        known = [feature_named(name) for name in features]
        raw = [feature.of(self.growth) for feature in known]
        self._scale = [moments(view, column) for column in raw]
        self._moving = [(f, feature.of) for f, feature in enumerate(known) if feature.moves]
        columns = [self._standard(f, column) for f, column in enumerate(raw)]
        self.values = torch.stack(columns, 2)
        """Standardised features ``(E, R, F)``."""

    def _standard(self, f: int, column: Tensor) -> Tensor:
        mean, deviation = self._scale[f]
        return ((column - mean) / deviation).clamp_(-CLIP, CLIP)

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on. Mutates."""
        self.growth.narrow(rows)
        self.values = self.values.gather(1, rows[:, :, None].expand(-1, -1, self.values.shape[2]))

    def add(self, columns: Tensor) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates."""
        self.growth.add(columns)
        for f, of in self._moving:
            self.values[:, :, f] = self._standard(f, of(self.growth))
