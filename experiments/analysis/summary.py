"""From run files to numbers: curves of every run, areas, paired differences to the reference, a table."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.markup import escape
from rich.table import Table

from react_rl.data.corpus import ALL_CORPORA as ALL_CORPORA
from react_rl.errors import ReActError, unknown
from react_rl.experiments.analysis.csv_files import csv_text, read_csv
from react_rl.experiments.analysis.phases import PhaseRun, RunKey, phase_frame, phase_run, phase_summary
from react_rl.experiments.run.results import ResultFolder
from react_rl.files import write_atomically
from react_rl.metrics.curves import area_to_budget, interpolate_curves, labels_to_fractions
from react_rl.metrics.registry import METRICS
from react_rl.metrics.significance import holm, wilcoxon_signed_rank
from react_rl.metrics.statistics import bootstrap_mean, paired_difference

CURVES: Final = "curves.csv"
SUMMARY: Final = "summary.csv"
PHASES: Final = "phases.csv"

FULL: Final = "full"
SHARES: Final = (0.90, 0.95, 0.99)
"""Shares of the metric with all labels that the summary gives the cost of reaching."""
_NAMES: Final = ("corpus", "strategy")
_NUMBERS: Final = ("round", "cost", "labels", "dev", "test")
TIE: Final = 1.001e-6
"""Areas nearer than this are equal: metrics in run files have six decimals, so areas of curves that differ
may agree in all that was measured and still be apart by the rounding of two metrics."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """Runs of one comparison in long form.

    Args:
        curves: One row for each run and round: corpus, strategy, seed, round, cost, labels, dev, test,
            weight:FEATURE columns for policies that weigh scores, and ``full`` (test metric with all labels
            of the pool) where runs know it.
        metric: Metric in ``dev`` and ``test``.
        budget: Cost units of an episode.
        reference: Strategy that differences are taken to.
        strategies: Names in the order of the config.
        missing: Runs of the plan without a file.
        policies: Folder of each trained policy, by its name; nothing else is called or drawn as one.
        phases: Accuracy matrices of the runs on corpora that come in phases.
    """

    curves: pd.DataFrame
    metric: str
    budget: float
    reference: str
    strategies: tuple[str, ...]
    missing: int
    policies: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[RunKey, PhaseRun] = field(default_factory=dict)

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is the better one."""
        return METRICS[self.metric].higher_is_better

    @property
    def corpora(self) -> list[str]:
        """Names of the corpora in order."""
        return list(dict.fromkeys(self.curves["corpus"]))

    @property
    def full(self) -> dict[str, float]:
        """Test metric with all labels of the pool by corpus, mean over seeds; of all corpora if all know."""
        if FULL not in self.curves:
            return {}
        known = self.curves.dropna(subset=[FULL]).drop_duplicates(["corpus", "seed"])
        means = known.groupby("corpus")[FULL].mean()
        found = {corpus: float(means[corpus]) for corpus in self.corpora if corpus in means.index}
        if len(found) == len(self.corpora) > 1:
            found[ALL_CORPORA] = float(np.mean(list(found.values())))
        return found


def read_results(folder: Path, metric: str | None = None) -> Results:
    """Read the runs of a comparison, or the curves that were kept of them.

    Args:
        folder: The comparison.
        metric: One of its metrics; None means the first, the only one of which curves are kept.

    Raises:
        ReActError: The folder is no comparison, has no finished run, holds a damaged file, or does not know
            the metric.
    """
    store = ResultFolder(folder)
    config, runs = store.read_plan()
    metric = metric or config["metrics"][0]
    if metric not in config["metrics"]:
        raise unknown("metric of this comparison", metric, config["metrics"])
    finished = [run for run in runs if store.finished(run)]
    if not finished and metric != config["metrics"][0]:
        raise ReActError(
            f"{folder} holds no run files, and its {CURVES} knows {config['metrics'][0]} only; run "
            f"`react-rl compare` again for {metric}."
        )
    curves = pd.DataFrame()
    phases: dict[RunKey, PhaseRun] = {}
    if finished:
        read = [store.read_run(run, metric) for run in finished]
        curves = pd.DataFrame([row for run in read for row in _rows(run, metric)])
        keys = [(run.corpus, run.strategy, run.seed) for run in finished]
        whole = zip(keys, (phase_run(run, metric) for run in read), strict=True)
        phases = {key: one for key, one in whole if one is not None}
    elif (folder / CURVES).is_file():
        curves = read_csv(folder / CURVES, _NAMES, ("seed", *_NUMBERS), "run the comparison again")
    if curves.empty:
        raise ReActError(f"{folder} holds no finished run; run `react-rl compare` first.")
    played = curves[["corpus", "strategy", "seed"]].drop_duplicates()
    present = set(played["strategy"])
    order = tuple(dict.fromkeys(run.strategy for run in runs if run.strategy in present))
    return Results(
        curves,
        metric,
        float(config["episode"]["budget"]),
        config["reference"],
        order,
        len(runs) - len(played),
        store.policies(),
        phases,
    )


def _rows(run: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    rows = []
    for r, (cost, labels) in enumerate(zip(run["cost"], run["labels"], strict=True)):
        row: dict[str, Any] = {
            "corpus": run["corpus"],
            "strategy": run["strategy"],
            "seed": run["seed"],
            "round": r,
            "cost": cost,
            "labels": labels,
            "dev": run["dev"][metric][r],
            "test": run["test"][metric][r],
        }
        if metric in run.get("full", {}):
            row[FULL] = run["full"][metric]
        # The weights of round r chose the batch that led from checkpoint r to r + 1.
        if r < len(run.get("weights", [])):
            names = run.get("features") or [str(f) for f in range(len(run["weights"][r]))]
            row |= {f"weight:{name}": w for name, w in zip(names, run["weights"][r], strict=True)}
        rows.append(row)
    return rows


def areas(results: Results, column: str = "test") -> pd.DataFrame:
    """Area under the curve, final metric, labels and cost of every run, one row each."""
    rows = []
    for (corpus, strategy, seed), run in results.curves.groupby(["corpus", "strategy", "seed"], sort=False):
        cost, value = run["cost"].to_numpy(float), run[column].to_numpy(float)
        rows.append(
            {
                "corpus": corpus,
                "strategy": strategy,
                "seed": seed,
                "area": area_to_budget(cost, value, results.budget),
                "final": value[-1],
                "labels": run["labels"].iloc[-1],
                "cost": cost[-1],
            }
        )
    return pd.DataFrame(rows)


def summarise(results: Results) -> pd.DataFrame:
    """One row for each corpus and strategy, and for the mean over corpora.

    Areas and final values are means over seeds with 95 % bootstrap intervals. Differences to the reference
    are paired by seed; ``p_holm`` is the Wilcoxon signed-rank test, corrected by Holm over the strategies
    of a corpus. Only seeds that every strategy has finished are used. Where runs know the metric with all
    labels of the pool, ``full`` is its mean, and ``cost_to_90``, ``_95`` and ``_99`` say at which cost the
    mean curve reaches that share of it, NaN where the budget ends before. On corpora that come in phases
    there are the numbers of ``metrics.continual`` besides.
    """
    scores = areas(results)
    levels = _Levels.of(results)
    groups = [(corpus, scores[scores["corpus"] == corpus]) for corpus in results.corpora]
    if len(groups) > 1:
        # Seed k on different corpora is one replicate: its mean over corpora, where all have it.
        wide = scores.groupby(["strategy", "seed"])
        complete = wide.filter(lambda g: g["corpus"].nunique() == len(groups))
        numbers = ["area", "final", "labels", "cost"]
        pooled = complete.groupby(["strategy", "seed"], as_index=False)[numbers].mean()
        groups.append((ALL_CORPORA, pooled))
    rows = [row for corpus, group in groups for row in _summarise_group(corpus, group, results, levels)]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Levels:
    """What all labels bring, and the curves that climb to it.

    Args:
        full: Metric with all labels by corpus; empty where shares of it would mean nothing.
        corpora: Names of the corpora.
        runs: Cost and test metric of each run by corpus, strategy and seed.
    """

    full: dict[str, float]
    corpora: list[str]
    runs: dict[Any, tuple[Floats, Floats]]

    @classmethod
    def of(cls, results: Results) -> _Levels:
        """Read them once for all rows of the summary."""
        full = {corpus: value for corpus, value in results.full.items() if value > 0}
        if not full or not results.higher_is_better:
            return cls({}, [], {})
        groups = results.curves.groupby(["corpus", "strategy", "seed"], sort=False)
        runs = {key: (run["cost"].to_numpy(float), run["test"].to_numpy(float)) for key, run in groups}
        return cls(full, results.corpora, runs)

    def reached(self, corpus: str, strategy: str, seeds: list[int]) -> dict[str, float]:
        """Metric with all labels, and the cost at which the mean curve over ``seeds`` reaches its shares."""
        if corpus not in self.full:
            return {}
        where = self.corpora if corpus == ALL_CORPORA else [corpus]
        own = [self.runs[one, strategy, seed] for one in where for seed in seeds]
        grid = np.unique(np.concatenate([cost for cost, _ in own]))
        mean = interpolate_curves(own, grid).mean(axis=0)
        costs = labels_to_fractions(grid, mean, self.full[corpus], SHARES)
        named = {column_of(share): float(cost) for share, cost in zip(SHARES, costs, strict=True)}
        return {FULL: self.full[corpus]} | named


def column_of(share: float) -> str:
    """Column of the summary that holds the cost of reaching a share of the metric with all labels."""
    return f"cost_to_{100 * share:.0f}"


def _summarise_group(
    corpus: str, group: pd.DataFrame, results: Results, levels: _Levels
) -> list[dict[str, Any]]:
    table = {
        name: group.pivot(index="seed", columns="strategy", values=name).dropna()
        for name in ("area", "final", "labels", "cost")
    }
    strategies = [s for s in results.strategies if s in table["area"].columns]
    if table["area"].empty:
        return []
    rows: list[dict[str, Any]] = []
    reference = results.reference if results.reference in strategies else None
    for strategy in strategies:
        area = table["area"][strategy].to_numpy(float)
        rng = np.random.default_rng(0)
        mean, final = bootstrap_mean(area, rng), bootstrap_mean(table["final"][strategy].to_numpy(float), rng)
        row: dict[str, Any] = {
            "corpus": corpus,
            "strategy": strategy,
            "seeds": area.size,
            "area": float(mean.estimate),
            "area_low": float(mean.low),
            "area_high": float(mean.high),
            "final": float(final.estimate),
            "final_low": float(final.low),
            "final_high": float(final.high),
            "labels": float(table["labels"][strategy].mean()),
            "cost": float(table["cost"][strategy].mean()),
        }
        if reference is not None and strategy != reference:
            row |= _difference(area, table["area"][reference].to_numpy(float), rng, results.higher_is_better)
        row |= levels.reached(corpus, strategy, table["area"].index.tolist())
        row |= phase_summary(results.phases, corpus, strategy, table["area"].index.tolist())
        rows.append(row)
    tested = [row for row in rows if "p" in row]
    for row, corrected in zip(tested, holm([row.pop("p") for row in tested]) if tested else [], strict=True):
        row["p_holm"] = float(corrected)
    return rows


def _difference(
    own: Floats, other: Floats, rng: np.random.Generator, higher_is_better: bool
) -> dict[str, Any]:
    other = np.where(np.abs(own - other) <= TIE, own, other)
    difference = paired_difference(own, other, rng)
    ahead = own - other if higher_is_better else other - own
    return {
        "difference": float(difference.estimate),
        "difference_low": float(difference.low),
        "difference_high": float(difference.high),
        "wins": int((ahead > 0).sum()),
        "ties": int((ahead == 0).sum()),
        "losses": int((ahead < 0).sum()),
        "p": float(wilcoxon_signed_rank(own, other).p_value),
    }


def write_tables(folder: Path, results: Results, table: pd.DataFrame) -> None:
    """Write ``summary.csv`` and ``curves.csv``, and ``phases.csv`` where corpora come in phases."""
    if results.phases:
        write_atomically(folder / PHASES, csv_text(phase_frame(results.phases).round(6)))
    for name, frame in ((SUMMARY, table), (CURVES, results.curves)):
        write_atomically(folder / name, csv_text(frame.round(6)))


def console_table(table: pd.DataFrame, results: Results, corpus: str) -> Table:
    """The summary of one corpus for the terminal, best area first."""
    rows = table[table["corpus"] == corpus].sort_values("area", ascending=not results.higher_is_better)
    seeds = int(rows["seeds"].min()) if len(rows) else 0
    several = f"{seeds} paired seeds, [95 % intervals]"
    title = f"{corpus}: test {results.metric}, {several if seeds > 1 else '1 seed, no intervals'}"
    shown = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown.add_column("strategy", no_wrap=True)
    against = f"area - {results.reference}"
    for name in ("area under the curve", "final", against, "win/tie/loss", "p (Holm)"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        cells = [
            str(row["strategy"]),
            _with_interval(row, "area", ".4f"),
            f"{row['final']:.4f}",
        ]
        if row["strategy"] == results.reference or pd.isna(row.get("difference", np.nan)):
            cells += ["", "", ""]
        else:
            cells += [
                _with_interval(row, "difference", "+.4f"),
                f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}",
                "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.1g}",
            ]
        shown.add_row(*map(escape, cells))
    return shown


def _with_interval(row: Mapping[Hashable, Any], key: str, form: str) -> str:
    """A number and its interval; the number alone where one seed gives none."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return f"{row[key]:{form}}" + ("" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]")
