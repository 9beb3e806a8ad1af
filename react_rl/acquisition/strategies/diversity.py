"""Diversity by clusters: one row from each group of alike rows (k-means, TypiClust)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import to_ids
from react_rl.acquisition.clustering.k_means import SAME, Clusters, k_means, nearest_members
from react_rl.simulation.view import PoolView

_BLOCK = 1 << 24
"""Similarities inside a cluster held at once."""


@dataclass(frozen=True)
class KMeansSampling:
    """The row nearest to each of n centroids of the unlabelled rows; ties at random (k-means, ALPS).

    n clusters are made of the available rows, and each gives the member nearest to its centroid, so the
    rows are distinct. Where the pool has fewer distinct rows than that, clusters give their second
    nearest, and so on. The batch is ordered by the distance to the centroid.

    With the surprisal vectors of a masked language model instead of the embeddings (``encoders.surprisal``)
    this is ALPS: rows that surprise the model in different places.

    Source: Bodó et al. 2011, Active learning with clustering; Yuan et al. 2020, Cold-start active learning
    through self-supervised language modeling (BERT-KM and ALPS).

    Args:
        name: Name in tables and configs.
        space: Vectors that are clustered.
    """

    name: str = "k-means"
    space: Literal["embeddings", "surprisal"] = "embeddings"

    def score(self, view: PoolView) -> Tensor:
        """Minus the squared distance to the own centroid ``(E, P)``, for a batch of the episode's size."""
        return -self._clusters(view, view.progress.batch_size).distance

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the row nearest to each of ``n`` centroids."""
        return to_ids(view, nearest_members(self._clusters(view, n), view.random(), n))

    def _clusters(self, view: PoolView, n: int) -> Clusters:
        counts = torch.full((view.n_episodes,), n, device=view.device)
        return k_means(
            view, view.available, counts, vectors=view.surprisal if self.space == "surprisal" else None
        )


@dataclass(frozen=True)
class TypiClust:
    """The most typical row of the largest clusters that hold no labelled row yet.

    All rows, labelled or not, are put into ``min(labelled + n, 500)`` clusters. A pick takes the cluster
    with the fewest labelled and picked rows, among these the largest, and of its unlabelled rows the
    one with the greatest typicality ``(mean distance to its 20 nearest rows inside the cluster)^-1``.
    So clusters without a label come first, and when all are covered they serve again. Clusters of at most
    ``small`` rows come after all others, where the authors' code drops them.

    Source: Hacohen, Dekel & Weinshall 2022, Active learning on a budget: opposite strategies suit high
    and low budgets.

    Args:
        name: Name in tables and configs.
        neighbours: Nearest rows that typicality is measured with.
        most_clusters: Most clusters.
        small: Clusters of at most so many rows come last.
    """

    name: str = "typiclust"
    neighbours: int = 20
    most_clusters: int = 500
    small: int = 5

    def score(self, view: PoolView) -> Tensor:
        """Minus the place of the row's cluster in the queue, plus ``1 / (1 + mean distance)``, ``(E, P)``."""
        scores = torch.full(view.ids.shape, -torch.inf, dtype=torch.float64)
        for groups in self._groups(view, view.progress.batch_size):
            for place, cluster in enumerate(groups.queue(groups.covered, groups.left)):
                wanted = 1.0 / (1.0 + groups.mean_distance(cluster)) - place
                scores[groups.episode, groups.columns[cluster]] = torch.from_numpy(wanted)
        return view.level(scores.to(view.device))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` typical rows."""
        columns = torch.full((view.n_episodes, n), -1)
        available = view.available.cpu().numpy()
        for groups in self._groups(view, n):
            free, covered, left = available[groups.episode].copy(), groups.covered.copy(), groups.left.copy()
            stream = view.generator(groups.episode)
            for pick in range(min(n, int(free.sum()))):
                cluster = groups.queue(covered, left)[0]
                members = groups.columns[cluster]
                distance = np.where(free[members], groups.mean_distance(cluster), np.inf)
                # The two rows of a pair tie, whichever way their one distance is rounded.
                equal = np.flatnonzero(distance <= distance.min() + SAME)
                column = members[equal[stream.integers(equal.size)] if equal.size > 1 else equal[0]]
                columns[groups.episode, pick] = int(column)
                free[column] = False
                left[cluster] -= 1
                covered[cluster] += 1
        return to_ids(view, columns.to(view.device))

    def _groups(self, view: PoolView, n: int) -> Iterator[_Groups]:
        """Cluster the pools of the episodes that can buy something."""
        buying = view.available.any(1)
        rows = (view.available | view.labelled) & buying[:, None]
        counts = (view.labelled.sum(1) + n).clamp_max(self.most_clusters)
        clusters = k_means(view, rows, counts)
        assignment = clusters.assignment.cpu().numpy()
        available = view.available.cpu().numpy()
        # Luck must not depend on how many clusters other episodes have.
        made = assignment.max(1) + 1
        for episode in torch.nonzero(buying)[:, 0].tolist():
            yield _Groups(self, view, episode, assignment[episode], available[episode], int(made[episode]))


class _Groups:
    """Clusters of one episode: ``columns``, rows ``covered`` and ``left`` to buy of each of K of them."""

    def __init__(
        self,
        strategy: TypiClust,
        view: PoolView,
        episode: int,
        assignment: npt.NDArray[np.int64],
        available: npt.NDArray[np.bool_],
        n_clusters: int,
    ) -> None:
        order = np.argsort(assignment, kind="stable")
        bounds = np.searchsorted(assignment[order], np.arange(n_clusters + 1))
        self.episode = episode
        self.columns = [order[a:b] for a, b in pairwise(bounds)]
        self.left = np.bincount(assignment[available], minlength=n_clusters)
        self._sizes = np.diff(bounds)
        self.covered = self._sizes - self.left
        self._small = self._sizes <= strategy.small
        self._neighbours = strategy.neighbours
        self._embeddings = view.embeddings[episode]
        self._luck = view.generator(episode).permutation(n_clusters)
        self._distances: dict[int, npt.NDArray[np.float64]] = {}

    def queue(self, covered: npt.NDArray[np.int64], left: npt.NDArray[np.int64]) -> list[int]:
        """Clusters with rows left, the next one first."""
        queue = np.lexsort((self._luck, -self._sizes, covered, self._small))
        return [int(cluster) for cluster in queue if left[cluster] > 0]

    def mean_distance(self, cluster: int) -> npt.NDArray[np.float64]:
        """Mean distance of each member to its nearest others."""
        if cluster not in self._distances:
            columns = torch.from_numpy(self.columns[cluster]).to(self._embeddings.device)
            self._distances[cluster] = mean_distance(self._embeddings[columns], self._neighbours)
        return self._distances[cluster]


def mean_distance(rows: Tensor, neighbours: int) -> npt.NDArray[np.float64]:
    """Mean Euclidean distance of each unit-norm row ``(m, D)`` to its nearest others, ``(m,)``.

    0 for a single row and for rows with as many copies.

    Args:
        rows: The rows of a cluster.
        neighbours: How many others to take, at most m - 1.
    """
    count = rows.shape[0]
    k = min(neighbours, count - 1)
    if k == 0:
        return np.zeros(count)
    means = torch.empty(count, dtype=torch.float64, device=rows.device)
    step = max(1, _BLOCK // count)
    for start in range(0, count, step):
        similarity = rows[start : start + step] @ rows.T
        similarity.diagonal(start).fill_(-torch.inf)
        square = 2.0 - 2.0 * similarity.topk(k, dim=1).values.to(torch.float64)
        means[start : start + step] = torch.where(square > SAME, square, 0.0).sqrt().mean(1)
    found: npt.NDArray[np.float64] = means.cpu().numpy()
    return found
