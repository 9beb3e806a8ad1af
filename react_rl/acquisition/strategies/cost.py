"""Cost-aware batches: what a label is worth for each unit it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import best_column, standardise, to_ids, top_columns
from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.naming import numbered_base
from react_rl.errors import ReActError
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.purchases import PENNY
from react_rl.simulation.view import PoolView

PER_COST: Final = "per-cost:"
"""How the name of such a strategy begins: ``per-cost:mixture``, or ``per-cost:2:mixture``."""

WORTHLESS: Final = 1.0
"""Deviations below the mean score at which a row is worth nothing, where a name does not say."""


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
        return (self.base.score(view).double() + self.shift).clamp_min(0.0) / view.cost.clamp_min(PENNY)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows greedily within the budget."""
        scores = self.score(view)
        columns = top_columns(view, scores, n)
        remaining = view.progress.budget - view.progress.spent + PENNY
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


@dataclass(frozen=True)
class ReturnOnInvestment:
    """What another strategy expects of a row for each unit that it costs, row by row within the budget.

    Scores have no unit, so a row is taken to be worth its standardised score above a point at which rows are
    worth nothing. After each pick the base scores again as if it had been bought; rows that no longer fit
    into the budget come last. Where all rows have one price the base chooses.

    Source: Haertel et al. 2008, Return on investment for active learning; Settles et al. 2008, Active
    learning with real annotation costs.

    Args:
        name: Name in tables and configs.
        base: Strategy whose scores are asked.
        deviations: Below the mean score of the available rows, where a row is worth nothing.

    Raises:
        ReActError: ``deviations`` is not between 0 and 100.
    """

    name: str
    base: QueryStrategy
    deviations: float = WORTHLESS

    def __post_init__(self) -> None:
        if not 0 <= self.deviations <= 100:
            raise ReActError(
                f"{self.name!r} calls rows {self.deviations:g} deviations below the mean worth nothing; "
                "take a number from 0 to 100."
            )

    def score(self, view: PoolView) -> Tensor:
        """Worth per cost unit ``(E, P)`` float64; rows that are not available have any number."""
        scores = torch.where(view.available, self.base.score(view).double(), 0.0)
        worth = (standardise(view, scores) + self.deviations).clamp_min(0.0)
        return worth / view.cost.clamp_min(PENNY)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows one after the other, those within the budget first."""
        even = _one_price(view)
        if even.all():
            return self.base.select(view, n)
        now = uneven = view.only(~even)
        picks = torch.zeros((view.n_episodes, 0), dtype=torch.int64, device=view.device)
        for _ in range(n):
            scores = self.score(now)
            left = torch.from_numpy(now.progress.budget - now.progress.spent + PENNY).to(view.device)
            column = best_column(now, scores, now.available & (now.cost <= left[:, None]))
            if (column < 0).any():
                rest = uneven.available & ~chosen_columns(picks, view.width) & (column < 0)[:, None]
                column = torch.maximum(column, best_column(now, scores, rest))
            picks = torch.cat([picks, column[:, None]], 1)
            now = uneven.after(picks)
        ids = to_ids(view, picks)
        if not even.any():
            return ids
        own = self.base.select(view.only(even), n)
        return torch.where(torch.from_numpy(even).to(view.device)[:, None], own, ids)


def _one_price(view: PoolView) -> npt.NDArray[np.bool_]:
    """Episodes ``(E,)`` whose available rows all cost the same."""
    most = torch.where(view.available, view.cost, -torch.inf).amax(1)
    least = torch.where(view.available, view.cost, torch.inf).amin(1)
    return np.asarray((most <= least).cpu().numpy())


def parse_per_cost(name: str) -> tuple[str, float]:
    """Base and deviations of a name that begins with ``PER_COST``.

    Raises:
        ReActError: There is no name of a strategy in it.
    """
    return numbered_base(name, PER_COST, WORTHLESS, f"{PER_COST}mixture or {PER_COST}2:mixture")


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
