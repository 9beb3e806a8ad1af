"""What a formula loses when it plays in a policy's place: areas on paired seeds, beside fixed strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.data.corpus import ALL_CORPORA
from react_rl.experiments.explain.formula import Formula
from react_rl.experiments.run.episodes import one_thread, play
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.curves import area_to_budget
from react_rl.metrics.registry import metric_named
from react_rl.metrics.statistics import paired_difference
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions

RANDOM: Final = "random"
BESIDE: Final = (RANDOM, "mixture")
"""Strategies that are played besides, so that a loss can be judged."""


def areas_of(
    strategy: QueryStrategy,
    corpora: Sequence[EncodedCorpus],
    seeds: Sequence[int],
    options: EpisodeOptions,
    metric: str,
    test_size: int | None = None,
    learner: LearnerSettings | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Area under the test curve of each corpus and seed.

    Args:
        strategy: What plays.
        corpora: The corpora.
        seeds: Seed k is the same episode for every strategy.
        options: Sizes and budget.
        metric: Whose curve.
        test_size: Most test rows.
        learner: Settings of the learner.
        tell: Told after each round who plays on what, and how much is spent.

    Raises:
        ReActError: The episodes do not fit a corpus, or a corpus has no test rows.
    """
    rows = []
    for corpus in corpora:
        where = f"{strategy.name} on {corpus.name}"

        def report(spent: float, where: str = where) -> None:
            tell(f"{where}: {spent:g} of {options.budget:g} spent")

        with one_thread():
            played = play(corpus, strategy, seeds, options, (metric,), test_size, learner, report=report)
        for seed, run in zip(seeds, played.results, strict=True):
            area = area_to_budget(run["cost"], run["test"][metric], options.budget)
            rows.append({"strategy": strategy.name, "corpus": corpus.name, "seed": seed, "area": area})
    return pd.DataFrame(rows)


def losses(areas: pd.DataFrame, policy: str, metric: str) -> pd.DataFrame:
    """Mean areas, and their paired differences to the policy with 95 % intervals.

    Over all corpora, seed k on all of them is one replicate. ``kept`` is the share of the policy's gain over
    random that a strategy has, on the mean over corpora; NaN where the policy has no gain.

    Args:
        areas: From ``areas_of``, of several strategies.
        policy: Name of the policy.
        metric: Whose curves.
    """
    wide = areas.pivot_table("area", ["corpus", "seed"], "strategy", sort=False)
    sign = metric_named(metric).sign
    groups = {str(name): own.droplevel("corpus") for name, own in wide.groupby("corpus", sort=False)}
    if len(groups) > 1:
        groups[ALL_CORPORA] = wide.groupby("seed").mean()
    rows = []
    for corpus, own in groups.items():
        gain = sign * float((own[policy] - own[RANDOM]).mean())
        for strategy in wide.columns:
            found = paired_difference(own[strategy], own[policy], np.random.default_rng(0))
            part = sign * float((own[strategy] - own[RANDOM]).mean()) / gain if gain > 0 else np.nan
            rows.append(
                {
                    "corpus": corpus,
                    "strategy": strategy,
                    "area": float(own[strategy].mean()),
                    "difference": float(found.estimate),
                    "low": float(found.low),
                    "high": float(found.high),
                    "kept": part,
                    "seeds": len(own),
                }
            )
    return pd.DataFrame(rows)


def contestants(policy: QueryStrategy, formulas: Sequence[Formula]) -> list[QueryStrategy]:
    """The policy, its formulas and the strategies beside them, each name once."""
    named = {one.name: one for one in map(make_strategy, (*(f.strategy for f in formulas), *BESIDE))}
    return [policy, *(one for name, one in named.items() if name != policy.name)]
