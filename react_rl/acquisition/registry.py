"""The list of query strategies by name: adding one is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.uncertainty import Entropy, LeastConfidence, Margin, RandomSampling
from react_rl.acquisition.weighted import WeightedFeatures
from react_rl.errors import unknown


@dataclass(frozen=True)
class StrategyEntry:
    """How to make a strategy, and what a list of strategies says about it.

    Args:
        make: Makes the strategy with its defaults.
        family: random, uncertainty, diversity, representative or hybrid.
        summary: One line for people.
        source: The paper.
    """

    make: Callable[[], QueryStrategy]
    family: str
    summary: str
    source: str


STRATEGIES: Final[dict[str, StrategyEntry]] = {
    "random": StrategyEntry(RandomSampling, "random", "rows drawn evenly", "-"),
    "least-confidence": StrategyEntry(
        LeastConfidence, "uncertainty", "smallest top probability", "Lewis & Gale 1994"
    ),
    "margin": StrategyEntry(
        Margin, "uncertainty", "smallest gap of the two top probabilities", "Scheffer et al. 2001"
    ),
    "entropy": StrategyEntry(Entropy, "uncertainty", "largest predictive entropy", "Dagan & Engelson 1995"),
    "k-center": StrategyEntry(
        lambda: WeightedFeatures("k-center", {"novelty": 1.0}),
        "diversity",
        "farthest from labelled and picked rows",
        "Sener & Savarese 2018",
    ),
    "typicality": StrategyEntry(
        lambda: WeightedFeatures("typicality", {"density": 1.0, "novelty": 1.0}),
        "representative",
        "dense regions far from labelled rows",
        "after Hacohen et al. 2022",
    ),
    "mixture": StrategyEntry(
        WeightedFeatures, "hybrid", "fixed weights on margin, density, novelty, balance", "this project"
    ),
}


def make_strategy(name: str) -> QueryStrategy:
    """Make the strategy called ``name``.

    Raises:
        ReActError: There is no such strategy; the nearest name is given.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name].make()
