"""Numbers over a whole table of scores: interquartile mean, probability of improvement, performance profile.

Scores are ``(S, T)``: seeds (runs) by tasks (corpora), higher is better. The bootstrap itself lives in
:mod:`react_rl.metrics.statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError
from react_rl.metrics.statistics import (
    Interval,
    as_score_table,
    as_values,
    check_bootstrap,
    percentile_interval,
    stratified_bootstrap,
)

Floats = NDArray[np.float64]


def interquartile_mean(scores: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Floats:
    """Mean of the middle half: a quarter of the values (rounded down) is cut from each end.

    Args:
        scores: Values of any shape, say ``(S, T)``.
        axis: Axes to pool; None pools runs and tasks alike, as rliable does.

    Returns:
        The means, without the pooled axes.

    Raises:
        ReActError: If there are no values.

    Source: Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice,
    section 4.3.
    """
    array = as_values(scores, "scores")
    axes = tuple(range(array.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    kept = tuple(position for position in range(array.ndim) if position not in {a % array.ndim for a in axes})
    pooled = array.transpose(*kept, *(a % array.ndim for a in axes))
    pooled = pooled.reshape(*(array.shape[position] for position in kept), -1)
    cut = pooled.shape[-1] // 4
    ordered = np.sort(pooled, axis=-1)
    return np.asarray(ordered[..., cut : pooled.shape[-1] - cut].mean(axis=-1))


def bootstrap_interquartile_mean(
    scores: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
    resample_tasks: bool = False,
) -> Interval:
    """Interquartile mean over runs and tasks with a stratified bootstrap interval.

    Bring the tasks to one scale first (:func:`normalise_scores`): otherwise the cut removes whole tasks.

    Args:
        scores: ``(S, T)`` seeds by tasks.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.
        resample_tasks: As in :func:`stratified_bootstrap`.

    Raises:
        ReActError: If the scores are no table.
    """
    return stratified_bootstrap(
        scores, lambda table: interquartile_mean(table, axis=(1, 2)), rng, level, resamples, resample_tasks
    )


def _task_weights(size: int, tasks: int, resample: bool, rng: np.random.Generator) -> Floats:
    """Weights ``(B, T)`` that average over tasks, drawn with replacement if asked."""
    if not resample:
        return np.full((size, tasks), 1.0 / tasks)
    return rng.multinomial(tasks, np.full(tasks, 1.0 / tasks), size=size) / tasks


def _improvements(x: Floats, y: Floats, tolerance: float) -> Floats:
    return np.asarray((x - y > tolerance) + 0.5 * (np.abs(x - y) <= tolerance))


def probability_of_improvement(
    x: ArrayLike, y: ArrayLike, paired: bool = True, tolerance: float = 0.0
) -> float:
    """Mean over tasks of ``P(x > y) + P(x = y) / 2``.

    Args:
        x: ``(S, T)`` scores of one strategy.
        y: ``(Q, T)`` scores of the other; ``Q = S`` and the same seeds where paired.
        paired: True compares seed with seed, which common random numbers make fair and sharp. False compares
            every run with every run (Mann-Whitney), as rliable does.
        tolerance: Differences up to this count as ties.

    Returns:
        A number in [0, 1]; 0.5 means no difference.

    Raises:
        ReActError: If the tables do not fit each other.

    Source: Agarwal et al. 2021, sec. 4.3.
    """
    first, second = _tables(x, y, paired)
    if paired:
        return float(_improvements(first, second, tolerance).mean())
    return float(_improvements(first[:, None], second[None], tolerance).mean())


def _tables(x: ArrayLike, y: ArrayLike, paired: bool) -> tuple[Floats, Floats]:
    first, second = as_score_table(x), as_score_table(y)
    if first.shape[1] != second.shape[1] or (paired and first.shape != second.shape):
        wanted = "the same seeds and tasks" if paired else "the same tasks"
        raise ReActError(f"Score tables of shapes {first.shape} and {second.shape} differ: give {wanted}.")
    return first, second


def bootstrap_probability_of_improvement(
    x: ArrayLike,
    y: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
    paired: bool = True,
    resample_tasks: bool = False,
    tolerance: float = 0.0,
) -> Interval:
    """Probability of improvement with a stratified bootstrap interval.

    Args:
        x: ``(S, T)`` scores of one strategy.
        y: ``(Q, T)`` scores of the other.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.
        paired: As in :func:`probability_of_improvement`; pairs are resampled as pairs.
        resample_tasks: As in :func:`stratified_bootstrap`.
        tolerance: As in :func:`probability_of_improvement`.

    Raises:
        ReActError: If the tables do not fit each other.
    """
    first, second = _tables(x, y, paired)
    check_bootstrap(level, resamples)
    if paired:
        return stratified_bootstrap(
            _improvements(first, second, tolerance),
            lambda table: table.mean(axis=(1, 2)),
            rng,
            level,
            resamples,
            resample_tasks,
        )
    (runs_x, tasks), runs_y = first.shape, second.shape[0]
    of_task = np.empty((resamples, tasks))
    for task in range(tasks):
        better = _improvements(first[:, None, task], second[None, :, task], tolerance)  # (S, Q)
        times_x = rng.multinomial(runs_x, np.full(runs_x, 1.0 / runs_x), size=resamples)
        times_y = rng.multinomial(runs_y, np.full(runs_y, 1.0 / runs_y), size=resamples)
        of_task[:, task] = ((times_x @ better) * times_y).sum(axis=1) / (runs_x * runs_y)
    replicates = (of_task * _task_weights(resamples, tasks, resample_tasks, rng)).sum(axis=1)
    estimate = probability_of_improvement(first, second, paired=False, tolerance=tolerance)
    return percentile_interval(estimate, replicates, level, min(runs_x, runs_y))


def performance_profile(
    scores: ArrayLike,
    thresholds: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
    resample_tasks: bool = False,
) -> Interval:
    """Share of runs, over all tasks, whose score is above each threshold, with pointwise intervals.

    Args:
        scores: ``(S, T)`` seeds by tasks.
        thresholds: ``(K,)`` thresholds.
        rng: Draws the resamples.
        level: Nominal coverage.
        resamples: Bootstrap replicates.
        resample_tasks: As in :func:`stratified_bootstrap`.

    Returns:
        An interval with fields ``(K,)``; the estimate never rises with the threshold.

    Raises:
        ReActError: If the scores are no table.

    Source: Agarwal et al. 2021, eq. 3 (run-score distribution).
    """
    table, limits = as_score_table(scores), np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    check_bootstrap(level, resamples)
    seeds, tasks = table.shape
    above = (table[:, :, None] > limits).astype(np.float64)  # (S, T, K)
    weights = _task_weights(resamples, tasks, resample_tasks, rng)
    replicates = np.zeros((resamples, limits.size))
    for task in range(tasks):
        counts = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples)
        replicates += weights[:, task, None] * (counts @ above[:, task]) / seeds
    return percentile_interval(above.mean(axis=(0, 1)), replicates, level, seeds)


def normalise_scores(scores: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """Bring tasks to one scale: ``(score - low) / (high - low)`` per task.

    Args:
        scores: ``(..., T)`` scores, tasks last.
        low: ``(T,)`` score that becomes 0, say the mean of random sampling.
        high: ``(T,)`` score that becomes 1, say the full-data metric.

    Raises:
        ReActError: If ``high`` is not above ``low`` in a task.
    """
    zero, one = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if not (one > zero).all():
        raise ReActError("A score scale needs high above low in every task: one of them is not.")
    return (np.asarray(scores, dtype=np.float64) - zero) / (one - zero)


def to_rliable(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Floats]:
    """Turn scores by strategy and task into the dictionary of arrays that the library rliable reads.

    Args:
        scores: ``scores[strategy][task]`` is a sequence over seeds; every pair has the same number of seeds.

    Returns:
        ``(S, T)`` float64 by strategy, the tasks in alphabetical order.

    Raises:
        ReActError: If the strategies do not share tasks, or a pair has another number of seeds.
    """
    tables: dict[str, Floats] = {}
    tasks: list[str] | None = None
    seeds: int | None = None
    for strategy, of_task in scores.items():
        tasks = sorted(of_task) if tasks is None else tasks
        if sorted(of_task) != tasks or not tasks:
            raise ReActError(
                f"Strategy {strategy!r} has the tasks {sorted(of_task)}, the first one {tasks}: "
                "give every strategy the same tasks, at least one."
            )
        for task in tasks:
            seeds = len(of_task[task]) if seeds is None else seeds
            if len(of_task[task]) != seeds or seeds == 0:
                raise ReActError(
                    f"Strategy {strategy!r} has {len(of_task[task])} seeds on task {task!r}, others {seeds}: "
                    "give every pair the same seeds, at least one."
                )
        tables[strategy] = np.column_stack([np.asarray(of_task[task], dtype=np.float64) for task in tasks])
    return tables
