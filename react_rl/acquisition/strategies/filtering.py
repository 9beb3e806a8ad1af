"""Ensembles of strategies that thin out the pool together, and a batch that covers what is left (REFINE)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.strategies.coverage import MaxHerding
from react_rl.acquisition.wide.bounded import score_in_bounds, select_in_bounds
from react_rl.errors import ReActError
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class Refine:
    """Progressive filtering: the union of what several strategies pick becomes the pool, again and again.

    In round r of R each of K strategies picks ``P / (K 2^r)`` of the rows that are left (P at first; at least
    the batch), and the union of the picks is what is left then. The batch covers these rows greedily
    (maxherding), so that whatever a strategy found valuable is near a label. In pools of more than 2,048 rows
    so many are drawn first.

    The paper leaves the ensemble open; here it is four notions of value: uncertainty, gradients, predictions
    that turn, and coverage. How many rows a round keeps is our reading of it.

    Source: Huseljic et al. 2025, Cleaning the pool: progressive filtering of unlabeled pools in deep active
    learning (REFINE).

    Args:
        name: Name in tables and configs.
        strategies: The ensemble.
        rounds: R.

    Raises:
        ReActError: There is no strategy, or no round.
    """

    name: str
    strategies: tuple[QueryStrategy, ...]
    rounds: int = 3

    def __post_init__(self) -> None:
        if not self.strategies or self.rounds < 1:
            raise ReActError(
                f"Strategy {self.name!r} filters {self.rounds} times by {len(self.strategies)} strategies; "
                "use at least one of each."
            )

    def score(self, view: PoolView) -> Tensor:
        """Gain of the coverage of what is left ``(E, P)``; -1 for rows that were filtered out."""
        return score_in_bounds(self, view, self._score, 1)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows that cover what is left of the pool."""

        def choose(part: PoolView) -> Tensor:
            return MaxHerding().select(self._filtered(part, n), n)

        return select_in_bounds(self, view, n, choose, 1)

    def _score(self, view: PoolView) -> Tensor:
        left = self._filtered(view, view.progress.batch_size)
        return torch.where(left.available, MaxHerding().score(left), -1.0)

    def _filtered(self, view: PoolView, n: int) -> PoolView:
        rows = view.n_available.cpu().numpy()
        for number in range(1, self.rounds + 1):
            shares = np.maximum(rows // (len(self.strategies) * 2**number), n)
            kept = torch.zeros_like(view.available)
            # A batch of another size need not begin alike, so episodes with one share go together.
            for share in np.unique(shares).tolist():
                kept |= self._union(view.only(shares == share), share)
            view = view.within(kept)
        return view

    def _union(self, view: PoolView, share: int) -> Tensor:
        """What the strategies pick ``(E, P)`` bool, each so many rows."""
        picks = [view.columns_of(strategy.select(view, share)) for strategy in self.strategies]
        return chosen_columns(torch.cat(picks, 1), view.width)
