"""Calibration, classes and groups, robustness: from the counts in run files to tables with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.errors import ReActError
from react_rl.experiments.run.altered import CLEAN
from react_rl.experiments.run.results import ResultFolder
from react_rl.metrics.reliability import Reliability
from react_rl.metrics.statistics import bootstrap_mean

STAGES: Final = ("before", "after")
"""Before and after temperature scaling."""

_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class FinalRun:
    """What a run kept of its last model.

    Args:
        corpus: Name of the corpus.
        strategy: Name of the strategy.
        seed: Its seed.
        kept: Counts by analysis.
    """

    corpus: str
    strategy: str
    seed: int
    kept: Mapping[str, Any]


def read_final_runs(folder: ResultFolder) -> list[FinalRun]:
    """What the finished runs of a comparison kept, in the order of its plan.

    Raises:
        ReActError: A run file is damaged.
    """
    runs = []
    for run in folder.read_plan()[1]:
        if folder.finished(run):
            kept = folder.read_run(run).get("analysis")
            if isinstance(kept, dict):
                runs.append(FinalRun(run.corpus, run.strategy, run.seed, kept))
    return runs


def reliability_of(kept: Mapping[str, Any], stage: str) -> Reliability:
    """The bins of one run before or after temperature scaling.

    Raises:
        ReActError: They are not in the run file.
    """
    try:
        bins = kept["calibration"][stage]
        parts = [np.asarray(bins[name], dtype=np.float64) for name in ("rows", "confidence", "correct")]
    except (KeyError, TypeError, ValueError) as error:
        raise ReActError(
            f"A run file holds no calibration ({error}); delete it and compare again."
        ) from error
    return Reliability(*parts)


def pooled_reliability(runs: Sequence[FinalRun], corpus: str, strategy: str, stage: str) -> Reliability:
    """The bins of all seeds of a strategy on a corpus together."""
    own = [run for run in runs if (run.corpus, run.strategy) == (corpus, strategy)]
    total = reliability_of(own[0].kept, stage)
    for run in own[1:]:
        total = total + reliability_of(run.kept, stage)
    return total


def calibration_table(runs: Sequence[FinalRun]) -> pd.DataFrame:
    """Expected calibration error by corpus and strategy, mean over seeds with 95 % intervals."""

    def of(run: FinalRun) -> dict[str, float]:
        found = {stage: reliability_of(run.kept, stage).error for stage in STAGES}
        return found | {"temperature": float(run.kept["calibration"]["temperature"])}

    return _means(runs, of)


def class_table(runs: Sequence[FinalRun]) -> pd.DataFrame:
    """Accuracy of each class (its recall) and group, and precision of each class, mean over seeds."""
    tables = []
    for name in _parts(runs, "per-class"):

        def of(run: FinalRun, name: tuple[str, str] = name) -> dict[str, float]:
            kept = run.kept["per-class"]
            if name[0] == "group":
                own = kept["groups"].get(name[1], {"rows": 0, "correct": 0})
                return {"accuracy": _share(own["correct"], own["rows"]), "precision": np.nan}
            place = run.kept["classes"].index(name[1]) if name[1] in run.kept["classes"] else None
            if place is None:
                return {"accuracy": np.nan, "precision": np.nan}
            right, rows, said = (kept[key][place] for key in ("correct", "rows", "predicted"))
            return {"accuracy": _share(right, rows), "precision": _share(right, said)}

        own = _means(runs, of)
        tables.append(own[own["accuracy"].notna()].assign(part=name[0], name=name[1]))
    return pd.concat(tables, ignore_index=True)


def robustness_table(runs: Sequence[FinalRun]) -> pd.DataFrame:
    """Accuracy on clean and disturbed texts by corpus, strategy and group, and what a disturbance costs.

    ``lost`` is the accuracy on the same texts as they are minus that on the disturbed ones, ``changed`` the
    share of predictions that change; means over seeds with 95 % intervals. The group ``all`` is all rows.
    """
    kinds = list(dict.fromkeys(kind for run in runs for kind in run.kept["robustness"]))
    tables = []
    for kind in kinds:
        for group in [
            "all",
            *dict.fromkeys(g for run in runs for g in run.kept["robustness"][CLEAN]["groups"]),
        ]:

            def of(run: FinalRun, kind: str = kind, group: str = group) -> dict[str, float]:
                clean, own = (_counts(run.kept["robustness"][one], group) for one in (CLEAN, kind))
                changed = run.kept["robustness"][kind]["changed"] if group == "all" else np.nan
                accuracy = _share(*own)
                return {
                    "accuracy": accuracy,
                    "lost": _share(*clean) - accuracy,
                    "changed": _share(changed, own[1]),
                }

            own = _means([run for run in runs if kind in run.kept["robustness"]], of)
            tables.append(own[own["accuracy"].notna()].assign(kind=kind, group=group))
    return pd.concat(tables, ignore_index=True)


def _counts(kept: Mapping[str, Any], group: str) -> tuple[float, float]:
    """Right rows and all rows of a group."""
    if group == "all":
        return float(sum(kept["correct"])), float(sum(kept["rows"]))
    own = kept["groups"].get(group, {"correct": 0, "rows": 0})
    return float(own["correct"]), float(own["rows"])


def _parts(runs: Sequence[FinalRun], analysis: str) -> Iterator[tuple[str, str]]:
    """Classes and groups of all corpora, each once."""
    classes = dict.fromkeys(name for run in runs for name in run.kept["classes"])
    groups = dict.fromkeys(name for run in runs for name in run.kept[analysis]["groups"])
    yield from (("class", name) for name in classes)
    yield from (("group", name) for name in groups)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _means(runs: Sequence[FinalRun], of: Callable[[FinalRun], dict[str, float]]) -> pd.DataFrame:
    """Means over seeds with 95 % bootstrap intervals, a row for each corpus and strategy."""
    values: dict[tuple[str, str], list[dict[str, float]]] = {}
    for run in runs:
        values.setdefault((run.corpus, run.strategy), []).append(of(run))
    rows = []
    for (corpus, strategy), found in values.items():
        row: dict[str, Any] = {"corpus": corpus, "strategy": strategy, "seeds": len(found)}
        for key in found[0]:
            own: npt.NDArray[np.float64] = np.array([one[key] for one in found])
            interval = bootstrap_mean(own, np.random.default_rng(0), resamples=_RESAMPLES)
            row |= {
                key: float(interval.estimate),
                f"{key}_low": float(interval.low),
                f"{key}_high": float(interval.high),
            }
        rows.append(row)
    return pd.DataFrame(rows)
