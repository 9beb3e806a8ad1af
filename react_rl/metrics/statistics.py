"""Bootstrap intervals: means over seeds, paired differences, any statistic of a score table.

Score tables are ``(S, T)``: seeds (runs) by tasks (corpora). What is computed from a table lives in
:mod:`react_rl.metrics.aggregates`, tests in :mod:`react_rl.metrics.significance` and
:mod:`react_rl.metrics.ranks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError

Floats = NDArray[np.float64]

RESAMPLES: Final = 10_000
"""Bootstrap replicates by default; the end points then move by about 1 % of the width between streams."""
_CHUNK_NUMBERS: Final = 4_000_000
"""Numbers held at once while resampling: 32 MB in float64."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile bootstrap interval.

    The fields are float64 arrays of one shape, ``()`` for a single number. ``low`` and ``high`` are NaN where
    there was a single seed: one run says nothing about the spread. Equal values, however few, have an
    interval without width: a bootstrap draws from what was seen.
    """

    estimate: Floats
    low: Floats
    high: Floats
    level: float

    def signed(self, digits: int) -> str:
        """A difference as tables show it: ``+0.012 [+0.003, +0.021]``; of a single number."""
        estimate, low, high = (f"{float(part):+.{digits}f}" for part in (self.estimate, self.low, self.high))
        return f"{estimate} [{low}, {high}]"


def as_values(values: ArrayLike, what: str) -> Floats:
    """Return values, seeds first, as float64.

    Raises:
        ReActError: If there are none; the message calls them ``what``.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.size == 0:
        raise ReActError(f"The {what} hold no values (shape {array.shape}): give at least one seed.")
    return array


def as_score_table(values: ArrayLike) -> Floats:
    """Return scores as ``(S, T)`` float64.

    Raises:
        ReActError: If they are empty or no table.
    """
    array = as_values(values, "scores")
    if array.ndim != 2:
        raise ReActError(f"Scores of shape {array.shape} are not a table: give (seeds, tasks).")
    return array


def check_bootstrap(level: float, resamples: int) -> None:
    """Check the options that all bootstraps share.

    Raises:
        ReActError: If ``level`` or ``resamples`` is out of range.
    """
    if not 0 < level < 1:
        raise ReActError(f"An interval of level {level} is not possible: give one between 0 and 1.")
    if resamples < 1:
        raise ReActError(f"A bootstrap with {resamples} resamples is not possible: give at least 1.")


def _chunks(resamples: int, numbers_each: int) -> Iterator[int]:
    size = max(1, _CHUNK_NUMBERS // max(1, numbers_each))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def percentile_interval(estimate: ArrayLike, replicates: Floats, level: float, seeds: int) -> Interval:
    """Cut an interval from ``(B, ...)`` replicates; without bounds where ``seeds`` is below two."""
    centre = np.asarray(estimate, dtype=np.float64)
    if seeds < 2:
        return Interval(centre, np.full_like(centre, np.nan), np.full_like(centre, np.nan), level)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail], axis=0)
    return Interval(centre, np.asarray(low), np.asarray(high), level)


def _exact_mean(columns: Floats) -> Floats:
    # Sums rounded once: they do not depend on the order of the seeds.
    if not np.isfinite(np.abs(columns).sum(axis=0)).all():
        return np.asarray(columns.mean(axis=0))
    means: Floats = np.array([math.fsum(column) for column in columns.T.tolist()]) / columns.shape[0]
    return means


def bootstrap_mean(
    values: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Mean over seeds with a percentile bootstrap interval, for a number or for a whole curve at once.

    All columns use the same resampled seeds, so that the intervals of a curve belong together (they are
    pointwise, not a simultaneous band). With few seeds the interval is too narrow: at 10 normal values a
    nominal 95 % covers about 90 %.

    Args:
        values: ``(S, ...)`` values, seeds first. A NaN makes its column NaN.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.

    Returns:
        An interval whose fields have the shape ``(...)``.

    Raises:
        ReActError: If there is no seed, or ``level`` or ``resamples`` is out of range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    array = as_values(values, "values")
    check_bootstrap(level, resamples)
    seeds = array.shape[0]
    # A resample is a count per seed, so the mean over it is one row of a matrix product.
    counts = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples).astype(np.float64)
    columns = array.reshape(seeds, -1)
    size = max(1, _CHUNK_NUMBERS // resamples)
    parts = [
        percentile_interval(_exact_mean(part), counts @ part / seeds, level, seeds)
        for part in (columns[:, start : start + size] for start in range(0, columns.shape[1], size))
    ]
    shape = array.shape[1:]
    estimate, low, high = (
        np.concatenate([getattr(part, field) for part in parts]).reshape(shape)
        for field in ("estimate", "low", "high")
    )
    return Interval(estimate, low, high, level)


def paired_difference(
    x: ArrayLike, y: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Mean of ``x - y`` over paired seeds, with a percentile bootstrap interval over the pairs.

    Args:
        x: ``(S, ...)`` values of one strategy; row s is seed s.
        y: ``(S, ...)`` values of the other with the same seeds in the same order.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.

    Returns:
        An interval whose fields have the shape ``(...)``; above zero means that ``x`` is larger.

    Raises:
        ReActError: If the shapes differ or there is no seed.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape:
        raise ReActError(
            f"Paired values need equal shapes, seed by seed: got {first.shape} and {second.shape}."
        )
    return bootstrap_mean(first - second, rng, level, resamples)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Callable[[Floats], Floats],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    resample_tasks: bool = False,
) -> Interval:
    """Interval of any statistic of a score table: seeds are resampled within each task.

    Args:
        scores: ``(S, T)`` seeds by tasks.
        statistic: Maps ``(B, S, T)`` to ``(B, ...)``.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.
        resample_tasks: False asks what other seeds on these tasks would give. True draws the tasks too, and
            asks what other tasks of the same kind would give; that interval is wider.

    Returns:
        An interval of the statistic's shape.

    Raises:
        ReActError: If the scores are no table.

    Source: Agarwal et al. 2021, sec. 4.2 and appendix A.2.
    """
    table = as_score_table(scores)
    check_bootstrap(level, resamples)
    seeds, tasks = table.shape
    replicates = []
    for size in _chunks(resamples, table.size):
        rows = rng.integers(seeds, size=(size, seeds, tasks))
        columns = rng.integers(tasks, size=(size, 1, tasks)) if resample_tasks else np.arange(tasks)
        replicates.append(np.asarray(statistic(table[rows, columns])))
    return percentile_interval(statistic(table[None])[0], np.concatenate(replicates), level, seeds)
