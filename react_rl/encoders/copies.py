"""Rows with the very same numbers, found by content: products round copies by where they are in an array.

A key is a sum of integers, which comes out the same in any order and on any processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

_BLOCK: Final = 1 << 22
"""Numbers whose bits are widened at once (32 MiB)."""


@cache
def _factors(dimension: int) -> Tensor:
    """Odd int64 factors ``(D,)``, always the same."""
    drawn = np.random.Generator(np.random.PCG64(0xC0B1E5)).integers(-(2**63), 2**63 - 1, dimension)
    return torch.from_numpy(drawn | 1)


def row_keys(vectors: Tensor) -> Tensor:
    """A number for each row: equal for equal rows, different for others (but for one pair in 2^63).

    Args:
        vectors: ``(..., D)`` float32.

    Returns:
        ``(...)`` int64.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    keys = torch.empty(len(flat), dtype=torch.int64, device=flat.device)
    factors = _factors(flat.shape[1]).to(flat.device)
    step = max(1, _BLOCK // max(flat.shape[1], 1))
    for start in range(0, len(flat), step):
        # Adding 0 makes -0 and 0 one number.
        bits = (flat[start : start + step] + 0.0).contiguous().view(torch.int32).to(torch.int64)
        keys[start : start + step] = bits.mul_(factors).sum(1)
    return keys.view(vectors.shape[:-1])


def first_copies(keys: Tensor, rows: Tensor) -> Tensor:
    """For each row its first copy among ``rows`` (often itself); rows outside stand for themselves.

    Args:
        keys: ``(E, R)`` int64, from ``row_keys``.
        rows: ``(E, R)`` bool, the rows that count.

    Returns:
        ``(E, R)`` int64 positions.
    """
    places = torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    # Rows that count come first among their copies, in their order.
    order = (~rows).long().argsort(dim=1, stable=True)
    order = order.gather(1, keys.gather(1, order).argsort(dim=1, stable=True))
    ordered = keys.gather(1, order)
    fresh = torch.ones_like(rows)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    start = torch.where(fresh, places, 0).cummax(1).values
    first = torch.empty_like(order).scatter_(1, order, order.gather(1, start))
    return torch.where(rows, first, places)


@dataclass(frozen=True, eq=False)
class CopyPairs:
    """Which of its copies each column with copies takes its value from: the first that is free, often itself.

    Args:
        members: ``(3, M)`` of ``copy_members``.
        free: ``(M,)`` bool, columns that can be bought.
        width: P.
    """

    members: Tensor
    free: Tensor
    width: int

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Episode, column, and column that the value comes from ``(M,)`` each."""
        episode, column, number = self.members
        first = torch.full_like(column, self.width)
        first.scatter_reduce_(0, number, torch.where(self.free, column, self.width), "amin")
        return episode, column, torch.where(self.free, first[number], column)

    @cached_property
    def source(self) -> Tensor:
        """The same for all columns ``(P,)`` of a single episode."""
        _, column, first = self.pairs
        return torch.arange(self.width, device=column.device).index_copy_(0, column, first)

    def level(self, values: Tensor) -> Tensor:
        """``values`` ``(E, ..., P)``, where each column with copies has the value of its first free copy."""
        # Where there is one episode, a gather is quickest.
        if values.shape[0] == 1 and values.dim() <= 3 and values.stride(-1) == 1:
            return values.gather(-1, self.source.expand(values.shape))
        episode, column, first = self.pairs
        levelled = values.clone()
        levelled.movedim(-1, 1)[episode, column] = values.movedim(-1, 1)[episode, first]
        return levelled

    @cached_property
    def _place(self) -> Tensor:
        """Each member's place among the columns of all episodes ``(M,)``."""
        return self.members[0] * self.width + self.members[1]

    def still_hold(self, members: Tensor, available: Tensor) -> bool:
        """Whether they follow from these arguments; no on a GPU, where looking costs a wait.

        Args:
            members: ``(3, M)`` of ``copy_members``.
            available: ``(E, P)`` bool, columns that can be bought.
        """
        return self.members is members and available.is_cpu and self.free.equal(available.take(self._place))


def copy_members(numbers: Tensor) -> Tensor:
    """Rows that have a copy: episode, column and number of the group of each, ``(3, M)`` int64.

    Args:
        numbers: ``(E, R)`` int64, the same for copies; negative for rows that do not count.
    """
    # A few rows of each pool: with arrays as short as these numpy takes half of torch's time.
    found = numbers.cpu().numpy()
    episode, column = (found >= 0).nonzero()
    keys = episode * (found.max(initial=0) + 1) + found[episode, column]
    order = keys.argsort(kind="stable")
    ordered = keys[order]
    border = np.ones(keys.size + 1, dtype=np.bool_)
    border[1:-1] = ordered[1:] != ordered[:-1]
    several = ~(border[:-1] & border[1:])
    number = (border[:-1] & several).cumsum() - 1
    back = order[several].argsort(kind="stable")
    chosen = order[several][back]
    members = np.stack([episode[chosen], column[chosen], number[several][back]])
    return torch.from_numpy(members).to(numbers.device)


def copy_groups(members: Tensor, n_episodes: int, width: int) -> Tensor:
    """First copy of each column ``(E, P)``, often itself.

    Args:
        members: ``(3, M)`` of ``copy_members``.
        n_episodes: E.
        width: P.
    """
    episode, column, number = members
    first = torch.full_like(column, width).scatter_reduce_(0, number, column, "amin")
    groups = torch.arange(width, device=column.device).repeat(n_episodes, 1)
    groups[episode, column] = first[number]
    return groups
