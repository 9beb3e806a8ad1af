"""The contract of a query strategy: from a view of the pools to the row ids of the next batch."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from react_rl.simulation.view import PoolView


class QueryStrategy(Protocol):
    """Chooses what to label next, for E episodes at once.

    A strategy keeps no state of its own (what a bandit has learnt hangs on the episode's streams and ends
    with it) and draws random numbers only from the view's strategy
    streams, so one object serves any number of episodes, and the same seed gives the same ids.
    """

    @property
    def name(self) -> str:
        """Name in tables, figures and configs."""
        ...

    def score(self, view: PoolView) -> Tensor:
        """Say how much each row is wanted as the first pick of a batch of the episode's batch size.

        Args:
            view: The pools.

        Returns:
            ``(E, P)`` floating scores, larger is more wanted. Rows that are not available may carry
            any number.
        """
        ...

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows of each pool.

        Args:
            view: The pools.
            n: Rows wanted.

        Returns:
            ``(E, n)`` int64 row ids of the corpus, available and distinct, most wanted first;
            -1 where a pool holds fewer than ``n`` available rows.
        """
        ...
