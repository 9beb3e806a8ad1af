"""Paired tests between strategies: Wilcoxon, Holm, win/tie/loss counts, BADGE's penalty matrix.

Scores have the strategies first and higher is better; seed s is the same draw for every strategy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError
from react_rl.metrics.distributions import normal_sf, student_t_critical

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]
Method = Literal["auto", "exact", "normal"]
Zeros = Literal["discard", "split"]

EXACT_UP_TO: Final = 50
"""Pairs up to which ``method="auto"`` computes the exact distribution, as scipy does."""
_RESOLUTION: Final = 1e-12
"""Differences closer than this, relative to the largest value, are rounding noise of equal numbers."""


@dataclass(frozen=True)
class WilcoxonResult:
    """A signed-rank test: rank sums of the positive and negative differences, and the p-value."""

    rank_sum_positive: float
    rank_sum_negative: float
    p_value: float
    pairs: int
    """Differences that entered the test."""

    @property
    def statistic(self) -> float:
        """The smaller rank sum, which is what tables list for the two-sided test."""
        return min(self.rank_sum_positive, self.rank_sum_negative)


@dataclass(frozen=True)
class PairwiseTest:
    """All pairs of ``A`` strategies: ``(A, A)`` matrices, row against column."""

    differences: Floats
    """Mean score of the row minus that of the column."""
    p_values: Floats
    """Two-sided Wilcoxon p-values, 1 on the diagonal."""
    adjusted: Floats
    """The same after Holm's correction over the ``A (A - 1) / 2`` pairs."""


@dataclass(frozen=True)
class WinTieLoss:
    """Counts ``(A, A)`` int64 of the row against the column; the diagonal holds ties only."""

    wins: NDArray[np.int64]
    ties: NDArray[np.int64]
    losses: NDArray[np.int64]


def average_ranks(values: ArrayLike) -> Floats:
    """Rank ``(n,)`` values from 1 (smallest) to n; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


def _differences(x: ArrayLike, y: ArrayLike) -> Floats:
    """Subtract, with numbers that differ by rounding noise only made equal again (.8 - .7 and .7 - .6)."""
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ReActError(
            f"A paired test needs two equally long lists of values: got {first.shape} and {second.shape}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ReActError("A paired test got NaN or infinite values: leave out the seeds without a result.")
    quantum = _RESOLUTION * max(np.abs(first).max(), np.abs(second).max())
    if quantum == 0:
        return first - second
    return np.asarray(np.round((first - second) / quantum) * quantum)


def _rank_sum_tails(doubled_ranks: NDArray[np.int64], doubled_sum: int) -> tuple[float, float]:
    """Return P(W <= w) and P(W >= w) when every rank is positive with probability one half."""
    total = int(doubled_ranks.sum())
    mass = np.zeros(total + 1)
    mass[0] = 1.0
    reach = 0
    for rank in doubled_ranks.tolist():
        # Halved at each step, so that the numbers stay probabilities and never overflow.
        mass[: reach + rank + 1] *= 0.5
        shifted = mass[: reach + 1].copy()
        mass[rank : reach + rank + 1] += shifted
        reach += rank
    return float(mass[: doubled_sum + 1].sum()), float(mass[doubled_sum:].sum())


def wilcoxon_signed_rank(
    x: ArrayLike,
    y: ArrayLike,
    alternative: Alternative = "two-sided",
    method: Method = "auto",
    zeros: Zeros = "discard",
) -> WilcoxonResult:
    """Wilcoxon's signed-rank test of paired values.

    Equals ``scipy.stats.wilcoxon``: ``method="exact"`` without ties its exact test, with ties or zeros its
    permutation test over all signs (scipy runs that up to 13 pairs, here it stays exact for any number);
    ``method="normal"`` its asymptotic test with ``correction=True``, tie correction included. ``"auto"`` is
    exact up to 50 pairs and normal beyond.

    Args:
        x: ``(S,)`` values of one strategy.
        y: ``(S,)`` values of the other, same seeds in the same order.
        alternative: "greater" asks whether ``x`` tends to be larger than ``y``.
        method: "auto", "exact" or "normal".
        zeros: "discard" drops pairs without a difference (Wilcoxon); "split" ranks them and gives half of
            their ranks to each side (Demsar 2006).

    Returns:
        Rank sums and the p-value; 1 where no pair differs.

    Raises:
        ReActError: If the lists differ in length, are empty, or hold NaN, or an option is unknown.

    Source: Wilcoxon 1945; Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, 3.1.3.
    """
    for name, value, allowed in (
        ("alternative", alternative, ("two-sided", "greater", "less")),
        ("method", method, ("auto", "exact", "normal")),
        ("zeros", zeros, ("discard", "split")),
    ):
        if value not in allowed:
            raise ReActError(f"The {name} {value!r} of a Wilcoxon test is unknown: use {', '.join(allowed)}.")
    differences = _differences(x, y)
    if zeros == "discard":
        differences = differences[differences != 0]
    if not differences.any():
        half = differences.size * (differences.size + 1) / 4.0
        return WilcoxonResult(half, half, 1.0, differences.size)
    ranks = average_ranks(np.abs(differences))
    of_zeros = float(ranks[differences == 0].sum()) / 2.0
    positive = float(ranks[differences > 0].sum()) + of_zeros
    negative = float(ranks[differences < 0].sum()) + of_zeros
    pairs = differences.size
    if method == "exact" or (method == "auto" and pairs <= EXACT_UP_TO):
        nonzero = ranks[differences != 0]
        # Mean ranks are halves, so doubled ranks are whole numbers; the share of zeros does not move.
        doubled = np.rint(2.0 * nonzero).astype(np.int64)
        below, above = _rank_sum_tails(doubled, round(2.0 * (positive - of_zeros)))
    else:
        tied = np.unique(ranks, return_counts=True)[1].astype(np.float64)
        variance = pairs * (pairs + 1.0) * (2.0 * pairs + 1.0) / 24.0 - float((tied**3 - tied).sum()) / 48.0
        excess = positive - pairs * (pairs + 1.0) / 4.0
        # The continuity correction moves the sum half a step towards what is tested against.
        half = 0.5 * float(np.sign(excess)) if alternative == "two-sided" else 0.5
        error = math.sqrt(variance)
        above = normal_sf((excess - half) / error)
        below = normal_sf(-(excess - half if alternative == "two-sided" else excess + half) / error)
    p_value = {"two-sided": min(1.0, 2.0 * min(below, above)), "greater": above, "less": below}[alternative]
    return WilcoxonResult(positive, negative, p_value, pairs)


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values by Holm's step-down method; reject where the result is at most alpha.

    Args:
        p_values: Any shape, each in [0, 1]. NaN marks a test that was not made: it stays NaN, uncounted.

    Returns:
        Adjusted p-values of the same shape.

    Raises:
        ReActError: If a value is outside [0, 1].

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure.
    """
    given = np.asarray(p_values, dtype=np.float64)
    flat = given.ravel()
    made = np.flatnonzero(~np.isnan(flat))
    if ((flat[made] < 0) | (flat[made] > 1)).any():
        raise ReActError("Holm's correction needs p-values between 0 and 1: one is outside.")
    order = made[np.argsort(flat[made], kind="stable")]
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(
        1.0, np.maximum.accumulate(flat[order] * np.arange(order.size, 0, -1, dtype=np.float64))
    )
    return adjusted.reshape(given.shape)


def _strategies_by_pairs(scores: ArrayLike) -> Floats:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] == 0:
        raise ReActError(
            f"Scores of shape {array.shape} cannot be compared: give (strategies, seeds) with at least 2 "
            "strategies."
        )
    return array


def pairwise_wilcoxon(scores: ArrayLike, method: Method = "auto", zeros: Zeros = "discard") -> PairwiseTest:
    """Test every pair of strategies on paired seeds, with Holm's correction over the pairs.

    Args:
        scores: ``(A, S)`` strategies by seeds (or by corpora, one mean each).
        method: As in :func:`wilcoxon_signed_rank`.
        zeros: As in :func:`wilcoxon_signed_rank`.

    Raises:
        ReActError: If there are fewer than two strategies.
    """
    array = _strategies_by_pairs(scores)
    rows, columns = np.triu_indices(array.shape[0], k=1)
    tests = [
        wilcoxon_signed_rank(array[i], array[j], method=method, zeros=zeros).p_value
        for i, j in zip(rows, columns, strict=True)
    ]
    means = array.mean(axis=1)
    p_values, adjusted = np.eye(array.shape[0]), np.eye(array.shape[0])
    p_values[rows, columns] = p_values[columns, rows] = tests
    adjusted[rows, columns] = adjusted[columns, rows] = holm(tests)
    return PairwiseTest(means[:, None] - means[None, :], p_values, adjusted)


def win_tie_loss(scores: ArrayLike, tolerance: float = 0.0) -> WinTieLoss:
    """Count on how many paired results each strategy is above, level with or below each other one.

    Args:
        scores: ``(A, S)`` strategies by seeds or corpora.
        tolerance: Differences up to this count as ties.

    Raises:
        ReActError: If there are fewer than two strategies.
    """
    array = _strategies_by_pairs(scores)
    gaps = array[:, None, :] - array[None, :, :]  # (A, A, S)
    wins = (gaps > tolerance).sum(axis=2).astype(np.int64)
    losses = (gaps < -tolerance).sum(axis=2).astype(np.int64)
    return WinTieLoss(wins, array.shape[1] - wins - losses, losses)


def significant_win_tie_loss(scores: ArrayLike, alpha: float = 0.05) -> WinTieLoss:
    """Count on how many corpora each strategy is significantly above or below each other one.

    On each corpus the pairs are tested by Wilcoxon over the seeds with Holm's correction; a win needs an
    adjusted p-value of at most ``alpha`` and a mean on the same side as the rank sum. At .05 nobody can win
    with fewer than six seeds, and more strategies need more.

    Args:
        scores: ``(A, T, S)`` strategies by corpora by paired seeds.
        alpha: Family-wise error rate per corpus.

    Raises:
        ReActError: If the array has another number of axes, or fewer than two strategies.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 3 or array.shape[1] == 0:
        raise ReActError(f"Scores of shape {array.shape} do not fit: give (strategies, corpora, seeds).")
    tests = [pairwise_wilcoxon(array[:, task]) for task in range(array.shape[1])]
    clear = np.stack([test.adjusted <= alpha for test in tests])  # (T, A, A)
    # The sign comes from the means; where rank sums and means disagree the pair is a tie.
    ranks_up = np.stack([_rank_direction(array[:, task]) for task in range(array.shape[1])])
    means_up = np.sign(np.stack([test.differences for test in tests]))
    agreed = np.where(ranks_up == means_up, means_up, 0)
    wins = (clear & (agreed > 0)).sum(axis=0).astype(np.int64)
    losses = (clear & (agreed < 0)).sum(axis=0).astype(np.int64)
    return WinTieLoss(wins, array.shape[1] - wins - losses, losses)


def _rank_direction(scores: Floats) -> Floats:
    """Sign ``(A, A)`` of the signed-rank sum of the row minus the column."""
    count = scores.shape[0]
    direction = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1, count):
            gaps = _differences(scores[i], scores[j])
            direction[i, j] = np.sign((np.sign(gaps) * average_ranks(np.abs(gaps))).sum())
            direction[j, i] = -direction[i, j]
    return direction


def penalty_checkpoints(random: ArrayLike, fraction: float = 0.99) -> NDArray[np.int64]:
    """Rounds at which BADGE's comparison looks: 0, 1, 2, 4, 8, ... until random sampling has all but arrived.

    The first round whose mean is above ``fraction`` of random's final mean ends the list and is not in it;
    round 0 always is.

    Args:
        random: ``(R,)`` mean metric of random sampling at each round, or ``(S, R)`` to be averaged.
        fraction: Share of the final metric.

    Returns:
        ``(L,)`` positions of rounds.

    Raises:
        ReActError: If the metric is not positive at the end, since a share of it would mean nothing.

    Source: Ash et al. 2020, BADGE, sec. 4, and its authors' script.
    """
    curve = np.asarray(random, dtype=np.float64)
    curve = curve.mean(axis=0) if curve.ndim == 2 else curve
    if curve.ndim != 1 or curve.size == 0 or not curve[-1] > 0:
        raise ReActError("Penalty checkpoints need random's curve of a metric that is positive at the end.")
    chosen, position = [0], 1
    while position < curve.size and curve[position] <= fraction * curve[-1]:
        chosen.append(position)
        position *= 2
    return np.array(chosen, dtype=np.int64)


def penalty_matrix(settings: Sequence[ArrayLike], alpha: float = 0.05) -> Floats:
    """BADGE's pairwise penalty matrix: how often the row strategy beats the column strategy.

    In each setting (corpus, batch size, learner), at each of its ``L`` checkpoints, a two-sided paired t-test
    over the seeds decides; a significant win of i over j adds ``1 / L`` to ``P[i, j]``. So an entry is at
    most the number of settings. The mean of column j says how often j is beaten: lower is better.

    Args:
        settings: One array ``(A, S, L)`` per setting: strategies, paired seeds (at least 2), checkpoints
            (:func:`penalty_checkpoints`). S and L may differ between settings.
        alpha: Level of each test; 0.05 over 5 seeds is the paper's threshold ``|t| > 2.776``.

    Returns:
        ``(A, A)`` matrix.

    Raises:
        ReActError: If there is no setting, one has another shape, or there are fewer than two seeds.

    Source: Ash et al. 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, sec. 4.
    """
    arrays = [np.asarray(setting, dtype=np.float64) for setting in settings]
    if not arrays:
        raise ReActError("A penalty matrix needs at least one setting.")
    penalties: Floats | None = None
    for array in arrays:
        if (
            array.ndim != 3
            or array.shape[0] != arrays[0].shape[0]
            or array.shape[1] < 2
            or not array.shape[2]
        ):
            raise ReActError(
                f"A setting of shape {array.shape} does not fit: give (strategies, seeds, checkpoints) with "
                "the same strategies everywhere and at least 2 seeds."
            )
        beaten = _significantly_above(array, alpha).mean(axis=2)
        penalties = beaten if penalties is None else penalties + beaten
    assert penalties is not None
    return penalties


def _significantly_above(scores: Floats, alpha: float) -> NDArray[np.bool_]:
    """Whether row beats column at each checkpoint: ``(A, S, L) -> (A, A, L)``."""
    seeds = scores.shape[1]
    gaps = scores[:, None] - scores[None, :]  # (A, A, S, L)
    mean = gaps.mean(axis=2)
    spread = gaps.std(axis=2, ddof=1)
    # Equal differences on every seed leave a spread of rounding noise: then the mean alone decides.
    scale = np.abs(scores).max(initial=0.0)
    noise = _RESOLUTION * scale
    error = np.where(spread > noise, spread, 0.0) / math.sqrt(seeds)
    mean = np.where(np.abs(mean) > noise, mean, 0.0)
    # mean > critical * error is |t| > critical without a division by a spread of zero.
    return np.asarray((mean > 0) & (mean > student_t_critical(alpha, seeds - 1) * error))
