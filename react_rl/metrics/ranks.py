"""Comparison of several strategies over several corpora by ranks: Friedman's test and Nemenyi's difference.

Tests of pairs on the seeds of one corpus live in :mod:`react_rl.metrics.significance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError
from react_rl.metrics.distributions import (
    chi_square_sf,
    f_sf,
    studentized_range_quantile,
    studentized_range_sf,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FriedmanResult:
    """Friedman's test that all strategies rank alike, with Iman and Davenport's sharper F version."""

    mean_ranks: Floats
    """``(A,)``; 1 is best."""
    chi_square: float
    p_value: float
    """Of the chi-square statistic with ``A - 1`` degrees of freedom."""
    f: float
    """``(N - 1) chi2 / (N (A - 1) - chi2)``; infinite if all corpora agree."""
    f_p_value: float
    """Of F with ``A - 1`` and ``(A - 1)(N - 1)`` degrees of freedom; the one to report."""


@dataclass(frozen=True)
class NemenyiResult:
    """What a critical-difference diagram draws."""

    mean_ranks: Floats
    """``(A,)``; 1 is best."""
    critical_difference: float
    """Mean ranks that differ by less than this are not significantly different."""
    p_values: Floats
    """``(A, A)``, already corrected for the number of pairs; 1 on the diagonal."""
    groups: tuple[tuple[int, ...], ...]
    """Largest sets of strategies without a significant difference, best first: the bars of the diagram."""


def _blocks(scores: ArrayLike) -> Floats:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 2:
        raise ReActError(
            f"Scores of shape {array.shape} cannot be ranked: give (corpora, strategies), 2 or more of each."
        )
    if np.isnan(array).any():
        raise ReActError("Scores to be ranked hold NaN: leave out corpora on which a strategy has no result.")
    return array


def rank_strategies(scores: ArrayLike) -> Floats:
    """Rank the strategies on each corpus: 1 for the highest score, the mean rank for equal scores.

    Args:
        scores: ``(N, A)`` corpora by strategies, higher is better. Average over seeds first: the seeds of one
            corpus are no independent corpora.

    Returns:
        ``(N, A)`` ranks; each row sums to ``A (A + 1) / 2``.

    Raises:
        ReActError: If there are fewer than two corpora or strategies, or NaN.
    """
    array = _blocks(scores)
    above = (array[:, None, :] > array[:, :, None]).sum(axis=2)  # (N, A, A) -> (N, A)
    equal = (array[:, None, :] == array[:, :, None]).sum(axis=2)
    return np.asarray(above + (equal + 1) / 2.0)


def friedman(scores: ArrayLike, correct_ties: bool = True) -> FriedmanResult:
    """Test whether the strategies' mean ranks differ more than chance allows.

    Args:
        scores: ``(N, A)`` corpora by strategies, higher is better.
        correct_ties: True divides by the share of variance that ties leave, as scipy does; False is the plain
            formula of Demsar 2006.

    Returns:
        Statistics and p-values; p is 1 where every corpus ranks all strategies level.

    Raises:
        ReActError: If there are fewer than two corpora or strategies, or NaN.

    Source: Friedman 1937; Iman and Davenport 1980; Demsar 2006, sec. 3.2.2.
    """
    ranks = rank_strategies(scores)
    corpora, strategies = ranks.shape
    mean_ranks = ranks.mean(axis=0)
    centre = (strategies + 1) / 2.0
    chi_square = 12.0 * corpora / (strategies * (strategies + 1)) * float(((mean_ranks - centre) ** 2).sum())
    if correct_ties:
        variance = float(((ranks - centre) ** 2).sum())
        without_ties = corpora * strategies * (strategies**2 - 1) / 12.0
        chi_square = chi_square * without_ties / variance if variance else 0.0
    rest = corpora * (strategies - 1) - chi_square
    # Where all corpora agree, rounding may leave a rest of either sign instead of zero.
    f = (corpora - 1) * chi_square / rest if rest > 1e-9 * corpora * strategies else math.inf
    return FriedmanResult(
        mean_ranks=mean_ranks,
        chi_square=chi_square,
        p_value=chi_square_sf(chi_square, strategies - 1),
        f=f,
        f_p_value=f_sf(f, strategies - 1, (strategies - 1) * (corpora - 1)),
    )


def critical_difference(strategies: int, corpora: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks, ``q_alpha * sqrt(A (A + 1) / (6 N))``.

    Args:
        strategies: ``A``, at least 2.
        corpora: ``N``, at least 1.
        alpha: Family-wise error rate.

    Returns:
        The difference in ranks; ``q_alpha`` is the studentised range quantile over the square root of 2.

    Raises:
        ReActError: If a number is out of range.

    Source: Nemenyi 1963; Demsar 2006, sec. 3.2.2 and table 5.
    """
    if corpora < 1:
        raise ReActError(f"A critical difference over {corpora} corpora is not defined: give at least 1.")
    quantile = studentized_range_quantile(alpha, strategies) / math.sqrt(2.0)
    return quantile * math.sqrt(strategies * (strategies + 1) / (6.0 * corpora))


def nemenyi(scores: ArrayLike, alpha: float = 0.05) -> NemenyiResult:
    """Compare all pairs of strategies by their mean ranks; meant for after a significant Friedman test.

    Args:
        scores: ``(N, A)`` corpora by strategies, higher is better.
        alpha: Family-wise error rate.

    Raises:
        ReActError: If there are fewer than two corpora or strategies, or NaN.
    """
    ranks = rank_strategies(scores)
    corpora, strategies = ranks.shape
    mean_ranks = ranks.mean(axis=0)
    limit = critical_difference(strategies, corpora, alpha)
    unit = math.sqrt(strategies * (strategies + 1) / (12.0 * corpora))
    p_values = np.ones((strategies, strategies))
    for i in range(strategies):
        for j in range(i + 1, strategies):
            q = abs(float(mean_ranks[i] - mean_ranks[j])) / unit
            p_values[i, j] = p_values[j, i] = studentized_range_sf(q, strategies)
    return NemenyiResult(mean_ranks, limit, p_values, _groups(mean_ranks, limit))


def _groups(mean_ranks: Floats, limit: float) -> tuple[tuple[int, ...], ...]:
    """Maximal runs of at least two strategies, in order of rank, whose ends differ by less than the limit."""
    order = np.argsort(mean_ranks, kind="stable")
    groups: list[tuple[int, ...]] = []
    last_end = 0
    for start in range(order.size):
        end = start
        while end + 1 < order.size and mean_ranks[order[end + 1]] - mean_ranks[order[start]] < limit:
            end += 1
        if end > start and end > last_end:
            groups.append(tuple(int(position) for position in order[start : end + 1]))
            last_end = end
    return tuple(groups)
