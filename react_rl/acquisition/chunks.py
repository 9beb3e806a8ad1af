"""Walking a wide pool in pieces, so that memory does not grow with members times classes times rows."""

from __future__ import annotations

from collections.abc import Iterator

from react_rl.simulation.view import PoolView

_NUMBERS = 1 << 24
"""Numbers of one temporary array (64 MiB of float32)."""


def column_slices(view: PoolView, per_column: int) -> Iterator[slice]:
    """Cut the columns of the pool into slices, ``per_column`` numbers of one episode to each column.

    Small pools come in one piece.
    """
    width = max(_NUMBERS // max(view.n_episodes * per_column, 1), 1)
    for start in range(0, view.width, width):
        yield slice(start, min(start + width, view.width))
