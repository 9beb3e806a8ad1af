"""Where scores of E episodes' columns are kept: one vector for a text, one for each word of a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Vectors of n columns of E episodes, column after column, padded at the end.

    Args:
        index: ``(E, U)`` int64 where each vector is kept; any of them for none.
        column: ``(E, U)`` int64, which of the n columns it belongs to; n for none.
        place: ``(E, U)`` int64, its place in the column's row.
        whole: The same range of places in all episodes, if it is one.
    """

    index: Tensor
    column: Tensor
    place: Tensor
    whole: slice | None

    def take(self, kept: Tensor) -> Tensor:
        """Of what is kept ``(E, C, .)`` the part ``(E, C, U)``; a view where that is possible."""
        if self.whole is not None:
            return kept[:, :, self.whole]
        return kept.gather(2, self.index[:, None].expand(-1, kept.shape[1], -1))


class Layout:
    """Places of the vectors of each episode's columns.

    Args:
        n_episodes: E.
        n_columns: W.
        device: Where grids are wanted.
    """

    def __init__(self, n_episodes: int, n_columns: int, device: torch.device) -> None:
        self._starts = [np.arange(n_columns + 1)] * n_episodes
        self._device = device
        self._grids: dict[tuple[int, int], Grid] = {}

    @property
    def width(self) -> int:
        """Places of the episode that needs most."""
        return max(int(starts[-1]) for starts in self._starts)

    def place(self, episode: int, counts: _Ids) -> None:
        """Note the vectors ``(W,)`` of an episode's columns. Mutates."""
        self._starts[episode] = np.concatenate([[0], np.cumsum(counts)])
        self._grids.clear()

    def places(self, episode: int, columns: _Ids) -> _Ids:
        """Places of the vectors of columns, column after column."""
        return _spread(self._starts[episode], columns)[0]

    def grid(self, columns: slice) -> Grid:
        """The vectors of a range of columns, found once until an episode is placed."""
        first, last, _ = columns.indices(len(self._starts[0]) - 1)
        if (first, last) not in self._grids:
            span = np.arange(first, max(first, last))
            parts = [_spread(starts, span) for starts in self._starts]
            begins = {int(starts[first]) for starts in self._starts}
            sizes = {len(places) for places, _, _ in parts}
            whole = None
            if len(begins) == len(sizes) == 1:
                whole = slice(min(begins), min(begins) + min(sizes))
            self._grids[first, last] = self._grid(parts, len(span), whole)
        return self._grids[first, last]

    def grid_of(self, counts: list[_Ids]) -> Grid:
        """Of rows outside: as many of each episode, with so many vectors each."""
        parts = [_spread(np.concatenate([[0], np.cumsum(own)]), np.arange(len(own))) for own in counts]
        return self._grid(parts, len(counts[0]), None)

    def _grid(self, parts: list[tuple[_Ids, _Ids, _Ids]], n: int, whole: slice | None) -> Grid:
        most = max(len(places) for places, _, _ in parts)
        index, column, place = (
            torch.stack(
                [
                    torch.from_numpy(np.pad(part[kind], (0, most - len(part[kind])), constant_values=fill))
                    for part in parts
                ]
            ).to(self._device)
            for kind, fill in enumerate((0, n, 0))
        )
        return Grid(index, column, place, whole)


def _spread(starts: _Ids, columns: _Ids) -> tuple[_Ids, _Ids, _Ids]:
    """Of the vectors of columns: where they are kept, which column, and the place in it."""
    counts = starts[columns + 1] - starts[columns]
    column = np.repeat(np.arange(len(columns)), counts)
    place = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    return np.repeat(starts[columns], counts) + place, column, place
