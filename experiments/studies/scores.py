"""One number for each run of a comparison, in small tables that are kept when run files are not.

A table has a row for each corpus and seed and a column for each strategy. The claims and the figure about few
seeds are made from such tables alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype

from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text, read_csv
from react_rl.experiments.analysis.summary import read_results
from react_rl.experiments.run.results import CURVES, PLAN
from react_rl.files import write_atomically
from react_rl.metrics.curves import area_to_budget, final_metric

Floats = npt.NDArray[np.float64]

FOLDER: Final = "scores"


@dataclass(frozen=True)
class Measure:
    """What is read off every run of a comparison.

    Args:
        comparison: Name of the comparison, and of its folder.
        number: Area under the test curve, divided by its span of cost, or the last test metric.
        until: Cost units up to which the curve is read; None reads to the budget.
    """

    comparison: str
    number: Literal["area", "final"] = "area"
    until: float | None = None


MEASURES: Final[dict[str, Measure]] = {
    "batch-1": Measure("baselines-batch1"),
    "batch-5": Measure("baselines-wide"),
    "batch-5-final": Measure("baselines-wide", "final"),
    "batch-20": Measure("baselines-batch20"),
    "batch-20-final": Measure("baselines-batch20", "final"),
    "batch-50": Measure("baselines-batch50"),
    "schroeder": Measure("baselines-schroeder"),
    "cold-10": Measure("baselines-cold", until=10),
    "balanced": Measure("baselines-balanced"),
    "skewed": Measure("baselines-skewed"),
    "seeds": Measure("baselines-seeds"),
}
"""The tables of the reference comparison by name."""


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores.

    Args:
        corpora: Names of the T corpora.
        seeds: The S seeds that every strategy has on every corpus.
        values: Strategy to ``(S, T)`` scores; higher is better.
    """

    corpora: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, Floats]

    def of(self, strategy: str, corpus: str | None = None) -> Floats:
        """``(S,)`` scores on one corpus, or the mean over corpora.

        Raises:
            ReActError: The strategy or the corpus is not in the table.
        """
        if strategy not in self.values:
            raise ReActError(
                f"Strategy {strategy!r} was not compared; the table has {', '.join(self.values)}."
            )
        if corpus is None:
            return np.asarray(self.values[strategy].mean(axis=1))
        if corpus not in self.corpora:
            raise ReActError(f"Corpus {corpus!r} was not compared; the table has {', '.join(self.corpora)}.")
        return self.values[strategy][:, self.corpora.index(corpus)]

    def mean(self, strategy: str, corpora: Sequence[str] | None = None) -> float:
        """Mean score over seeds and some corpora; None takes all.

        Raises:
            ReActError: The strategy or a corpus is not in the table.
        """
        some = self.corpora if corpora is None else corpora
        return float(np.mean([self.of(strategy, corpus).mean() for corpus in some]))


def measured(results: Path, measure: Measure) -> pd.DataFrame:
    """Read a measure off the runs of a comparison: corpus, seed, and a column for each strategy.

    Raises:
        ReActError: The comparison has no finished run.
    """
    found = read_results(results / measure.comparison)
    until = found.budget if measure.until is None else measure.until
    rows = []
    for (corpus, strategy, seed), run in found.curves.groupby(["corpus", "strategy", "seed"], sort=False):
        cost, value = run["cost"].to_numpy(float), run["test"].to_numpy(float)
        read = area_to_budget if measure.number == "area" else final_metric
        rows.append((corpus, strategy, seed, float(read(cost, value, until))))
    table = pd.DataFrame(rows, columns=["corpus", "strategy", "seed", "score"])
    wide = table.pivot(index=["corpus", "seed"], columns="strategy", values="score")
    return wide.reindex(found.corpora, level="corpus")[list(found.strategies)].reset_index()


def collect(results: Path, out: Path, measures: Mapping[str, Measure] | None = None) -> list[str]:
    """Write the table of every measure whose comparison is in ``results``; returns their names.

    Args:
        results: Folder of the comparisons.
        out: Where the tables go, in a folder of their own.
        measures: Tables by name; None takes those of ``MEASURES``.

    Raises:
        ReActError: A comparison has no seed that is finished everywhere; its table stays as it was.
    """
    written = []
    for name, measure in (MEASURES if measures is None else measures).items():
        folder = results / measure.comparison
        if not (folder / PLAN).is_file() or not ((folder / "runs").is_dir() or (folder / CURVES).is_file()):
            continue
        table = measured(results, measure).round(6)
        _scores(table, folder)
        write_atomically(out / FOLDER / f"{name}.csv", csv_text(table))
        written.append(name)
    return written


def read_scores(out: Path, name: str, measures: Mapping[str, Measure] | None = None) -> ScoreTable:
    """Read a table; only seeds that every strategy has on every corpus are kept.

    Raises:
        ReActError: There is no such table, or no seed is left.
    """
    path = out / FOLDER / f"{name}.csv"
    if not path.is_file():
        comparison = (MEASURES if measures is None else measures)[name].comparison
        raise ReActError(f"{path} does not exist; run `react-rl compare {comparison}` and try again.")
    return _scores(read_csv(path, ("corpus",), ("seed",), "make it again"), path)


def _scores(table: pd.DataFrame, source: Path) -> ScoreTable:
    corpora = tuple(dict.fromkeys(table["corpus"]))
    strategies = [column for column in table.columns if column not in ("corpus", "seed")]
    for strategy in strategies:
        if not is_numeric_dtype(table[strategy]):
            raise ReActError(f"A score of {strategy} in {source} is no number; make it again.")
    if not strategies or table.duplicated(["corpus", "seed"]).any():
        raise ReActError(f"{source} has no strategy, or a corpus twice with one seed; make it again.")
    wide = {s: table.pivot(index="seed", columns="corpus", values=s)[list(corpora)] for s in strategies}
    complete = np.logical_and.reduce([frame.notna().all(axis=1).to_numpy() for frame in wide.values()])
    if not complete.any():
        raise ReActError(
            f"{source} has no seed that every strategy finished on every corpus; finish the runs."
        )
    return ScoreTable(
        corpora,
        tuple(int(seed) for seed in wide[strategies[0]].index[complete]),
        {s: frame.to_numpy(float)[complete] for s, frame in wide.items()},
    )
