"""The exact graph of nearest neighbours by cosine similarity, computed in blocks of bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from react_rl.encoders.progress import progress_bar
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import ReActError

_CANDIDATE_BLOCKS = 4
"""Width of a block of similarities over its height: long rows make the top k cheap."""

_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """For each row its k nearest other rows, nearest first, equal similarities by ascending id.

    Attributes:
        rows: (N,) int64 row ids, in the order in which they were asked for.
        ids: (N, k) int64 row ids of the neighbours; line i belongs to ``rows[i]``.
        similarity: (N, k) float32 cosine similarity, falling along each line.
    """

    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]

    @cached_property
    def density(self) -> npt.NDArray[np.float32]:
        """(N,) mean similarity of each row to its neighbours: high where the corpus is dense."""
        mean: npt.NDArray[np.float32] = self.similarity.mean(1, dtype=np.float32)
        return mean


def nearest_neighbours(
    embeddings: npt.NDArray[np.float32],
    k: int,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    block: int = 1024,
    device: str | None = None,
    progress: bool = False,
) -> NeighbourGraph:
    """Find the k most similar other rows of each row, exactly.

    Rows with equal embeddings are compared as one, so that they are neighbours of every row alike.

    Args:
        embeddings: (M, D) float32, one line per row id, of length one.
        k: Neighbours per row, 1 to N - 1.
        rows: (N,) distinct row ids to build the graph among; None for all. Neighbours are row ids too.
        block: Rows compared at a time; (block, 4 * block) similarities are held at once.
        device: Where to multiply, e.g. ``"cuda"``; None or ``"auto"`` for a GPU if there is one.
        progress: Show a bar on a terminal when the work lasts.

    Returns:
        The graph over the N rows.

    Raises:
        ReActError: k is out of range, ``rows`` repeats an id or names one that does not exist, or an
            embedding is not finite or not of length one.
    """
    chosen = _checked_rows(rows, len(embeddings))
    if not 1 <= k < len(chosen):
        raise ReActError(
            f"k is {k}, but there are {len(chosen)} rows; choose k from 1 to {max(len(chosen) - 1, 0)}."
        )
    # Positions below stand for ids in ascending order, so that order by position is order by id.
    ids = np.sort(chosen)
    vectors = embeddings if rows is None else embeddings[ids]
    _require_unit(vectors, ids)
    groups = _equal_rows(vectors)
    target = resolve_device(device or "auto")
    points = torch.from_numpy(np.ascontiguousarray(vectors[groups.members[groups.starts]])).to(target)
    del vectors
    count = len(points)
    neighbours = np.empty((len(ids), k), np.int64)
    similarity = np.empty((len(ids), k), np.float32)
    with progress_bar("Neighbours", count, progress) as advance, torch.inference_mode():
        for start in range(0, count, block):
            stop = min(count, start + block)
            # One more than k, because each point finds itself too.
            values, found = _top_points(points, start, stop, min(k + 1, count), block * _CANDIDATE_BLOCKS)
            lines, near, sims = _among_rows(groups, start, stop, values, found, k)
            neighbours[lines], similarity[lines] = ids[near], sims
            advance(stop - start)
    np.clip(similarity, -1, 1, out=similarity)
    if rows is not None:
        place = np.searchsorted(ids, chosen)
        neighbours, similarity = neighbours[place], similarity[place]
    return NeighbourGraph(chosen, neighbours, similarity)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Rows with equal vectors. Groups are ordered by their first row, rows within a group too.

    Attributes:
        members: (N,) positions, group after group.
        starts: (U,) where each group begins in ``members``.
        sizes: (U,) rows of each group.
    """

    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


def _top_points(
    points: torch.Tensor, start: int, stop: int, m: int, width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the m nearest points, themselves included, of points start to stop: two (B, m) arrays."""
    queries = points[start:stop]
    best = queries.new_empty((stop - start, 0))
    found = torch.empty((stop - start, 0), dtype=torch.int64, device=points.device)
    for left in range(0, len(points), width):
        similarity = queries @ points[left : left + width].T  # (B, C)
        values, places = _top_in_order(similarity, m)
        best = torch.cat([best, values], 1)
        # Blocks come in ascending order and the sort is stable, so equal values stay ordered by id.
        order = best.sort(dim=1, descending=True, stable=True)
        best = order.values[:, :m]
        found = torch.cat([found, places + left], 1).gather(1, order.indices[:, :m])
    return best.cpu().numpy(), found.cpu().numpy()


def _top_in_order(similarity: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the m largest of each row, falling, equal ones by ascending column."""
    width = similarity.shape[1]
    values, places = similarity.topk(min(m + 1, width), dim=1)
    kept = min(m, width)
    if width > m:
        # Which of several equal values topk keeps is left open; where that matters, sort the whole row.
        torn = (values[:, m - 1] == values[:, m]).nonzero()[:, 0]
        if len(torn):
            order = similarity[torn].sort(dim=1, descending=True, stable=True)
            values[torn, :m], places[torn, :m] = order.values[:, :m], order.indices[:, :m]
    by_place = places[:, :kept].sort(dim=1)
    values = values[:, :kept].gather(1, by_place.indices)
    by_value = values.sort(dim=1, descending=True, stable=True)
    return by_value.values, by_place.values.gather(1, by_value.indices)


def _among_rows(
    groups: _Groups,
    start: int,
    stop: int,
    values: npt.NDArray[np.float32],
    found: npt.NDArray[np.int64],
    k: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Spread the neighbours of points (groups of equal rows) over the rows themselves.

    Returns:
        Positions of the R rows of groups start to stop, and (R, k) neighbours and similarities.
    """
    # No line needs more than k + 1 rows of one group: k neighbours and perhaps itself.
    sizes = np.minimum(groups.sizes[found], k + 1).ravel()
    ends = sizes.cumsum()
    within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
    near = groups.members[np.repeat(groups.starts[found].ravel(), sizes) + within]
    sims = np.repeat(values.ravel(), sizes)
    line = np.repeat(np.repeat(np.arange(stop - start), found.shape[1]), sizes)
    order = np.lexsort((near, -sims, line))
    first = np.searchsorted(line, np.arange(stop - start))
    table = order[first[:, None] + np.arange(k + 1)]  # (B, k + 1) into near and sims

    size = groups.sizes[start:stop]
    rows = groups.members[groups.starts[start] : groups.starts[stop - 1] + groups.sizes[stop - 1]]
    table = np.repeat(table, size, axis=0)  # (R, k + 1)
    own = near[table] == rows[:, None]
    # A row that is not among its own k + 1 has as many equals before it; then the last one goes.
    own[~own.any(1), k] = True
    table = table[~own].reshape(-1, k)
    return rows, near[table], sims[table]


def _equal_rows(vectors: npt.NDArray[np.float32]) -> _Groups:
    """Group the rows whose vectors are equal to the last bit."""
    whole = np.ascontiguousarray(vectors)
    keys = whole.view(np.dtype((np.void, whole.shape[1] * whole.itemsize)))[:, 0]
    _, first, group, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    by_first = np.argsort(first)
    rank = np.empty_like(by_first)
    rank[by_first] = np.arange(len(by_first))
    sizes = sizes[by_first]
    members = np.argsort(rank[group], kind="stable")
    return _Groups(members, np.concatenate([[0], sizes.cumsum()[:-1]]), sizes)


def _checked_rows(rows: npt.NDArray[np.int64] | None, total: int) -> npt.NDArray[np.int64]:
    if rows is None:
        return np.arange(total, dtype=np.int64)
    chosen = np.array(rows, np.int64)
    outside = chosen[(chosen < 0) | (chosen >= total)]
    if outside.size:
        raise ReActError(f"Row id {outside[0]} does not exist; the embeddings have rows 0 to {total - 1}.")
    distinct, counts = np.unique(chosen, return_counts=True)
    if len(distinct) < len(chosen):
        raise ReActError(f"Row id {distinct[counts > 1][0]} is asked for twice; name each row once.")
    return chosen


def _require_unit(vectors: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> None:
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    # Written so that NaN counts as wrong.
    wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if wrong.size:
        raise ReActError(
            f"The embedding of row id {ids[wrong[0]]} has length {norms[wrong[0]]:.4g}; neighbours need "
            "finite rows of length one, so no text may have a vector of zeros."
        )
