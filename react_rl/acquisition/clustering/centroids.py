"""Rows and centroids of E clusterings: what is nearest, means, sizes, and what fills an empty cluster."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.wide.chunks import WIDE

TINY: Final = 1e-20
"""Keeps a division by a sum of weights finite."""

BLOCK: Final = 1 << 25
"""Distances of rows to centroids held at once, over all episodes of a chunk."""

_CACHED: Final = 1 << 19
"""The same for a wide pool: few enough to stay in a core's own cache from one operation to the next."""


def nearest_centroids(
    embeddings: Tensor, rows: Tensor, first: Tensor, centres: Tensor, unused: Tensor
) -> tuple[Tensor, Tensor]:
    """Nearest centroid of each row ``(E, R)``, -1 outside ``rows``, and its squared distance ``(E, R)``."""
    length = centres.square().sum(2).masked_fill(unused, torch.inf)
    best = torch.empty(rows.shape, device=rows.device)
    nearest = torch.empty(rows.shape, dtype=torch.int64, device=rows.device)
    alone = rows.shape[0] == 1 and rows.shape[1] >= WIDE
    step = max(1, (_CACHED if alone else BLOCK) // max(length.numel(), 1))
    for start in range(0, rows.shape[1], step):
        part = slice(start, start + step)
        if alone:
            table = torch.addmm(length, embeddings[0, part], centres[0].T, alpha=-2.0)[None]
        else:
            table = torch.baddbmm(
                length[:, None, :], embeddings[:, part], centres.transpose(1, 2), alpha=-2.0
            )
        best[:, part], nearest[:, part] = table.min(2)
    # Copies go where the first of them goes.
    nearest, best = nearest.gather(1, first), best.gather(1, first)
    return torch.where(rows, nearest, -1), (best + 1.0).clamp_min(0.0)


def sizes_of(assignment: Tensor, n_clusters: int) -> Tensor:
    """Rows of each cluster ``(E, K)`` int64 of an assignment ``(E, R)``; -1 counts in none."""
    n_episodes = assignment.shape[0]
    # Rows outside are counted in a column of their own, which is dropped.
    first = torch.arange(n_episodes, device=assignment.device)[:, None] * (n_clusters + 1)
    bags = torch.where(assignment >= 0, assignment, n_clusters) + first
    counts = torch.bincount(bags.flatten(), minlength=n_episodes * (n_clusters + 1))
    return counts.view(n_episodes, n_clusters + 1)[:, :n_clusters]


def means_of(
    embeddings: Tensor, assignment: Tensor, centres: Tensor, weights: Tensor | None, touched: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean of the rows of each cluster ``(E, K, D)``, empty ones where they were, and sizes ``(E, K)``.

    Clusters that are not ``touched`` ``(E, K)`` bool stay where they are; None touches all.
    """
    n_episodes, n_clusters, dimension = centres.shape
    sizes = sizes_of(assignment, n_clusters)
    moving = sizes > 0 if touched is None else (sizes > 0) & touched
    counted = torch.where(moving, sizes, 0)
    first = torch.arange(n_episodes, device=assignment.device)[:, None] * n_clusters
    taking = (assignment >= 0) & moving.gather(1, assignment.clamp_min(0))
    bags = torch.where(taking, assignment + first, n_episodes * n_clusters)
    # Rows in the order of their clusters: sums over runs are the same in every run, on a GPU too.
    order = bags.flatten().argsort(stable=True)[: int(counted.sum())]
    starts = counted.flatten().cumsum(0) - counted.flatten()
    table = embeddings.reshape(-1, dimension)
    if weights is None:
        sums = torch.nn.functional.embedding_bag(order, table, starts, mode="sum")
        total = sizes.clamp_min(1)
    else:
        share = weights.reshape(-1, 1)
        sums = torch.nn.functional.embedding_bag(
            order, table, starts, mode="sum", per_sample_weights=share[order, 0]
        )
        total = torch.nn.functional.embedding_bag(order, share, starts, mode="sum")
        total = total.view(sizes.shape).clamp_min(TINY)
    means = sums.view(n_episodes, n_clusters, dimension) / total[:, :, None]
    return torch.where(moving[:, :, None], means, centres), sizes


def refill(
    embeddings: Tensor,
    rows: Tensor,
    first: Tensor,
    assignment: Tensor,
    distance: Tensor,
    centres: Tensor,
    empty: Tensor,
) -> Tensor:
    """Put empty clusters ``(E, K)`` on the rows farthest from their centroids, one of each group of copies.

    A cluster that holds nothing but copies of one row keeps them.
    """
    centres = centres.clone()
    width, n_clusters = rows.shape[1], centres.shape[1]
    cluster = torch.where(assignment >= 0, assignment, n_clusters)
    lowest = first.new_full((len(rows), n_clusters + 1), width).scatter_reduce_(1, cluster, first, "amin")
    highest = first.new_full((len(rows), n_clusters + 1), -1).scatter_reduce_(1, cluster, first, "amax")
    places = torch.arange(width, device=rows.device)
    mixed = (lowest != highest).gather(1, cluster) & rows & (first == places)
    for episode in torch.nonzero(empty.any(1))[:, 0].tolist():
        clusters = torch.nonzero(empty[episode])[:, 0]
        far = torch.where(mixed[episode], distance[episode], -1.0).topk(min(clusters.numel(), width))
        columns = far.indices[far.values >= 0.0]
        centres[episode, clusters[: columns.numel()]] = embeddings[episode, columns]
    return centres
