"""Batches from some rows of each pool: one from each cluster of the candidates, the rest at random."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import to_ids
from react_rl.acquisition.clustering.k_means import Clusters, k_means, nearest_members
from react_rl.simulation.view import PoolView

_OUTSIDE: Final = -5.0
"""Score of a row that is no candidate; squared distances of unit vectors are at most 4."""


def spread_over_candidates(view: PoolView, candidates: Tensor, n: int) -> Tensor:
    """Row ids ``(E, n)``: the candidate nearest to each of n centroids, then other rows at random.

    Args:
        view: The pools.
        candidates: ``(E, P)`` bool; what cannot be bought does not count.
        n: Rows wanted.
    """
    candidates = candidates & view.available
    clusters = _clusters(view, candidates, n)
    luck = view.random()
    picked = nearest_members(clusters, luck, n)
    lacking = picked < 0
    if not bool((lacking & (view.n_available > 0)[:, None]).any()):
        return to_ids(view, picked)
    others = torch.where(view.available & ~candidates, luck, -1.0)
    best = others.topk(min(n, view.width), dim=1)
    filling = torch.where(best.values >= 0, best.indices, -1)
    filling = torch.nn.functional.pad(filling, (0, n + 1 - filling.shape[1]), value=-1)
    # Candidates come first, so the j-th place that lacks one takes the j-th of the others.
    place = torch.where(lacking, lacking.cumsum(1) - 1, n)
    return to_ids(view, torch.where(lacking, filling.gather(1, place), picked))


def candidate_scores(view: PoolView, candidates: Tensor) -> Tensor:
    """Minus the squared distance to the own centroid ``(E, P)``; -5 for rows that are no candidates."""
    candidates = candidates & view.available
    distance = _clusters(view, candidates, view.progress.batch_size).distance
    return view.level(torch.where(candidates, -distance, _OUTSIDE))


def _clusters(view: PoolView, candidates: Tensor, n: int) -> Clusters:
    """N clusters of the candidates' unit-norm features."""
    counts = torch.full((view.n_episodes,), n, device=view.device)
    own = None if view.linear else torch.nn.functional.normalize(view.features, dim=2)
    return k_means(view, candidates, counts, vectors=own)
