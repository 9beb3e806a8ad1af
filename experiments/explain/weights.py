"""What a policy decides over the budget: weights of features, or how often it chooses what."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.experiments.analysis.in_force import in_force
from react_rl.experiments.explain.situations import Situations
from react_rl.experiments.explain.subjects import Subject


def decisions(subject: Subject, situations: Situations) -> pd.DataFrame:
    """What a policy decides by corpus and cost.

    Returns:
        A row for each corpus, cost spent and thing decided: mean and standard deviation over the seeds of a
        feature's weight, or the share of choices that fall on an option. Where seeds choose at different
        costs, it is what each had chosen last.
    """
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for unit, values in zip(subject.units, situations.answer.decision.T, strict=True):
        if not unit.options:
            columns[unit.name] = values
        for place, option in enumerate(unit.options):
            name = option if unit.name in ("strategy", option) else f"{unit.name}: {option}"
            columns[name] = (values == place).astype(np.float64)
    keys = ["corpus", "spent"]
    if not columns:
        return pd.DataFrame(columns=[*keys, "what", "mean", "std", "choices"])
    wide = pd.DataFrame({"seed": situations.seed, "cost": situations.spent.round(6)} | columns)
    parts = []
    for corpus in situations.corpora:
        own = wide[situations.corpus == corpus]
        stopped = set(own.loc[own["stop"] > 0, "seed"]) if "stop" in own else set()
        parts.append(in_force(own, stopped).assign(corpus=corpus))
    wide = pd.concat(parts).drop(columns="seed").rename(columns={"cost": "spent"})
    tall = wide.melt(keys, var_name="what", value_name="value")
    table = tall.groupby([*keys, "what"], sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
    table = table.rename(columns={"count": "choices"})
    table["std"] = table["std"].fillna(0.0)
    return table


def linear_share(subject: Subject, situations: Situations) -> float | None:
    """Share of the variance of a scorer's scores within a pool that its linear part explains, on average.

    Returns:
        The mean squared correlation of ``x . (w + gate(c))`` with the score; None of a policy without both.
    """
    scores, weights = situations.answer.scores, situations.answer.decision
    rows, free = situations.seen.rows, situations.seen.free
    if scores is None or not subject.sees_rows or weights.shape[1] < len(subject.features):
        return None
    linear = np.einsum("srf,sf->sr", rows, weights[:, : len(subject.features)])
    a, b = (within(values, free) for values in (linear, scores))
    return float(((a * b).sum(1) ** 2 / np.maximum((a * a).sum(1) * (b * b).sum(1), 1e-12)).mean())


def within(values: npt.NDArray[np.float64], free: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Values ``(S, R)`` minus their mean over the free rows of each situation; 0 elsewhere."""
    count = np.maximum(free.sum(1, keepdims=True), 1)
    kept = np.where(free, values, 0.0)
    centred: npt.NDArray[np.float64] = np.where(free, kept - kept.sum(1, keepdims=True) / count, 0.0)
    return centred
