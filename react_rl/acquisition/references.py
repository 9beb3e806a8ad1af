"""References that look at labels nobody bought, and say so in their name: they show what choosing could gain.

They are no strategies for use and no upper bounds, and stay out of the list of strategies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.errors import ReActError
from react_rl.learners.capabilities import Capability
from react_rl.metrics.registry import METRICS
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.view import PoolView
from react_rl.simulation.with_answers import values_with_answers

PROPOSERS: Final = ("random", "margin", "mixture", "typicality", "entropy", "k-center")
"""Strategies that propose the batches of the greedy oracle."""

BOSS_PROPOSERS: Final = (
    *("random", "typiclust", "dropquery", "bait", "margin", "badge", "k-center", "alfamix"),
)
"""Strategies that propose the batches of BoSS: those of its authors that look at no label."""


@runtime_checkable
class LooksAtLabels(Protocol):
    """A reference that tries batches on the engine, so the runner hands it the engine first."""

    def bind(self, engine: LabelingEngine) -> QueryStrategy:
        """Return the strategy for the episodes of this engine."""
        ...


@dataclass(frozen=True)
class _BestBatch:
    """The best of k candidate batches by the dev metric that they bring, one round ahead.

    Each candidate is tried on a scratch copy of the learner with its true labels, and the one with the best
    dev metric is bought; equal ones are drawn at random. Candidate k is the batch of strategy k modulo
    their number on the part of the pool that ``_part`` gives it.

    Args:
        name: Name in tables and configs.
        candidates: k, batches that are tried.
        strategies: Names of the strategies that propose batches.
        engine: Where batches are tried; see ``bind``.

    Raises:
        ReActError: There is no candidate, or a strategy does not exist.
    """

    name: str
    candidates: int
    strategies: tuple[str, ...]
    engine: LabelingEngine | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.candidates < 1 or not self.strategies:
            raise ReActError(
                f"{self.name} has {self.candidates} candidates of {len(self.strategies)} strategies; "
                "it needs at least one of each."
            )
        for strategy in self.strategies:
            make_strategy(strategy)

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner: to try batches out, and what the strategies that propose them ask."""
        trials: frozenset[Capability] = frozenset({"trials"})
        return trials.union(*(entry_of(name).needs for name in self.strategies))

    def bind(self, engine: LabelingEngine) -> Self:
        """Return the reference that tries batches on ``engine``."""
        return replace(self, engine=engine)

    def score(self, view: PoolView) -> Tensor:
        """Place of each row in the best batch from its end, 0 for rows outside ``(E, P)``."""
        ids = self.select(view, view.progress.batch_size)
        columns = view.columns_of(ids).clamp_min(0)
        worth = torch.arange(ids.shape[1], 0, -1, device=view.device).expand_as(ids)
        scores = torch.zeros(view.ids.shape, device=view.device)
        return scores.scatter_reduce(1, columns, torch.where(ids >= 0, worth, 0).to(scores), "amax")

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the candidate batch with the best dev metric.

        Raises:
            ReActError: No engine is bound.
        """
        if self.engine is None:
            raise ReActError(f"{self.name} tries batches on an engine; call bind(engine) first.")
        proposers = [make_strategy(name) for name in self.strategies]
        batches = [
            proposers[k % len(proposers)].select(self._part(view, k, n), n) for k in range(self.candidates)
        ]
        ids = torch.stack(batches, 1)  # (E, K, n)
        values = values_with_answers(self.engine, ids)
        if not METRICS[self.engine.metrics[0]].higher_is_better:
            values = -values
        best = np.zeros(view.n_episodes, dtype=np.int64)
        for episode in torch.nonzero(view.available.any(1))[:, 0].tolist():
            equal = np.flatnonzero(values[episode] == values[episode].max())
            best[episode] = view.generator(episode).choice(equal)
        chosen = torch.from_numpy(best).to(view.device)
        return ids[torch.arange(view.n_episodes, device=view.device), chosen]

    def _part(self, view: PoolView, k: int, n: int) -> PoolView:
        """The pools as the proposer of candidate ``k`` sees them."""
        raise NotImplementedError


@dataclass(frozen=True)
class GreedyOracle(_BestBatch):
    """The best of a dozen batches by their true labels: those of strategies on the pool and on its halves.

    The first candidates are the batches of ``strategies`` on the whole pool, further ones those of the same
    strategies on random halves of it.

    It looks one round ahead, at a few batches, and at dev rows: a good strategy can beat it, on test rows
    and in later rounds. It is a reference, not an upper bound.

    Source: the greedy oracle of Werner et al. 2024 (CDALBench), with candidate batches proposed by
    strategies on parts of the pool as in BoSS.
    """

    name: str = "greedy-oracle"
    candidates: int = 12
    strategies: tuple[str, ...] = PROPOSERS

    def _part(self, view: PoolView, k: int, n: int) -> PoolView:
        if k < len(self.strategies):
            return view
        return view.within(
            _drawn(view, torch.maximum((view.n_available + 1) // 2, view.n_available.clamp_max(n)))
        )


@dataclass(frozen=True)
class BossOracle(_BestBatch):
    """BoSS: the best of a hundred batches by their true labels, of many strategies on random subsets.

    Every candidate is the batch of one of ``strategies`` on a random subset of the pool, whose size is drawn
    evenly from 4 n to ``largest`` rows (or to the size of the pool). The strategies propose equally many.

    It looks at labels nobody bought, one round ahead, and at dev rows: a reference, not an upper bound.

    Source: Huseljic et al. 2025, BoSS: best-of-strategies selector as oracle for deep active learning.
    Two changes: the batches are judged on the dev split, where the authors' code takes test rows; and the two
    proposers that look at labels themselves (TypiClust and DropQuery class by class) are left out.

    Args:
        name: Name in tables and configs.
        candidates: Batches that are tried.
        strategies: Names of the strategies that propose batches.
        engine: Where batches are tried; see ``bind``.
        largest: Most rows of a subset.
    """

    name: str = "boss-oracle"
    candidates: int = 100
    strategies: tuple[str, ...] = BOSS_PROPOSERS
    largest: int = 5000

    def _part(self, view: PoolView, k: int, n: int) -> PoolView:
        least = view.n_available.clamp_max(4 * n)
        most = torch.maximum(view.n_available.clamp_max(self.largest), least)
        share = torch.zeros(view.n_episodes, dtype=torch.float64)
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            share[episode] = view.generator(episode).random()
        spread = (share.to(view.device) * (most - least + 1)).long()
        return view.within(_drawn(view, least + spread))


def _drawn(view: PoolView, count: Tensor) -> Tensor:
    """So many of the available rows ``(E,)`` of each pool, drawn evenly, as a mask ``(E, P)``."""
    rank = torch.where(view.available, view.random(), 2.0).argsort(1).argsort(1)
    return rank < count[:, None]


REFERENCES: Final[dict[str, Callable[[], GreedyOracle | BossOracle]]] = {
    "greedy-oracle": GreedyOracle,
    "boss-oracle": BossOracle,
}
"""References by name."""
