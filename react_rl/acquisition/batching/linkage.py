"""Average-linkage clustering of small sets of rows, many sets at once."""

from __future__ import annotations

import torch
from torch import Tensor


def average_linkage(distance: Tensor, live: Tensor, n_clusters: int) -> Tensor:
    """Merge the two clusters with the smallest mean distance until ``n_clusters`` are left.

    The distance of a merged cluster is the size-weighted mean of its parts' (Lance & Williams 1967), so
    one merge costs O(k^2) and the whole O(k^3) for k rows; k is a few hundred at most.

    Args:
        distance: ``(E, k, k)`` symmetric distances; not changed.
        live: ``(E, k)`` bool, rows that take part.
        n_clusters: Clusters wanted; sets with fewer rows keep one row each.

    Returns:
        ``(E, k)`` int64: place of the first row of each row's cluster.
    """
    n_sets, k, _ = distance.shape
    place = torch.arange(k, device=distance.device)
    cluster = place.expand(n_sets, -1).clone()
    size = live.to(distance.dtype)
    apart = ~live[:, None, :] | ~live[:, :, None] | (place[:, None] >= place)  # each pair once
    distance = torch.where(live[:, None, :] & live[:, :, None], distance, torch.inf)
    candidates = distance.masked_fill(apart, torch.inf)
    excess = live.sum(1) - n_clusters
    sets = torch.arange(n_sets, device=distance.device)
    for step in range(max(int(excess.max()), 0)):
        e = sets[step < excess]  # (B,) sets that still have too many clusters
        flat = candidates.flatten(1).min(1).indices[e]
        first, second = flat // k, flat % k  # first < second
        one, two = size[e, first][:, None], size[e, second][:, None]
        merged = (one * distance[e, first] + two * distance[e, second]) / (one + two)  # (B, k)
        distance[e, first], distance[e, :, first] = merged, merged
        candidates[e, first] = merged.masked_fill(place <= first[:, None], torch.inf)
        candidates[e, :, first] = merged.masked_fill(place >= first[:, None], torch.inf)
        for array in (distance, candidates):
            array[e, second], array[e, :, second] = torch.inf, torch.inf
        size[e, first] += size[e, second]
        cluster[e] = torch.where(cluster[e] == second[:, None], first[:, None], cluster[e])
    return cluster
