"""What drives a policy: each number that it sees is taken away, and what it says is compared.

Ablation sets a feature to its mean over the rows of the pool, a number of the context to its mean over all
situations. Permutation shuffles a feature among the rows of the pool, a number among the situations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from react_rl.experiments.explain.situations import PHASES, Situations
from react_rl.experiments.explain.subjects import Answer, Floats, Seen, Subject

METHODS: Final = ("ablation", "permutation")
FEATURE: Final = "feature"
NUMBER: Final = "number"

EFFECTS: Final = ("pick_changed", "rank_lost", "decision_changed")
"""Columns of effects: share of situations in which another row comes first; what the rank correlation of the
scores falls short of 1; share of decisions that change, or the mean change of a weight."""


def drivers(subject: Subject, situations: Situations, seed: int = 0) -> pd.DataFrame:
    """How much each feature and each number matters, by corpus and phase of the budget.

    Args:
        subject: The policy.
        situations: Its choices.
        seed: Of the permutations; the same seed gives the same table.

    Returns:
        A row for each corpus, phase, input and method, with ``EFFECTS``; NaN where a policy does not score
        rows (pick, rank) or decides nothing besides (decision).
    """
    groups = pd.DataFrame({"corpus": situations.corpus, "phase": np.array(PHASES)[situations.phase]})
    own = subject.answer(situations.seen)  # in the parts in which it is asked again, so sums round alike
    tables = []
    for kind, name, method, changed in _changes(subject, situations, seed):
        effect = effects(subject, own, subject.answer(changed), situations.seen.free)
        tables.append(
            pd.concat([groups, pd.DataFrame(effect)], axis=1)
            .groupby(["corpus", "phase"], sort=False)[list(EFFECTS)]
            .mean()
            .reset_index()
            .assign(input=name, kind=kind, method=method)
        )
    columns = ["corpus", "phase", "kind", "input", "method", *EFFECTS]
    return pd.concat(tables, ignore_index=True)[columns]


def _changes(subject: Subject, situations: Situations, seed: int) -> Iterator[tuple[str, str, str, Seen]]:
    """Kind and name of an input, method, and what the policy would have seen without it."""
    seen = situations.seen
    if subject.sees_rows:
        for f, name in enumerate(subject.features):
            yield FEATURE, name, METHODS[0], replace(seen, rows=without_feature(seen, f))
            shuffled = _shuffled_rows(seen.rows[:, :, f], seen.free, np.random.default_rng([seed, 0, f]))
            yield FEATURE, name, METHODS[1], replace(seen, rows=_with_column(seen.rows, f, shuffled))
    for g, name in enumerate(subject.numbers):
        number = seen.numbers[:, g]
        mean, shuffled = np.full_like(number, number.mean()), number.copy()
        np.random.default_rng([seed, 1, g]).shuffle(shuffled)
        for method, changed in zip(METHODS, (mean, shuffled), strict=True):
            yield NUMBER, name, method, replace(seen, numbers=_with_column(seen.numbers, g, changed))


def effects(
    subject: Subject, own: Answer, other: Answer, free: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.float64]]:
    """How far another answer is from the policy's own, by the names of ``EFFECTS``, each ``(S,)``."""
    none = np.full(len(free), np.nan)
    found = dict.fromkeys(EFFECTS, none)
    if own.scores is not None and other.scores is not None:
        found["pick_changed"] = (first_rows(own.scores, free) != first_rows(other.scores, free)).astype(float)
        found["rank_lost"] = 1.0 - rank_correlation(own.scores, other.scores, free)
    if own.decision.shape[1]:
        weighs = np.array([not unit.options for unit in subject.units])
        moved = np.abs(own.decision - other.decision)
        found["decision_changed"] = np.where(weighs, moved, moved > 0.0).mean(1)
    return found


def first_rows(scores: npt.NDArray[np.float64], free: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Place of the free row with the largest score ``(S,)``; the first of equal ones."""
    best: npt.NDArray[np.int64] = np.where(free, scores, -np.inf).argmax(1)
    return best


def rank_correlation(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], free: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Spearman's rank correlation over the free rows of each situation ``(S,)``; 0 where all are equal.

    Source: Spearman 1904; tied scores share their mean rank.

    Args:
        one: ``(S, R)`` scores.
        other: ``(S, R)`` scores.
        free: ``(S, R)`` bool.
    """
    count = np.maximum(free.sum(1, keepdims=True), 1)
    centred = []
    for scores in (one, other):
        # Rows that are not free come last, so the ranks of the others are those among themselves.
        ranks = rankdata(np.where(free, scores, np.inf), axis=1)
        centred.append(np.where(free, ranks - (count + 1) / 2.0, 0.0))
    a, b = centred
    scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    product = (a * b).sum(1)
    found: npt.NDArray[np.float64] = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0.0)
    return found


def without_feature(seen: Seen, f: int) -> Floats:
    """The rows ``(S, R, F)`` with feature ``f`` at its mean over the free rows of each situation."""
    column, free = seen.rows[:, :, f], seen.free
    count = np.maximum(free.sum(1, keepdims=True), 1)
    mean = np.where(free, column, 0.0).sum(1, keepdims=True, dtype=np.float64) / count
    return _with_column(seen.rows, f, np.broadcast_to(mean, column.shape).astype(np.float32))


def _shuffled_rows(column: Floats, free: npt.NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The numbers of the free rows dealt out again among the free rows of the same situation ``(S, R)``."""
    changed = column.copy()
    for row, where in zip(changed, free, strict=True):
        row[where] = rng.permutation(row[where])
    return changed


def _with_column(array: Floats, place: int, values: Floats) -> Floats:
    """A copy with other values in one place of the last axis."""
    changed = array.copy()
    changed[..., place] = values
    return changed
