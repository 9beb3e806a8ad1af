"""Policies that come with the package, announced as query strategies to the registry (see pyproject.toml)."""

from __future__ import annotations

from typing import Final

from react_rl.acquisition.contract import StrategyEntry
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder

LEARNED: Final = StrategyEntry(
    lambda: load_scorer(pretrained_folder("learned"), "learned"),
    "learned",
    "rows scored by a network that imitated a look-ahead expert, adjusted by the area of whole episodes",
    "this project, after Liu et al. 2018; Gonsior et al. 2022; Salimans et al. 2017",
    cost="O(P^2 L)",
    needs=frozenset({"classes"}),
)
