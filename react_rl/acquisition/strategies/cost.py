"""Cost-aware batches: what a label is worth for each unit it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import to_ids, top_columns
from react_rl.acquisition.contract import QueryStrategy
from react_rl.simulation.view import PoolView

_PENNY = 1e-9  # tolerance when sums of costs are compared with a budget


@dataclass(frozen=True)
class PerCost:
    """Another strategy's score divided by the row's cost, batches packed into what is left of the budget.

    Rows are taken by falling ``score / cost``, a row that no longer fits is passed over for one that does:
    the greedy rule for the knapsack problem, here with at most n items. What does not fit at all comes
    last, so that a batch is as long as was asked; the oracle does not sell it.

    Source: Settles et al. 2008, Active learning with real annotation costs (utility per cost); Dantzig 1957,
    Discrete-variable extremum problems (greedy by density).

    Args:
        name: Name in tables and configs.
        base: Strategy whose scores are divided.
        shift: Added to the base's scores first; a ratio needs scores that are not negative (1 for margin,
            whose scores run from -1 to 0). What stays negative counts as 0.
    """

    name: str
    base: QueryStrategy
    shift: float = 0.0

    def score(self, view: PoolView) -> Tensor:
        """Score per cost unit ``(E, P)`` float64."""
        return (self.base.score(view).double() + self.shift).clamp_min(0.0) / view.cost.clamp_min(_PENNY)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows greedily within the budget."""
        scores = self.score(view)
        columns = top_columns(view, scores, n)
        remaining = view.progress.budget - view.progress.spent + _PENNY
        price = torch.where(columns >= 0, view.cost.gather(1, columns.clamp_min(0)), 0.0).sum(1)
        over = price.cpu().numpy() > remaining
        if not over.any():
            return to_ids(view, columns)
        order = top_columns(view.only(over), scores, view.width)
        packed = columns.clone()
        for e in np.flatnonzero(over).tolist():
            row = order[e][order[e] >= 0]
            fits = _packed(view.cost[e][row].cpu().numpy(), float(remaining[e]), n)
            chosen = torch.from_numpy(fits).to(view.device)
            ranked = torch.cat([row[chosen], row[~chosen]])[:n]
            packed[e, : ranked.numel()] = ranked
        return to_ids(view, packed)


def _packed(cost: npt.NDArray[np.float64], budget: float, n: int) -> npt.NDArray[np.bool_]:
    """Which of the rows, in order, are taken while at most ``n`` and within ``budget``, ``(R,)`` bool."""
    taken = np.zeros(cost.size, dtype=np.bool_)
    # A row that does not fit now never will, so each search starts behind the last pick.
    place = 0
    for _ in range(n):
        fits = np.flatnonzero(cost[place:] <= budget)
        if fits.size == 0:
            break
        place += int(fits[0])
        taken[place] = True
        budget -= float(cost[place])
        place += 1
    return taken
