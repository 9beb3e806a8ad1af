"""From run files to numbers: curves of every run, areas, paired differences to the reference, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.acquisition.contract import LEARNED
from react_rl.data.corpus import ALL_CORPORA as ALL_CORPORA
from react_rl.errors import ReActError, unknown
from react_rl.experiments.analysis.about import about
from react_rl.experiments.analysis.csv_files import csv_text, read_csv
from react_rl.experiments.analysis.phases import PhaseRun, RunKey, phase_frame, phase_run, phase_summary
from react_rl.experiments.run.results import CURVES, ResultFolder, RunId
from react_rl.files import write_atomically
from react_rl.metrics.curves import area_to_budget, interpolate_curves, labels_to_fractions
from react_rl.metrics.registry import METRICS
from react_rl.metrics.significance import holm, wilcoxon_signed_rank
from react_rl.metrics.statistics import bootstrap_mean, paired_difference

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
    """Runs of one comparison on corpora of one task, in long form.

    Args:
        curves: One row for each run and round: corpus, strategy, seed, round, cost, labels, dev, test,
            weight:FEATURE columns for policies that weigh scores, and ``full`` (test metric with all labels
            of the pool) where runs know it.
        metric: Metric in ``dev`` and ``test``.
        budget: Cost units of an episode.
        reference: Strategy that differences are taken to.
        strategies: Names in the order of the config.
        missing: Runs of the plan without a file.
        policies: Folder of each trained policy that the config names by one, by its name.
        phases: Accuracy matrices of the runs on corpora that come in phases.
        task: Name of the task, where the comparison has corpora of several; else nothing.
    """

    curves: pd.DataFrame
    metric: str
    budget: float
    reference: str
    strategies: tuple[str, ...]
    missing: int
    policies: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[RunKey, PhaseRun] = field(default_factory=dict)
    task: str = ""

    def called(self, corpus: str) -> str:
        """How tables and figures call a corpus, or the mean over the corpora of this task."""
        return f"(mean of {self.task} corpora)" if self.task and corpus == ALL_CORPORA else corpus

    @property
    def trained(self) -> tuple[str, ...]:
        """Strategies that are trained policies or made of one, whether by a folder or by a listed name."""
        return tuple(s for s in self.strategies if about(s, self.policies).family == LEARNED)

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


Summarised = tuple[Results, pd.DataFrame]
"""The results on corpora of one task, and their summary."""


def titled(called: str) -> str:
    """How a title calls a corpus: a mean over corpora goes without its brackets, which other names keep."""
    return called[1:-1] if called.startswith("(mean of ") and called.endswith(" corpora)") else called


def read_results(folder: str | Path, metric: str | None = None, task: str | None = None) -> Results:
    """Read the runs of a comparison, or the curves that were kept of them.

    Args:
        folder: The comparison.
        metric: One of its metrics; None means the first, the only one of which curves are kept.
        task: Name of a task, where it has corpora of several.

    Raises:
        ReActError: The folder is no comparison, has no finished run, holds a damaged file, does not know the
            metric or the task, or has corpora of several tasks and none was named.
    """
    found = read_tasks(folder, metric)
    if task is None and len(found) == 1:
        return found[0]
    names = [one.task for one in found]
    if task is None:
        raise ReActError(f"{folder} has corpora of {' and '.join(names)}; name one of these as the task.")
    if task not in names:
        raise unknown("task of this comparison", task, [name for name in names if name])
    return found[names.index(task)]


def read_tasks(folder: str | Path, metric: str | None = None) -> list[Results]:
    """Read a comparison, the corpora of each task by themselves: metrics of different tasks have no mean.

    Args:
        folder: The comparison.
        metric: One of its metrics; tasks that do not have it are left out. None means the first of each task.

    Raises:
        ReActError: The folder is no comparison, has no finished run, holds a damaged file, or does not know
            the metric.
    """
    store = ResultFolder(Path(folder))
    planned = store.read_tasks()
    known = list(dict.fromkeys(name for config, _ in planned.values() for name in config["metrics"]))
    if metric is not None and metric not in known:
        raise unknown("metric of this comparison", metric, known)
    wanted = {task: one for task, one in planned.items() if metric is None or metric in one[0]["metrics"]}
    read = [_read_task(store, config, runs, metric, task) for task, (config, runs) in wanted.items()]
    found = [one for one in read if one is not None]
    if not found:
        raise ReActError(f"{folder} holds no finished run; run `react-rl compare` first.")
    return found


def _read_task(
    store: ResultFolder, config: Mapping[str, Any], runs: Sequence[RunId], metric: str | None, task: str
) -> Results | None:
    """The results on corpora of one task; None where no run of it is finished."""
    folder, first = store.folder, config["metrics"][0]
    metric = metric or first
    finished = [run for run in runs if store.finished(run)]
    if not finished and metric != first:
        raise ReActError(
            f"{folder} holds no run files, and its {CURVES} knows {first} only; run "
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
        curves = curves[curves["corpus"].isin({run.corpus for run in runs})] if task else curves
    if curves.empty:
        return None
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
        task,
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


def write_tables(folder: Path, found: Sequence[Summarised]) -> None:
    """Write ``summary.csv`` and ``curves.csv``, and ``phases.csv`` where corpora come in phases.

    Args:
        folder: The comparison.
        found: Results of each task and their summary. Of several, rows say their task and metric.
    """
    phases = {key: run for results, _ in found for key, run in results.phases.items()}
    if phases:
        write_atomically(folder / PHASES, csv_text(phase_frame(phases).round(6)))
    tables = [summary_of(results, table) for results, table in found]
    curves = [results.curves for results, _ in found]
    for name, frames in ((SUMMARY, tables), (CURVES, curves)):
        whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        write_atomically(folder / name, csv_text(whole.round(6)))


def summary_of(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """A summary as it is written; where a comparison has several tasks, rows say their task and metric."""
    if not results.task:
        return table
    named = table.assign(corpus=[results.called(corpus) for corpus in table["corpus"]])
    named.insert(0, "task", results.task)
    named.insert(3, "metric", results.metric)
    return named
