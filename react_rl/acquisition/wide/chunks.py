"""Walking a wide pool in pieces, so that memory does not grow with members times classes times rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from react_rl.simulation.view import PoolView

WIDE: Final = 20_000
"""Columns from which on a pool is wide: passes over all of it cost more than care for the cache does."""

_NUMBERS = 1 << 24
"""Numbers of one temporary array (64 MiB of float32)."""

_CACHED = 1 << 19
"""The same for wide pools: few enough to stay in a core's own cache from one operation to the next."""

_VECTOR = 64
"""Columns that divide the width of a slice of a wide pool."""


def column_slices(view: PoolView, per_column: int) -> Iterator[slice]:
    """Cut the columns of the pool into slices, ``per_column`` numbers of one episode to each column.

    Small pools come in one piece.
    """
    width = max(_NUMBERS // max(view.n_episodes * per_column, 1), 1)
    if view.width >= WIDE:
        # Whole vectors of the processor, so that sums over equal numbers are equal in every slice.
        width = max(_CACHED // max(view.n_episodes * per_column, 1) // _VECTOR, 1) * _VECTOR
    for start in range(0, view.width, width):
        yield slice(start, min(start + width, view.width))


def square_tiles(view: PoolView, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Cut the square of all pairs of columns into tiles of up to ``numbers`` numbers over all episodes.

    A tile and its mirror image come once, so the first slice is never behind the second.
    """
    edge = max(int((numbers / max(view.n_episodes, 1)) ** 0.5), 1)
    slices = [slice(start, min(start + edge, view.width)) for start in range(0, view.width, edge)]
    for first, one in enumerate(slices):
        for other in slices[first:]:
            yield one, other
