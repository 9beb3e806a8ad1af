"""Bounds for strategies that look at pairs of rows: large pools are subsampled, many episodes parted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.acquisition.wide.subsampling import Subsampled
from react_rl.simulation.view import PoolView

LARGEST: Final = 2048
"""Rows of a pool that are looked at in pairs; of larger ones so many are drawn evenly."""

_NUMBERS: Final = 1 << 25
"""Numbers that are held at once over all episodes (128 MiB)."""


def select_in_bounds(
    strategy: QueryStrategy, view: PoolView, n: int, choose: Callable[[PoolView], Tensor], numbers: int
) -> Tensor:
    """Row ids ``(E, n)`` that ``choose`` picks in views that are small enough.

    Args:
        strategy: Whose choice it is; its ``select`` is asked again where a pool is subsampled.
        view: The pools.
        n: Rows wanted.
        choose: From a view to row ids.
        numbers: Numbers that a choice holds for each episode.
    """
    if _large(view, n):
        return Subsampled(strategy.name, strategy, LARGEST).select(view, n)
    return torch.cat([choose(part) for part in _parts(view, numbers)])


def score_in_bounds(
    strategy: QueryStrategy, view: PoolView, judge: Callable[[PoolView], Tensor], numbers: int
) -> Tensor:
    """Scores ``(E, P)`` that ``judge`` gives in views that are small enough; as ``select_in_bounds``."""
    if _large(view, view.progress.batch_size):
        return Subsampled(strategy.name, strategy, LARGEST).score(view)
    return torch.cat([judge(part) for part in _parts(view, numbers)])


def _large(view: PoolView, n: int) -> bool:
    return int(view.n_available.max()) > max(LARGEST, n)


def _parts(view: PoolView, numbers: int) -> list[PoolView]:
    """The view, or several of fewer episodes."""
    step = max(1, _NUMBERS // max(numbers, 1))
    if step >= view.n_episodes:
        return [view]
    columns = torch.arange(view.width, device=view.device)
    return [
        NarrowView(view, episodes, columns.expand(episodes.numel(), -1))
        for episodes in torch.split(torch.arange(view.n_episodes, device=view.device), step)
    ]
