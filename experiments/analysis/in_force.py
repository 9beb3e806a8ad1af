"""Choices of runs over the budget, at common costs: where rows have prices, each run chooses at its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pandas as pd

MOST_COSTS: Final = 65
"""Costs at which runs are read that choose at costs of their own."""


def in_force(choices: pd.DataFrame, stopped: Collection[int]) -> pd.DataFrame:
    """What each run had chosen last at common costs; the choices themselves where runs choose at the same.

    Args:
        choices: A row for each choice, in the order of the choices: ``seed`` of the run, ``cost`` spent
            before it, and in the other columns what was chosen.
        stopped: Seeds of the runs that ended themselves: after their last choice they are left out.

    Returns:
        The same columns, a row for each run and cost. What a run chose holds until it chooses again.
    """
    costs = np.unique(choices["cost"].to_numpy(float))
    runs = [own.drop_duplicates("cost", keep="last") for _, own in choices.groupby("seed", sort=False)]
    if len(costs) > max(MOST_COSTS, *map(len, runs)):
        costs = np.linspace(costs[0], costs[-1], MOST_COSTS)
    parts = []
    for own in runs:
        at = own["cost"].to_numpy(float)
        ended = at[-1] if own["seed"].iloc[0] in stopped else np.inf
        there = costs[(at[0] <= costs) & (costs <= ended)]
        parts.append(own.iloc[np.searchsorted(at, there, side="right") - 1].assign(cost=there))
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return found
