"""Nearest centroids of the rows of a wide pool while the centroids move: exact, but most rows are left alone.

A row keeps a bound on the distance to its own centroid and bounds on the distances to groups of others. As
long as these do not cross, however far the centroids moved, its nearest centroid is the old one.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_GROUPS: Final = 8
"""Groups of centroids: with more, bounds are sharper, and cost more to keep."""

_TABLE: Final = 1 << 19
"""Distances of rows to centroids held at once."""

_ROUNDING: Final = 2e-6
"""More than the error of a squared distance of unit vectors in float32."""


class MovingCentres:
    """The nearest of K moving centroids for the rows of one pool.

    Source: Ding et al. 2015, Yinyang k-means (bounds for groups of centroids); Hamerly 2010, Making k-means
    even faster.

    Args:
        embeddings: ``(P, D)`` float32 unit-norm rows.
        rows: ``(P,)`` bool, rows that take part.
        unused: ``(K,)`` bool, centroids that never are the nearest.
    """

    def __init__(self, embeddings: Tensor, rows: Tensor, unused: Tensor) -> None:
        self._embeddings, self._unused = embeddings, unused
        self._members = torch.nonzero(rows)[:, 0]  # (m,)
        count, device = self._members.numel(), rows.device
        self._nearest = torch.zeros(count, dtype=torch.int64, device=device)
        self._upper = torch.full((count,), torch.inf, device=device)
        self._lower = torch.zeros(count, _GROUPS, device=device)
        self._centres: Tensor | None = None

    def assign(self, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest centroids after a move.

        Args:
            centres: ``(K, D)`` float32.

        Returns:
            The nearest for each row ``(P,)`` int64, -1 for rows outside; and which centroids won or lost a
            row since the last call ``(K,)`` bool, at first all.
        """
        first = self._centres is None
        before = self._nearest.clone()
        if self._centres is not None:
            shift = (centres - self._centres).square().sum(1).sqrt() + _ROUNDING
            self._upper += shift[self._nearest]
            self._lower -= _grouped(shift[None], 0.0).amax(2)
        self._centres = centres
        open_places = torch.nonzero(self._lower.amin(1) <= self._upper)[:, 0]
        length = centres.square().sum(1).masked_fill(self._unused, torch.inf) + 1.0
        for places in torch.split(open_places, max(1, _TABLE // centres.shape[0])):
            self._measure(places, centres, length)
        assignment = torch.full(self._embeddings.shape[:1], -1, device=centres.device)
        assignment[self._members] = self._nearest
        changed = before != self._nearest
        touched = torch.full(self._unused.shape, first, device=centres.device)
        touched[before[changed]] = True
        touched[self._nearest[changed]] = True
        return assignment, touched

    def _measure(self, places: Tensor, centres: Tensor, length: Tensor) -> None:
        """Find the nearest centroid of some members again, and their bounds. Mutates."""
        table = torch.addmm(length[None], self._embeddings[self._members[places]], centres.T, alpha=-2.0)
        best, nearest = table.min(1)
        self._nearest[places] = nearest
        self._upper[places] = (best + _ROUNDING).clamp_(min=_ROUNDING).sqrt_()
        others = _grouped(table.scatter_(1, nearest[:, None], torch.inf), torch.inf).amin(2)
        self._lower[places] = (others - _ROUNDING).clamp_(min=0.0).sqrt_()


def _grouped(values: Tensor, filler: float) -> Tensor:
    """Values of centroids ``(R, K)`` by groups ``(R, G, K / G)``; the last group is filled up."""
    missing = -values.shape[1] % _GROUPS
    if missing:
        values = torch.nn.functional.pad(values, (0, missing), value=filler)
    return values.view(values.shape[0], _GROUPS, values.shape[1] // _GROUPS)
