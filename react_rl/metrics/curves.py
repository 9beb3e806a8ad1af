"""Numbers that sum up one learning curve: areas, labels to a target, label saving, share of a gap closed.

A curve is two arrays of checkpoints: cost spent (never falling) and metric (higher is better). Uncertainty
over seeds lives in :mod:`react_rl.metrics.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError

Floats = NDArray[np.float64]


def _curve(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape or xs.size == 0:
        raise ReActError(
            f"A curve needs as many costs as metric values, and at least one: got {xs.shape} and {ys.shape}."
        )
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise ReActError("A curve holds NaN or infinite values: drop the rounds without a measurement first.")
    if (np.diff(xs) < 0).any():
        at = int(np.argmax(np.diff(xs) < 0))
        raise ReActError(
            f"The cost of a curve falls from {xs[at]:g} to {xs[at + 1]:g}: order its checkpoints by cost."
        )
    return xs, ys


def _value_at(xs: Floats, ys: Floats, grid: Floats) -> Floats:
    """Interpolate linearly; right of the curve its last value, left of it NaN, at a jump the later value."""
    last_of_equal = np.append(np.diff(xs) > 0, True)
    return np.asarray(np.interp(grid, xs[last_of_equal], ys[last_of_equal], left=np.nan))


def area_under_curve(x: ArrayLike, y: ArrayLike) -> float:
    """Normalised area ``trapezoid(y, x) / (x[-1] - x[0])``: the mean metric over the cost spent.

    Args:
        x: ``(R,)`` cost spent at each checkpoint, never falling; the spacing may be uneven.
        y: ``(R,)`` metric at each checkpoint.

    Returns:
        The area, between the smallest and the largest ``y``; the last ``y`` where ``x`` does not advance.

    Raises:
        ReActError: If the arrays are no curve (shapes, NaN, falling cost).
    """
    xs, ys = _curve(x, y)
    span = xs[-1] - xs[0]
    if span == 0:
        return float(ys[-1])
    return float((np.diff(xs) * (ys[1:] + ys[:-1])).sum() / (2.0 * span))


def area_to_budget(x: ArrayLike, y: ArrayLike, budget: float) -> float:
    """Normalised area from the first checkpoint to ``budget``, so that strategies that stop apart compare.

    A curve that ends before the budget keeps its last value: nothing more was bought, nothing changed. A
    curve that goes beyond the budget is cut there.

    Args:
        x: ``(R,)`` cost spent at each checkpoint, never falling.
        y: ``(R,)`` metric at each checkpoint.
        budget: Right end of the area, in the units of ``x``.

    Returns:
        The area divided by ``budget - x[0]``; the value at the budget where that span is zero.

    Raises:
        ReActError: If the arrays are no curve, or the budget is before the first checkpoint.
    """
    xs, ys = _curve(x, y)
    if not np.isfinite(budget) or budget < xs[0]:
        raise ReActError(
            f"A budget of {budget:g} is before the first checkpoint at {xs[0]:g}: give at least that."
        )
    end = _value_at(xs, ys, np.array([budget]))
    inside = xs <= budget
    return area_under_curve(np.append(xs[inside], budget), np.append(ys[inside], end))


def areas_to_budget(costs: Sequence[ArrayLike], values: Sequence[ArrayLike], budget: float) -> Floats:
    """``area_to_budget`` of several curves that advance round by round from cost 0, none beyond the budget.

    Args:
        costs: For each of R rounds what it cost, ``(E,)``.
        values: Metric before the first round and after each, R + 1 times ``(E,)``.
        budget: Right end of the areas; a curve that ends before keeps its last value.

    Returns:
        ``(E,)``.
    """
    last = np.asarray(values[0], np.float64)
    area, spent = np.zeros_like(last), np.zeros_like(last)
    for cost, value in zip(costs, values[1:], strict=True):
        now, paid = np.asarray(value, np.float64), np.asarray(cost, np.float64)
        area += (last + now) / 2 * paid / budget
        spent += paid
        last = now
    area += last * np.maximum(budget - spent, 0.0) / budget
    return area


def final_metric(x: ArrayLike, y: ArrayLike, budget: float | None = None) -> float:
    """Metric at the last checkpoint that costs no more than ``budget`` (None: at the last one).

    Args:
        x: ``(R,)`` cost spent at each checkpoint, never falling.
        y: ``(R,)`` metric at each checkpoint.
        budget: Limit in the units of ``x``.

    Returns:
        A measured value, never an interpolated one; NaN if every checkpoint costs more than the budget.

    Raises:
        ReActError: If the arrays are no curve.
    """
    xs, ys = _curve(x, y)
    inside = ys if budget is None else ys[xs <= budget]
    return float(inside[-1]) if inside.size else float("nan")


def labels_to_target(x: ArrayLike, y: ArrayLike, target: float) -> float:
    """Smallest cost at which the curve, drawn with straight lines, reaches ``target``.

    Args:
        x: ``(R,)`` labels (or cost units) at each checkpoint, never falling.
        y: ``(R,)`` metric at each checkpoint.
        target: Metric to be reached.

    Returns:
        The first crossing in the units of ``x``; ``x[0]`` if the curve starts there; NaN if it never does.

    Raises:
        ReActError: If the arrays are no curve.
    """
    xs, ys = _curve(x, y)
    reached = ys >= target
    if not reached.any():
        return float("nan")
    after = int(np.argmax(reached))
    if after == 0:
        return float(xs[0])
    share = (target - ys[after - 1]) / (ys[after] - ys[after - 1])
    # The last step may land one rounding beyond the checkpoint that did reach the target.
    return float(min(xs[after - 1] + share * (xs[after] - xs[after - 1]), xs[after]))


def labels_to_fractions(
    x: ArrayLike, y: ArrayLike, full: float, fractions: Sequence[float] = (0.90, 0.95, 0.99)
) -> Floats:
    """Cost to reach fractions of the metric that the learner reaches with all labels.

    Args:
        x: ``(R,)`` labels (or cost units) at each checkpoint, never falling.
        y: ``(R,)`` metric at each checkpoint.
        full: Metric with the full data.
        fractions: ``K`` fractions of ``full``.

    Returns:
        ``(K,)`` costs, NaN where a target was not reached.

    Raises:
        ReActError: If the arrays are no curve, or ``full`` is not positive.
    """
    if not full > 0:
        raise ReActError(f"Fractions of a full-data metric of {full:g} mean nothing: give a positive metric.")
    return np.array([labels_to_target(x, y, fraction * full) for fraction in fractions])


def label_saving(
    x: ArrayLike, y: ArrayLike, x_random: ArrayLike, y_random: ArrayLike, target: float | None = None
) -> float:
    """Share of random's labels that the strategy does without: ``1 - labels(strategy) / labels(random)``.

    Args:
        x: ``(R,)`` labels of the strategy at each checkpoint.
        y: ``(R,)`` metric of the strategy.
        x_random: ``(Q,)`` labels of random sampling.
        y_random: ``(Q,)`` metric of random sampling.
        target: Metric to be reached; by default the last metric of random.

    Returns:
        1 at most, negative if the strategy needs more labels than random, NaN if either never reaches the
        target or random needs none.

    Raises:
        ReActError: If the arrays are no curves.
    """
    if target is None:
        target = final_metric(x_random, y_random)
    needed, needed_by_random = labels_to_target(x, y, target), labels_to_target(x_random, y_random, target)
    return 1.0 - needed / needed_by_random if needed_by_random > 0 else float("nan")


def gap_closed(random: ArrayLike, strategy: ArrayLike, oracle: ArrayLike) -> float:
    """Share of the gap between random and an oracle that a strategy closes: ``(s - r) / (o - r)``.

    Arrays are averaged over the seeds first: a ratio of means stays steady where single gaps are near zero.

    Args:
        random: A number or ``(S,)`` numbers (say areas) of random sampling.
        strategy: The same of the strategy.
        oracle: The same of the oracle. A greedy oracle is no upper bound, so values above 1 occur.

    Returns:
        The share, or NaN where the oracle is not above random.

    Raises:
        ReActError: If one of the three is empty.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in (random, strategy, oracle)]
    if any(values.size == 0 for values in arrays):
        raise ReActError("The gap closed needs at least one value each of random, strategy and oracle.")
    low, middle, high = (float(values.mean()) for values in arrays)
    return (middle - low) / (high - low) if high > low else float("nan")


def interpolate_curves(curves: Sequence[tuple[ArrayLike, ArrayLike]], grid: ArrayLike) -> Floats:
    """Read curves with different checkpoints off one common grid of costs.

    Args:
        curves: ``S`` pairs ``(x, y)`` as above, of any lengths.
        grid: ``(G,)`` costs.

    Returns:
        ``(S, G)`` metrics: linear between checkpoints, the last value right of a curve, NaN left of it.

    Raises:
        ReActError: If there are no curves, or one of them is none.
    """
    if not curves:
        raise ReActError("There are no curves to interpolate: give at least one.")
    points = np.asarray(grid, dtype=np.float64)
    return np.stack([_value_at(*_curve(x, y), points) for x, y in curves])
