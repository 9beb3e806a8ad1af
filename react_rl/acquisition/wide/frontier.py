"""Greedy picks from a wide pool without looking at all of it again after each pick.

Novelty only shrinks while rows are picked, so a row's worth at the start bounds what it is worth later. Rows
whose bound is below the present best cannot be the next pick, and nothing of them is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from react_rl.simulation.view import PoolView

Worth = Callable[[Tensor, Tensor], Tensor]
"""From columns ``(k,)`` and their largest similarities to labelled or picked rows ``(k,)`` to what these
are worth ``(k,)``, which never grows with the similarity."""

_FIRST: Final = 1024
"""Columns of the first frontier."""

_GROWTH: Final = 4
"""How many times as many columns the next frontier has."""


class Frontier:
    """The columns of one pool that can be the next pick, their similarities to the picks kept up to date.

    The picks are those of the plain greedy algorithm (Minoux 1978, accelerated greedy).

    Args:
        view: The pools.
        episode: Which of them.
        nearest: ``(P,)`` largest similarity of each column to a labelled row.
        worth: What columns are worth.
    """

    def __init__(self, view: PoolView, episode: int, nearest: Tensor, worth: Worth) -> None:
        self._view, self._episode, self._nearest, self._worth = view, episode, nearest, worth
        everyone = torch.arange(view.width, device=view.device)
        self._bound = torch.where(view.available[episode], worth(everyone, nearest), -torch.inf)
        self._picks: list[int] = []
        self._size = 0
        self._widen(_FIRST)

    def _widen(self, size: int) -> None:
        """Take the ``size`` columns with the largest bounds, and bring them up to date."""
        view = self._view
        self._size = min(size, view.width)
        found = self._bound.topk(min(self._size + 1, view.width))
        self._columns = found.indices[: self._size].sort().values
        self._outside = float(found.values[self._size]) if self._size < view.width else -torch.inf
        self._rows = view.embeddings[self._episode, self._columns]  # (k, D)
        self._free = self._bound[self._columns] > -torch.inf
        self._similar = self._nearest[self._columns]
        if self._picks:
            picked = torch.tensor(self._picks, device=view.device)
            self._free &= ~torch.isin(self._columns, picked)
            near = self._rows @ view.embeddings[self._episode, picked].T
            self._similar = torch.maximum(self._similar, near.amax(1))

    def pick(self) -> int:
        """Take the column that is worth most, equal ones at random; -1 where none is free. Mutates."""
        while True:
            worth = torch.where(self._free, self._worth(self._columns, self._similar), -torch.inf)
            best = float(worth.max())
            if best > self._outside or self._outside == -torch.inf:
                break
            self._widen(_GROWTH * self._size)
        if best == -torch.inf:
            return -1
        equal = torch.nonzero(worth == best)[:, 0]
        place = 0
        if equal.numel() > 1:
            place = int(self._view.generator(self._episode).integers(equal.numel()))
        chosen = int(equal[place])
        column = int(self._columns[chosen])
        self._picks.append(column)
        self._free[chosen] = False
        self._similar = torch.maximum(self._similar, self._rows @ self._rows[chosen])
        return column
