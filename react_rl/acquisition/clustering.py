"""Seeded k-means on unit-norm embeddings, E episodes at once: k-means++ seeding and Lloyd's iterations.

Random numbers come from each episode's strategy stream and fall on rows in an order that depends on the
vectors only, so that renumbering the rows of a corpus changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.simulation.view import PoolView

SAME: Final = 1e-6
"""Squared distance below which two rows count as copies: the rounding of float32 similarities."""

_BLOCK: Final = 1 << 25
"""Distances of rows to centroids held at once, over all episodes of a chunk."""


@dataclass(frozen=True)
class Clusters:
    """A clustering of E pools.

    Args:
        assignment: ``(E, P)`` int64 cluster of each row, -1 for rows that took no part.
        distance: ``(E, P)`` float32 squared distance of each row to its centroid.
        centres: ``(E, K, D)`` float32 centroids.
        sizes: ``(E, K)`` int64 rows of each cluster. A cluster is empty where the pool has fewer distinct
            rows than clusters, and past the number of clusters of the episode.
    """

    assignment: Tensor
    distance: Tensor
    centres: Tensor
    sizes: Tensor


def k_means(
    view: PoolView, rows: Tensor, counts: Tensor, max_iterations: int = 100, tolerance: float = 1e-4
) -> Clusters:
    """Cluster some rows of each pool.

    Minimises ``sum_i |x_i - c_a(i)|^2``. Seeds: Arthur & Vassilvitskii 2007, k-means++ (the next seed is
    row x with probability proportional to its squared distance to the nearest seed). Iterations: Lloyd
    1982, until the centroids move by less than ``tolerance`` times the mean variance of a coordinate. A
    cluster that loses all rows starts again at the row that lies farthest from its centroid.

    Args:
        view: The pools.
        rows: ``(E, P)`` bool, the rows to cluster. Episodes without any draw no random numbers.
        counts: ``(E,)`` int64 clusters of each episode; no more than its rows are made.
        max_iterations: Most Lloyd iterations.
        tolerance: See above; 0 waits until nothing moves.
    """
    counts = torch.minimum(counts, rows.sum(1))
    widest = max(int(counts.max()), 1)
    chunk = max(1, _BLOCK // (view.width * widest))
    parts = []
    for start in range(0, view.n_episodes, chunk):
        episodes = range(start, min(start + chunk, view.n_episodes))
        part = slice(start, episodes.stop)
        embeddings = view.embeddings[part]
        directions = torch.zeros(len(episodes), embeddings.shape[2], 1)
        uniforms = torch.zeros(len(episodes), widest, dtype=torch.float64)
        for place, (episode, count) in enumerate(zip(episodes, counts[part].tolist(), strict=True)):
            if count > 0:
                stream = view.generator(episode)
                directions[place, :, 0] = torch.from_numpy(stream.standard_normal(embeddings.shape[2]))
                uniforms[place, :count] = torch.from_numpy(stream.random(count))
        position = torch.bmm(embeddings, directions.to(view.device))[:, :, 0]  # (E, P)
        order = torch.where(rows[part], position, torch.inf).argsort(dim=1, stable=True)
        centres = seed_centres(embeddings, rows[part], order, uniforms.to(view.device))
        parts.append(lloyd(embeddings, rows[part], centres, counts[part], max_iterations, tolerance))
    return Clusters(*(torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS))


_FIELDS = ("assignment", "distance", "centres", "sizes")


def seed_centres(embeddings: Tensor, rows: Tensor, order: Tensor, uniforms: Tensor) -> Tensor:
    """Choose k-means++ seeds.

    Args:
        embeddings: ``(E, P, D)`` unit-norm rows.
        rows: ``(E, P)`` bool, rows that may be seeds.
        order: ``(E, P)`` int64 columns, those of ``rows`` first: the order in which chances are laid out.
        uniforms: ``(E, K)`` float64 numbers in [0, 1), one for each seed.

    Returns:
        ``(E, K, D)`` seeds. Where all rows are copies of seeds, further seeds are copies too.
    """
    chance = rows.to(torch.float64)
    last = (rows.sum(1, keepdim=True) - 1).clamp_min(0)
    nearest = torch.full(rows.shape, torch.inf, device=rows.device)
    seeds = []
    for j in range(uniforms.shape[1]):
        reach = chance.gather(1, order).cumsum(1)
        place = torch.searchsorted(reach, uniforms[:, j : j + 1] * reach[:, -1:], right=True)
        column = order.gather(1, torch.minimum(place, last))  # (E, 1)
        seed = embeddings.gather(1, column[:, :, None].expand(-1, -1, embeddings.shape[2]))
        seeds.append(seed)
        distance = 2.0 - 2.0 * torch.bmm(embeddings, seed.transpose(1, 2))[:, :, 0]
        nearest = torch.minimum(nearest, torch.where(distance > SAME, distance, 0.0))
        chance = torch.where(rows, nearest, 0.0).to(torch.float64)
        chance = torch.where(chance.any(1, keepdim=True), chance, rows.to(torch.float64))
    return torch.cat(seeds, 1)


def lloyd(
    embeddings: Tensor, rows: Tensor, centres: Tensor, counts: Tensor, max_iterations: int, tolerance: float
) -> Clusters:
    """Move centroids to the means of their rows until they rest.

    Args:
        embeddings: ``(E, P, D)`` unit-norm rows.
        rows: ``(E, P)`` bool, rows that take part.
        centres: ``(E, K, D)`` where to start.
        counts: ``(E,)`` int64: the first so many centroids of an episode are used.
        max_iterations: Most iterations.
        tolerance: Rest means a squared shift of at most this times the mean variance of a coordinate.
    """
    unused = torch.arange(centres.shape[1], device=rows.device) >= counts[:, None]  # (E, K)
    weight = rows.to(embeddings.dtype)
    mean = torch.bmm(weight[:, None, :], embeddings)[:, 0] / weight.sum(1, keepdim=True).clamp_min(1.0)
    variance = (1.0 - mean.square().sum(1)).clamp_min(0.0) / embeddings.shape[2]
    running = counts > 0
    for _ in range(max_iterations):
        assignment, distance = _nearest(embeddings, rows, centres, unused)
        moved, sizes = _means(embeddings, assignment, centres)
        moved = _refill(embeddings, rows, distance, moved, (sizes == 0) & ~unused)
        shift = (moved - centres).square().sum((1, 2))
        # An episode that rests stands still, so that its result does not depend on its neighbours.
        centres = torch.where(running[:, None, None], moved, centres)
        running = running & (shift > tolerance * variance)
        if not running.any():
            break
    assignment, distance = _nearest(embeddings, rows, centres, unused)
    return Clusters(assignment, distance, centres, _sizes(assignment, centres.shape[1]))


def _nearest(embeddings: Tensor, rows: Tensor, centres: Tensor, unused: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centroid of each row ``(E, P)``, -1 outside ``rows``, and its squared distance ``(E, P)``."""
    length = centres.square().sum(2).masked_fill(unused, torch.inf)
    table = torch.baddbmm(length[:, None, :], embeddings, centres.transpose(1, 2), alpha=-2.0)
    best, nearest = table.min(2)
    return torch.where(rows, nearest, -1), (best + 1.0).clamp_min(0.0)


def _sizes(assignment: Tensor, n_clusters: int) -> Tensor:
    n_episodes = assignment.shape[0]
    # Rows outside are counted in a column of their own, which is dropped.
    first = torch.arange(n_episodes, device=assignment.device)[:, None] * (n_clusters + 1)
    bags = torch.where(assignment >= 0, assignment, n_clusters) + first
    counts = torch.bincount(bags.flatten(), minlength=n_episodes * (n_clusters + 1))
    return counts.view(n_episodes, n_clusters + 1)[:, :n_clusters]


def _means(embeddings: Tensor, assignment: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the rows of each cluster ``(E, K, D)``, empty ones where they were, and sizes ``(E, K)``."""
    n_episodes, n_clusters, dimension = centres.shape
    sizes = _sizes(assignment, n_clusters)
    first = torch.arange(n_episodes, device=assignment.device)[:, None] * n_clusters
    bags = torch.where(assignment >= 0, assignment + first, n_episodes * n_clusters)
    # Rows in the order of their clusters: sums over runs are the same in every run, on a GPU too.
    order = bags.flatten().argsort(stable=True)[: int(sizes.sum())]
    starts = sizes.flatten().cumsum(0) - sizes.flatten()
    sums = torch.nn.functional.embedding_bag(order, embeddings.reshape(-1, dimension), starts, mode="sum")
    means = sums.view(n_episodes, n_clusters, dimension) / sizes.clamp_min(1)[:, :, None]
    return torch.where((sizes > 0)[:, :, None], means, centres), sizes


def _refill(embeddings: Tensor, rows: Tensor, distance: Tensor, centres: Tensor, empty: Tensor) -> Tensor:
    """Put empty clusters ``(E, K)`` on the rows farthest from their centroids, unless these are copies."""
    if not empty.any():
        return centres
    centres = centres.clone()
    for episode in torch.nonzero(empty.any(1))[:, 0].tolist():
        clusters = torch.nonzero(empty[episode])[:, 0]
        far = torch.where(rows[episode], distance[episode], -1.0).topk(min(clusters.numel(), rows.shape[1]))
        columns = far.indices[far.values > SAME]
        centres[episode, clusters[: columns.numel()]] = embeddings[episode, columns]
    return centres
