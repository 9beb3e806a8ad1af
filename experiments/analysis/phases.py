"""From run files to what was kept of earlier phases: accuracy matrices, forgetting and transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.metrics.continual import NUMBERS, PhaseNumbers, phase_numbers
from react_rl.metrics.registry import METRICS
from react_rl.metrics.statistics import bootstrap_mean

RunKey = tuple[str, str, int]
"""Corpus, strategy and seed of a run."""


@dataclass(frozen=True, eq=False)
class PhaseRun:
    """The phases of one run.

    Args:
        names: Of the phases.
        matrix: ``(T, T)`` test metric when phase i (row) had ended on phase j (column).
        numbers: What the matrix says.
    """

    names: tuple[str, ...]
    matrix: npt.NDArray[np.float64]
    numbers: PhaseNumbers


def phase_run(run: Mapping[str, Any], metric: str) -> PhaseRun | None:
    """The phases of a run; None where its corpus has none or it ended before they did."""
    own = run.get("phases")
    if not own or metric not in own["test"]:
        return None
    matrix = np.array(own["test"][metric], dtype=np.float64)
    if matrix.shape != (len(own["names"]),) * 2:
        return None
    kind = METRICS[metric]
    untrained = np.nan if kind.chance is None else float(kind.chance(np.array([own["classes"]], float))[0])
    return PhaseRun(tuple(own["names"]), matrix, phase_numbers(matrix, untrained, kind.sign))


def phase_summary(
    runs: Mapping[RunKey, PhaseRun], corpus: str, strategy: str, seeds: Sequence[int]
) -> dict[str, float]:
    """Means over seeds of the numbers of their matrices with 95 % bootstrap intervals, by column name.

    Nothing where a seed has no matrix.
    """
    own = [runs[corpus, strategy, seed].numbers for seed in seeds if (corpus, strategy, seed) in runs]
    if not own or len(own) < len(seeds):
        return {}
    found: dict[str, float] = {}
    for name in NUMBERS:
        values = np.array([asdict(one)[name] for one in own])
        interval = bootstrap_mean(values, np.random.default_rng(0))
        found |= {
            name: float(interval.estimate),
            f"{name}_low": float(interval.low),
            f"{name}_high": float(interval.high),
        }
    return found


def mean_matrix(
    runs: Mapping[RunKey, PhaseRun], corpus: str, strategy: str
) -> tuple[tuple[str, ...], npt.NDArray[np.float64]] | None:
    """Names of the phases of a corpus, and the mean over seeds of a strategy's matrices ``(T, T)``."""
    own = [run for (where, who, _), run in runs.items() if (where, who) == (corpus, strategy)]
    return (own[0].names, np.mean([run.matrix for run in own], axis=0)) if own else None


def phase_frame(runs: Mapping[RunKey, PhaseRun]) -> pd.DataFrame:
    """All matrices in long form: corpus, strategy, seed, after (phase that had ended), phase, test."""
    rows = [
        (*key, run.names[i], run.names[j], float(value))
        for key, run in runs.items()
        for (i, j), value in np.ndenumerate(run.matrix)
    ]
    return pd.DataFrame(rows, columns=["corpus", "strategy", "seed", "after", "phase", "test"])
