"""The contract of a query strategy, from a view of the pools to the row ids of the next batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from torch import Tensor

from react_rl.learners.capabilities import Capability
from react_rl.simulation.view import PoolView

LEARNED: Final = "learned"
"""Family of the strategies that are trained policies."""

WITHOUT_MODEL: Final = ("random", "diversity", "representative")
"""Families of the strategies that read embeddings alone: they choose before there is a label."""


class QueryStrategy(Protocol):
    """Chooses what to label next, for E episodes at once.

    A strategy keeps no state of its own (what a bandit has learnt is in the notebook of the episode and ends
    with it) and draws random numbers only from the view's strategy streams, so one object serves any number
    of episodes, and the same seed gives the same ids.
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


@dataclass(frozen=True)
class StrategyEntry:
    """How to make a strategy, and what a list of strategies says about it.

    Args:
        make: Makes the strategy with its defaults.
        family: random, uncertainty, diversity, representative, hybrid, cost-aware, adaptive, tagging,
            questions or learned.
        summary: One line for people.
        source: The paper.
        cost: Work of one batch of n rows for one episode; P pool rows, C classes, D dimensions, L labelled
            rows, M committee members.
        draws: Whether the batch depends on random numbers that belong to rows, beyond the order of rare
            ties: then renumbered rows give another batch of the same distribution.
        surprisal: Whether it reads surprisal vectors, which corpora carry only where something asks for them.
        needs: What it asks of a learner; see ``learners.capabilities``.
        remembers: Whether it goes by the rounds of its episode before this one.
    """

    make: Callable[[], QueryStrategy]
    family: str
    summary: str
    source: str
    cost: str = "O(P C)"
    draws: bool = False
    surprisal: bool = False
    needs: frozenset[Capability] = frozenset()
    remembers: bool = False
