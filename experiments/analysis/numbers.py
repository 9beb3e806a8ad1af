"""The numbers of a report: mean curves, aligned scores, pairwise matrices, ranks, cost and performance.

Every statistic comes from :mod:`react_rl.metrics`; here runs are only brought into the shape that it wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.errors import ReActError
from react_rl.experiments.analysis.summary import ALL_CORPORA, TIE, Results
from react_rl.metrics import (
    METRICS,
    Interval,
    NemenyiResult,
    bootstrap_interquartile_mean,
    bootstrap_mean,
    bootstrap_probability_of_improvement,
    friedman,
    interpolate_curves,
    labels_to_target,
    nemenyi,
    normalise_scores,
    penalty_checkpoints,
    penalty_matrix,
    performance_profile,
    probability_of_improvement,
)

Floats = npt.NDArray[np.float64]

MIN_CORPORA_FOR_RANKS: Final = 5
"""Corpora below which mean ranks say nothing that the pairwise matrix does not say better."""
_SCORES: Final = ("area", "final")
_MOST_COSTS: Final = 65
_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Scores:
    """What all strategies have in common, aligned: the same seeds on the same corpora.

    Args:
        strategies: ``A`` names.
        corpora: ``T`` names.
        seeds: ``S`` seeds.
        area: ``(A, S, T)`` areas under the test curve, the sign turned where the metric is a loss.
        final: ``(A, S, T)`` final test metrics, likewise.
        reference: Position of the reference among the strategies, or None.
        perfect: The best value that the metric can have, likewise signed.
    """

    strategies: tuple[str, ...]
    corpora: tuple[str, ...]
    seeds: tuple[int, ...]
    area: Floats
    final: Floats
    reference: int | None
    perfect: float


@dataclass(frozen=True)
class Aggregates:
    """One row per strategy over all corpora, and its performance profile.

    Args:
        table: strategy, iqm, iqm_low, iqm_high, improvement, improvement_low, improvement_high.
        thresholds: ``(K,)`` shares of the reference's error that were removed.
        profiles: For each strategy the share of runs above each threshold, with intervals ``(K,)``.
    """

    table: pd.DataFrame
    thresholds: Floats
    profiles: dict[str, Interval]


def sign_of(metric: str) -> float:
    """1 where higher is better, -1 for a loss."""
    return 1.0 if metric not in METRICS or METRICS[metric].higher_is_better else -1.0


def cost_grid(results: Results) -> Floats:
    """Costs at which curves are read: the measured ones where they are few, else an even grid."""
    measured = np.unique(results.curves["cost"].to_numpy(float))
    if measured.size <= _MOST_COSTS:
        return measured
    return np.linspace(0.0, results.budget, _MOST_COSTS)


def curves_on(results: Results, grid: Floats) -> dict[tuple[str, str], tuple[tuple[int, ...], Floats]]:
    """Test curves read off the grid.

    Returns:
        By corpus and strategy the seeds, ascending, and their curves ``(S, G)``.
    """
    found: dict[tuple[str, str], tuple[tuple[int, ...], Floats]] = {}
    for (corpus, strategy), own in results.curves.groupby(["corpus", "strategy"], sort=False):
        runs = [(int(run["seed"].iloc[0]), run) for _, run in own.groupby("seed")]
        values = [(run["cost"].to_numpy(float), run["test"].to_numpy(float)) for _, run in runs]
        found[str(corpus), str(strategy)] = (
            tuple(seed for seed, _ in runs),
            interpolate_curves(values, grid),
        )
    return found


def mean_curves(results: Results) -> pd.DataFrame:
    """Mean test curves with 95 % bootstrap intervals, for each corpus and for the mean over corpora.

    Returns:
        Columns corpus, strategy, cost, mean, low, high, seeds. A strategy has a mean over corpora where it
        was played on all of them; seed k on every corpus is then one replicate.
    """
    grid = cost_grid(results)
    curves = curves_on(results, grid)
    rows: list[pd.DataFrame] = []
    for corpus in results.corpora:
        for strategy in results.strategies:
            if (corpus, strategy) in curves:
                rows.append(_curve_rows(corpus, strategy, grid, curves[corpus, strategy][1]))
    if len(results.corpora) > 1:
        for strategy in results.strategies:
            pooled = _pooled(curves, results.corpora, strategy)
            if pooled is not None:
                rows.append(_curve_rows(ALL_CORPORA, strategy, grid, pooled))
    return pd.concat(rows, ignore_index=True)


def _pooled(
    curves: dict[tuple[str, str], tuple[tuple[int, ...], Floats]], corpora: Sequence[str], strategy: str
) -> Floats | None:
    """Mean over corpora ``(S, G)`` of the seeds that all of them have, or None."""
    if any((corpus, strategy) not in curves for corpus in corpora):
        return None
    shared = set.intersection(*(set(curves[corpus, strategy][0]) for corpus in corpora))
    if not shared:
        return None
    aligned = []
    for corpus in corpora:
        seeds, values = curves[corpus, strategy]
        aligned.append(values[[seed in shared for seed in seeds]])
    return np.asarray(np.mean(aligned, axis=0))


def _curve_rows(corpus: str, strategy: str, grid: Floats, values: Floats) -> pd.DataFrame:
    interval = bootstrap_mean(values, np.random.default_rng(0), resamples=_RESAMPLES)
    return pd.DataFrame(
        {
            "corpus": corpus,
            "strategy": strategy,
            "cost": grid,
            "mean": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "seeds": values.shape[0],
        }
    )


def aligned_scores(results: Results, runs: pd.DataFrame) -> Scores | None:
    """Scores on the seeds and corpora that every strategy has finished; None where there are none.

    Args:
        results: The comparison.
        runs: Its areas, one row for each run.
    """
    sign = sign_of(results.metric)
    strategies = results.strategies
    wide = {name: runs.pivot(index=["corpus", "seed"], columns="strategy", values=name) for name in _SCORES}
    complete = wide["area"].reindex(columns=list(strategies)).dropna().index
    seeds_of = {c: {int(s) for k, s in complete if k == c} for c in results.corpora}
    corpora = tuple(c for c in results.corpora if seeds_of[c])
    if not corpora:
        return None
    seeds = tuple(sorted(set.intersection(*(seeds_of[c] for c in corpora))))
    if not seeds:
        return None
    area, final = (
        sign * np.stack([_table(wide[name], corpus, seeds, strategies) for corpus in corpora], axis=-1)
        for name in _SCORES
    )
    reference = strategies.index(results.reference) if results.reference in strategies else None
    return Scores(strategies, corpora, seeds, area, final, reference, 1.0 if sign > 0 else 0.0)


def _table(wide: pd.DataFrame, corpus: str, seeds: Sequence[int], strategies: Sequence[str]) -> Floats:
    """Values ``(A, S)`` of one corpus."""
    rows = wide.reindex(pd.MultiIndex.from_product([[corpus], seeds]))[list(strategies)]
    return np.asarray(rows.to_numpy(float).T)


def aggregate(scores: Scores) -> Aggregates:
    """Interquartile mean, probability of improvement and performance profile against the reference.

    Areas are brought to one scale per corpus: 0 is the reference's mean, 1 a perfect area, so a value is the
    share of the reference's error that was removed.

    Raises:
        ReActError: There is no reference, or its area is perfect on a corpus.
    """
    if scores.reference is None:
        raise ReActError(
            "The reference strategy has no finished runs, so nothing can be measured against it."
        )
    low = scores.area[scores.reference].mean(axis=0)
    perfect = [c for c, area in zip(scores.corpora, low, strict=True) if area >= scores.perfect - TIE]
    if perfect:
        raise ReActError(
            f"These numbers are shares of the error of {scores.strategies[scores.reference]!r}, which makes "
            f"none on corpus {perfect[0]!r}; a comparison without that corpus has them."
        )
    scaled = normalise_scores(scores.area, low, np.full(len(scores.corpora), scores.perfect))  # (A, S, T)
    thresholds = np.linspace(float(scaled.min()), float(scaled.max()), 41)
    rows: list[dict[str, Any]] = []
    profiles: dict[str, Interval] = {}
    for a, strategy in enumerate(scores.strategies):
        rng = np.random.default_rng(0)
        middle = bootstrap_interquartile_mean(scaled[a], rng)
        against = scores.area[scores.reference]
        better = bootstrap_probability_of_improvement(scores.area[a], against, rng, tolerance=TIE)
        improvement = _fields("improvement", better)
        if a == scores.reference:
            improvement = dict.fromkeys(improvement, float("nan"))
        rows.append({"strategy": strategy} | _fields("iqm", middle) | improvement)
        profiles[strategy] = performance_profile(scaled[a], thresholds, rng)
    return Aggregates(pd.DataFrame(rows), thresholds, profiles)


def _fields(name: str, interval: Interval) -> dict[str, float]:
    return {
        name: float(interval.estimate),
        f"{name}_low": float(interval.low),
        f"{name}_high": float(interval.high),
    }


def improvement_matrix(scores: Scores) -> Floats:
    """Probability ``(A, A)`` that the row has the larger area, paired by seed; .5 on the diagonal."""
    return np.array(
        [[probability_of_improvement(x, y, tolerance=TIE) for y in scores.area] for x in scores.area],
        dtype=np.float64,
    )


def penalties(results: Results, scores: Scores) -> Floats:
    """BADGE's penalty matrix ``(A, A)`` over the corpora, divided by their number.

    Raises:
        ReActError: There is no reference, fewer than two seeds, or the metric is a loss.
    """
    if scores.reference is None:
        raise ReActError("The checkpoints are set by the reference, which has no finished runs.")
    if sign_of(results.metric) < 0:
        raise ReActError(
            f"Its checkpoints need a metric of which a share means something, unlike {results.metric}."
        )
    if len(scores.seeds) < 2:
        raise ReActError("Its t-tests need at least two paired seeds.")
    curves = curves_on(results, cost_grid(results))
    settings = []
    for corpus in scores.corpora:
        values = []
        for strategy in scores.strategies:
            seeds, own = curves[corpus, strategy]
            values.append(own[[seeds.index(seed) for seed in scores.seeds]])
        stacked = np.stack(values)  # (A, S, G)
        settings.append(stacked[:, :, penalty_checkpoints(stacked[scores.reference])])
    return penalty_matrix(settings) / len(settings)


def ranks(scores: Scores) -> tuple[NemenyiResult, float]:
    """Nemenyi's comparison of mean ranks over corpora, and the p-value of Friedman's test (Iman-Davenport).

    Raises:
        ReActError: There are too few corpora or strategies.
    """
    found = len(scores.corpora)
    if found < MIN_CORPORA_FOR_RANKS:
        raise ReActError(
            f"it ranks corpora, not seeds, and needs at least {MIN_CORPORA_FOR_RANKS} complete ones; there "
            f"{'is' if found == 1 else 'are'} {found}"
        )
    if len(scores.strategies) < 3:
        raise ReActError(
            "it is for three strategies or more; two are compared by the paired test in the table"
        )
    means = scores.area.mean(axis=1).T  # (T, A)
    return nemenyi(means), friedman(means).f_p_value


def cost_performance(
    results: Results,
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    scores: Scores,
    seconds: pd.DataFrame | None,
) -> pd.DataFrame:
    """What each strategy costs and what it brings, as means over the aligned seeds and corpora.

    Args:
        results: The comparison.
        runs: Its areas, one row for each run.
        curves: Their mean curves.
        scores: Their aligned scores.
        seconds: strategy, selection_seconds, training_seconds of one run, or None.

    Returns:
        strategy, area, final, cost (spent), cost_to_reference (cost until the mean curve reaches what the
        reference reaches at the end; the budget where it does not), not_reached (corpora), and the seconds.
    """
    sign = sign_of(results.metric)
    spent = runs.groupby("strategy")["cost"].mean()
    rows: list[dict[str, Any]] = []
    for a, strategy in enumerate(scores.strategies):
        needed = np.array(
            [_to_reference(curves, c, strategy, results.reference, sign) for c in scores.corpora]
        )
        missed = np.isnan(needed)
        rows.append(
            {
                "strategy": strategy,
                "area": sign * scores.area[a].mean(),
                "final": sign * scores.final[a].mean(),
                "cost": float(spent[strategy]),
                "cost_to_reference": float(np.where(missed, results.budget, needed).mean()),
                "not_reached": int(missed.sum()),
            }
        )
    table = pd.DataFrame(rows)
    return table if seconds is None else table.merge(seconds, on="strategy", how="left")


def _to_reference(curves: pd.DataFrame, corpus: str, strategy: str, reference: str, sign: float) -> float:
    here = curves[curves["corpus"] == corpus]
    target = here[here["strategy"] == reference]["mean"]
    if target.empty:
        return float("nan")
    own = here[here["strategy"] == strategy]
    return labels_to_target(own["cost"], sign * own["mean"], sign * float(target.iloc[-1]))


def pareto_front(cost: Floats, value: Floats) -> list[int]:
    """Positions that no other one beats in both, cheapest first.

    Args:
        cost: ``(A,)``, lower is better.
        value: ``(A,)``, higher is better.
    """
    front: list[int] = []
    for position in np.lexsort((-value, cost)):
        if not front or value[position] > value[front[-1]]:
            front.append(int(position))
    return front
