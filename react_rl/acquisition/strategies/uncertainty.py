"""Uncertainty sampling: rows that the present model is least sure of. And random, which asks no model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from react_rl.acquisition.batching.selection import take_random, take_top
from react_rl.acquisition.features import rows
from react_rl.acquisition.wide.narrow import row_by_row
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class RandomSampling:
    """Rows drawn evenly from the pool: the baseline that every strategy is measured against."""

    name: str = "random"

    def score(self, view: PoolView) -> Tensor:
        """Uniform numbers from the strategy stream ``(E, P)``."""
        return view.random()

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows at random."""
        return take_random(view, n)


@dataclass(frozen=True)
class LeastConfidence:
    """Rows with the smallest largest probability, ``1 - max_c p(c|x)``.

    Source: Lewis & Gale 1994, A sequential algorithm for training text classifiers.
    """

    name: str = "least-confidence"

    def score(self, view: PoolView) -> Tensor:
        """One minus the largest class probability ``(E, P)``."""
        return row_by_row(view, rows.least_confidence)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` least confident rows."""
        return take_top(view, self.score(view), n)


@dataclass(frozen=True)
class Margin:
    """Rows with the smallest gap between the two largest probabilities ("breaking ties").

    Source: Scheffer et al. 2001, Active hidden Markov models; Luo et al. 2005, breaking ties.
    """

    name: str = "margin"

    def score(self, view: PoolView) -> Tensor:
        """Minus the probability gap ``(E, P)``."""
        return row_by_row(view, rows.margin)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the smallest margin."""
        return take_top(view, self.score(view), n)


@dataclass(frozen=True)
class Entropy:
    """Rows with the largest predictive entropy, ``-sum_c p(c|x) log p(c|x)``.

    Source: Dagan & Engelson 1995, Committee-based sampling; Settles 2009, section 3.1.
    """

    name: str = "entropy"

    def score(self, view: PoolView) -> Tensor:
        """Entropy in nats ``(E, P)``."""
        return row_by_row(view, rows.entropy)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest entropy."""
        return take_top(view, self.score(view), n)
