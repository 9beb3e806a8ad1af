"""The query strategies that are made of others, by cost, in turn or by learning; ``catalogue`` lists all."""

from __future__ import annotations

from typing import Final

from react_rl.acquisition.contract import StrategyEntry
from react_rl.acquisition.strategies.adaptive import PhaseSwitch, RoundRobin
from react_rl.acquisition.strategies.bandit import ActiveLearningByLearning
from react_rl.acquisition.strategies.cost import PerCost
from react_rl.acquisition.strategies.coverage import MaxHerding
from react_rl.acquisition.strategies.filtering import Refine
from react_rl.acquisition.strategies.gradient import Badge
from react_rl.acquisition.strategies.history import Fluctuation
from react_rl.acquisition.strategies.perturbed import AlfaMix
from react_rl.acquisition.strategies.thompson import Tailor
from react_rl.acquisition.strategies.uncertainty import Entropy, Margin, RandomSampling
from react_rl.acquisition.strategies.weighted import WeightedFeatures, k_center, typicality
from react_rl.acquisition.wide.distinct import Distinct
from react_rl.acquisition.wide.proxy import ByProxy
from react_rl.acquisition.wide.subsampling import CANDIDATES, Subsampled
from react_rl.learners.capabilities import Capability

_CLASSES: Final[frozenset[Capability]] = frozenset({"classes"})

_ARMS: Final = (Margin(), Entropy(), k_center(), typicality(), WeightedFeatures(), RandomSampling())
"""What a bandit may choose from."""

OF_OTHERS: Final[dict[str, StrategyEntry]] = {
    "subsample:maxherding": StrategyEntry(
        lambda: Subsampled("subsample:maxherding", MaxHerding()),
        "representative",
        f"maxherding on {CANDIDATES:,} random rows; so with any strategy, subsample:NAME",
        "Bae et al. 2024; Ertekin et al. 2007",
        cost="O(P + S^2 D), S candidates",
        draws=True,
    ),
    "fluctuation": StrategyEntry(
        Fluctuation,
        "uncertainty",
        "least confidence plus its deviation over the last three rounds",
        "after Yao et al. 2020; Kohl et al. 2024",
        remembers=True,
    ),
    "distinct:margin": StrategyEntry(
        lambda: Distinct("distinct:margin", Margin()),
        "hybrid",
        "margin without near-copies in a batch or of labelled rows; so with any strategy, distinct:NAME",
        "after Shen et al. 2004",
        cost="O(P (C + n D))",
    ),
    "proxy:mixture": StrategyEntry(
        lambda: ByProxy("proxy:mixture", WeightedFeatures()),
        "hybrid",
        "mixture by a cheap frozen learner in place of the learner; so with any strategy, proxy:NAME",
        "Coleman et al. 2020",
        cost="O(P (C + n D)) + a fit to all labels",
    ),
    "margin-per-cost": StrategyEntry(
        lambda: PerCost("margin-per-cost", Margin(), shift=1.0),
        "cost-aware",
        "largest (1 - margin) / cost that fits the budget",
        "Settles et al. 2008; Dantzig 1957",
    ),
    "random-per-cost": StrategyEntry(
        lambda: PerCost("random-per-cost", RandomSampling()),
        "cost-aware",
        "random rows, cheap ones first",
        "-",
        cost="O(P)",
        draws=True,
    ),
    "phase-switch": StrategyEntry(
        lambda: PhaseSwitch("phase-switch", typicality(), Margin()),
        "adaptive",
        "typicality for the first 30 % of the budget, then margin",
        "Hacohen et al. 2022",
        cost="O(P (C + n D))",
        remembers=True,
    ),
    "round-robin": StrategyEntry(
        lambda: RoundRobin("round-robin", (typicality(), Margin())),
        "adaptive",
        "typicality and margin in turn",
        "after Baram et al. 2004",
        cost="O(P (C + n D))",
        remembers=True,
    ),
    "albl": StrategyEntry(
        lambda: ActiveLearningByLearning("albl", _ARMS[:-1]),
        "adaptive",
        "a bandit (EXP4.P) over margin, entropy, k-center, typicality, mixture, random",
        "Hsu & Lin 2015; Beygelzimer et al. 2011",
        cost="O(P (C + n D))",
        needs=_CLASSES,
        draws=True,
        remembers=True,
    ),
    "tailor": StrategyEntry(
        lambda: Tailor("tailor", _ARMS),
        "adaptive",
        "a bandit over margin, entropy, k-center, typicality, mixture, random, paid in rare labels",
        "Zhang et al. 2023",
        cost="O(P (C + n D))",
        needs=_CLASSES,
        draws=True,
        remembers=True,
    ),
    "refine": StrategyEntry(
        lambda: Refine("refine", (Margin(), Badge(), AlfaMix(), MaxHerding())),
        "adaptive",
        "coverage of what margin, badge, alfamix and maxherding leave of the pool",
        "Huseljic et al. 2025",
        cost="O(P^2 D)",
        needs=_CLASSES,
        draws=True,
    ),
}
"""By name, in the order of lists."""
