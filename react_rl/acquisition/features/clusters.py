"""Which clusters of a pool have few labels for their size."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.clustering.centroids import nearest_centroids, sizes_of
from react_rl.acquisition.clustering.k_means import k_means
from react_rl.acquisition.features.landmarks import Landmarks
from react_rl.encoders.copies import first_copies, row_keys

MOST: Final = 32
"""Clusters of a pool, unless it is small."""

ROWS: Final = 16
"""Rows that a cluster has at least, on average."""


class ClusterGaps:
    """Share of the pool in each row's cluster, minus the share of the labels and picks that are there.

    Clusters are found by k-means among the landmarks, with the same random numbers in every pool, so that
    they follow from the pool alone; a row is in the cluster of the nearest centroid.

    Args:
        landmarks: The rows that stand for the pools.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        view = landmarks.view

        def found() -> tuple[Tensor, Tensor]:
            return _clusters(landmarks)

        self._place, self._size = view.kept("clusters", found) if landmarks.everyone else found()
        columns, live = view.labelled_columns
        self._labels = torch.zeros_like(self._size).scatter_add_(
            1, self._place.gather(1, columns), live.float()
        )

    @property
    def gaps(self) -> Tensor:
        """The differences ``(E, P)``, between -1 and 1."""
        share = self._labels / self._labels.sum(1, keepdim=True).clamp_min(1.0)
        return (self._size - share).gather(1, self._place)

    def add(self, columns: Tensor) -> None:
        """Count picked columns ``(E, K)`` as labelled. Mutates."""
        place = self._place.gather(1, columns)
        self._labels = self._labels.scatter_add(1, place, torch.ones_like(place, dtype=self._labels.dtype))


def _clusters(landmarks: Landmarks) -> tuple[Tensor, Tensor]:
    """Cluster of each row ``(E, P)`` and share of the pool in each cluster ``(E, K)``."""
    view, rows = landmarks.view, landmarks.columns >= 0
    if landmarks.everyone:
        rows = rows & landmarks.members
    counts = (rows.sum(1) // ROWS).clamp(1, MOST)
    found = k_means(
        view, rows, counts, vectors=landmarks.embeddings, generator=lambda _: np.random.default_rng(0)
    )
    everyone = torch.ones_like(view.ids, dtype=torch.bool)
    first = first_copies(row_keys(view.embeddings), everyone)
    place, _ = nearest_centroids(view.embeddings, everyone, first, found.centres, found.sizes == 0)
    of_landmarks = torch.where(rows, place.gather(1, landmarks.columns.clamp_min(0)), -1)
    sizes = sizes_of(of_landmarks, found.sizes.shape[1])
    return place, sizes / rows.sum(1, keepdim=True).clamp_min(1)
