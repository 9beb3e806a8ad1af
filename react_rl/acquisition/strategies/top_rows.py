"""Rows with the largest value of one thing that a task's signals say; tagging and questions name theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class TopRows:
    """The rows with the largest value.

    Args:
        name: Name in tables and figures.
        value: From E pools to ``(E, P)``; large means worth a label.
    """

    name: str
    value: Callable[[PoolView], Tensor]

    def score(self, view: PoolView) -> Tensor:
        """The values ``(E, P)``."""
        return self.value(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest value."""
        return take_top(view, self.score(view), n)
