"""A query strategy that scores rows with a network and takes batches greedily, features kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from react_rl.acquisition.batching.selection import best_column, moments, to_ids
from react_rl.acquisition.features import Growth, feature_named
from react_rl.envs.context import POOL, PROGRESS, pool_numbers, progress_numbers
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.simulation.view import PoolView

ROW_FEATURES: Final = (
    *("margin", "relative_entropy", "second_probability", "third_probability", "gini"),
    *("density", "crowding", "novelty", "unsure_herding"),
    *("variance", "even_reduction", "variance_reduction"),
    *("balance", "rarity", "vote_entropy", "disagreement"),
)
"""Features of a row that a scorer sees unless told otherwise."""

ROW_CONTEXT: Final = (*PROGRESS, *POOL)
"""Context that a scorer sees: no number of the dev set is among it."""

CONTEXT_CLIP: Final = 5.0
"""Numbers of the context end here."""

CLIP: Final = 4.0
"""Standardised features end here."""

SHORT: Final = 64
"""Rows that stay in the race once the first row of a batch is picked."""


class RowFeatures:
    """The features of the rows of E pools as a scorer sees them, while a batch grows.

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


def row_context(view: PoolView, names: Sequence[str] = ROW_CONTEXT) -> Tensor:
    """The numbers that all rows of a pool share ``(E, G)``; nothing of the dev set."""
    progress = torch.from_numpy(progress_numbers(view)).float().to(view.device)
    numbers = torch.cat([progress, pool_numbers(view)], 1).nan_to_num().clamp(-CONTEXT_CLIP, CONTEXT_CLIP)
    return numbers[:, [ROW_CONTEXT.index(name) for name in names]]


class ScorerStrategy:
    """Takes the rows with the highest scores of a network, one after the other.

    After the first pick the best ``SHORT`` rows stay in the race; after each pick their features are those of
    a batch that holds it.

    Args:
        name: Name in tables and figures.
        network: From features ``(E, R, F)`` and context ``(E, G)`` to scores ``(E, R)``.
        features: What it sees of each row.
        context: What it sees of each pool.

    Raises:
        ReActError: A feature or a number of the context is unknown.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        features: Sequence[str] = ROW_FEATURES,
        context: Sequence[str] = ROW_CONTEXT,
    ) -> None:
        for feature in features:
            feature_named(feature)
        for number in context:
            if number not in ROW_CONTEXT:
                raise ReActError(f"A scorer knows no number {number!r} of the context; see ROW_CONTEXT.")
        self.name = name
        self.network = network
        self.features = tuple(features)
        self.context = tuple(context)

    def __repr__(self) -> str:
        weights = [values.cpu().numpy().tobytes() for values in self.network.state_dict().values()]
        seen = (*self.features, *self.context)
        return f"ScorerStrategy({self.name!r}, weights {digest(*weights, *seen)[:16]})"

    @torch.inference_mode()
    def score(self, view: PoolView) -> Tensor:
        """Scores of all rows as the first pick ``(E, P)``."""
        return self._score(RowFeatures(view, self.features), row_context(view, self.context))

    @torch.inference_mode()
    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        features, context = RowFeatures(view, self.features), row_context(view, self.context)
        scores = self._score(features, context)
        column = best_column(view, scores, view.available)
        picks = [column]
        if n > 1:
            masked = torch.where(view.available, scores, -torch.inf)
            rows = masked.topk(min(max(SHORT, n), view.width), dim=1).indices.sort(1).values
            free = view.available.gather(1, rows)
            features.narrow(rows)
        for _ in range(n - 1):
            chosen = column.clamp_min(0)
            free &= rows != chosen[:, None]
            # An episode without free rows picks nothing more, so what its row 0 does to the features is idle.
            features.add(chosen)
            place = best_column(view, self._score(features, context), free)
            column = torch.where(place >= 0, rows.gather(1, place.clamp_min(0)[:, None])[:, 0], -1)
            picks.append(column)
        return to_ids(view, torch.stack(picks, 1))

    def _score(self, features: RowFeatures, context: Tensor) -> Tensor:
        """Scores ``(E, R)`` of the rows that the features are of, equal for copies."""
        return features.growth.level(self.network(features.values, context))
