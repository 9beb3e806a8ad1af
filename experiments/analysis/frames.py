"""The results of a comparison as tidy pandas frames: curves, areas, purchases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from react_rl.experiments.analysis.summary import Results, areas, read_tasks
from react_rl.experiments.run.results import ResultFolder


@dataclass(frozen=True)
class Frames:
    """One row for each observation, all keyed by corpus, strategy and seed.

    Args:
        curves: One row for each run and round: round, cost, labels, and dev and test of the first metric.
        areas: One row for each run: area under the test curve, final metric, labels, cost. Where corpora are
            of several tasks, these two say task and metric.
        purchases: One row for each bought label: round (0 for the initial ones) and row id.
    """

    curves: pd.DataFrame
    areas: pd.DataFrame
    purchases: pd.DataFrame

    def __repr__(self) -> str:
        """One line: how many rows each frame has."""
        sizes = {name: len(getattr(self, name)) for name in ("curves", "areas", "purchases")}
        return f"Frames({', '.join(f'{name}: {size} rows' for name, size in sizes.items())})"


def read_frames(folder: str | Path) -> Frames:
    """Read a comparison's folder.

    Args:
        folder: ``results/NAME``.

    Raises:
        ReActError: The folder is no comparison, has no finished run, or holds a damaged file.
    """
    every = read_tasks(Path(folder))
    return Frames(
        pd.concat([_named(one, one.curves) for one in every], ignore_index=True),
        pd.concat([_named(one, areas(one)) for one in every], ignore_index=True),
        _purchases(ResultFolder(Path(folder))),
    )


def _named(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(task=results.task, metric=results.metric) if results.task else frame


def _purchases(store: ResultFolder) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for run in store.read_plan()[1]:
        if store.finished(run):
            played = store.read_run(run)
            rounds = [played.get("initial", []), *played.get("batches", [])]
            rows += [
                {
                    "corpus": run.corpus,
                    "strategy": run.strategy,
                    "seed": run.seed,
                    "round": number,
                    "row": row,
                }
                for number, batch in enumerate(rounds)
                for row in batch
            ]
    return pd.DataFrame(rows, columns=["corpus", "strategy", "seed", "round", "row"])
