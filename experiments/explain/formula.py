"""A formula that comes near a policy: a few weighted features by forward selection, and how near it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.acquisition.strategies.weighted import name_of_weights
from react_rl.experiments.explain.drivers import first_rows, rank_correlation
from react_rl.experiments.explain.situations import PHASES, Situations
from react_rl.experiments.explain.weights import within

MOST_TERMS: Final = 5

_RIDGE: Final = 1e-6


@dataclass(frozen=True)
class Formula:
    """A weighted sum of standardised features.

    Args:
        weights: Weight of each feature by name, in the order in which they were taken.
        explained: Share of the variance of the policy's scores within pools that it explains, on the choices
            that it was fitted to.
    """

    weights: dict[str, float]
    explained: float

    @property
    def strategy(self) -> str:
        """Its name in a config: ``weights:margin=0.7,novelty=1``."""
        return name_of_weights(self.weights)

    def scores(self, situations: Situations, features: Sequence[str]) -> npt.NDArray[np.float64]:
        """Its scores of the rows of situations whose features are named ``(S, R)``."""
        weights = np.array([self.weights.get(name, 0.0) for name in features])
        found: npt.NDArray[np.float64] = situations.seen.rows @ weights
        return found


def distil(situations: Situations, features: Sequence[str], terms: int = MOST_TERMS) -> list[Formula]:
    """Formulas of 1, 2, ... ``terms`` terms, each the last one with the feature that helps most.

    Within each pool the scores are standardised over the free rows (where a policy does not score rows, 1 for
    those it bought and 0 for the others), and least squares are fitted over all pools together.

    Args:
        situations: Choices of the policy.
        features: Names of the features of its rows.
        terms: Most terms.
    """
    free = situations.seen.free
    rows = np.where(free[:, :, None], situations.seen.rows, 0.0).astype(np.float64)
    count = np.maximum(free.sum(1), 1)[:, None, None]
    x = np.where(free[:, :, None], rows - rows.sum(1, keepdims=True) / count, 0.0).reshape(-1, len(features))
    y = _target(situations).ravel()
    gram: npt.NDArray[np.float64] = x.T @ x
    cross, total = x.T @ y, float(y @ y)
    gram += np.diag(np.full(len(gram), _RIDGE * float(np.trace(gram)) / len(gram)))
    taken: list[int] = []
    found = []
    for _ in range(min(terms, len(features))):
        gains = {f: _fit(gram, cross, [*taken, f]) for f in range(len(features)) if f not in taken}
        best = max(gains, key=lambda f: float(cross[[*taken, f]] @ gains[f]))
        taken.append(best)
        fitted = gains[best]
        named = {features[f]: float(value) for f, value in zip(taken, fitted, strict=True)}
        found.append(Formula(named, float(cross[taken] @ fitted) / max(total, 1e-12)))
    return found


def _fit(
    gram: npt.NDArray[np.float64], cross: npt.NDArray[np.float64], places: list[int]
) -> npt.NDArray[np.float64]:
    """Coefficients of the normal equations on some of the columns."""
    solved = np.linalg.solve(gram[np.ix_(places, places)], cross[places])
    return np.asarray(solved, dtype=np.float64)


def _target(situations: Situations) -> npt.NDArray[np.float64]:
    """What formulas are fitted to ``(S, R)``, 0 for rows that are not free."""
    free, scores = situations.seen.free, situations.answer.scores
    centred = within(situations.picked.astype(np.float64) if scores is None else scores, free)
    count = np.maximum(free.sum(1, keepdims=True), 1)
    deviation = np.sqrt((centred * centred).sum(1, keepdims=True) / count)
    target: npt.NDArray[np.float64] = centred / np.maximum(deviation, 1e-9)
    return target


def fidelity(situations: Situations, features: Sequence[str], formula: Formula) -> pd.DataFrame:
    """How near a formula comes to a policy, by corpus and phase.

    Returns:
        ``rank_correlation`` of the scores (NaN where the policy has none), ``same_pick``: share of choices in
        which the formula's first row is the policy's, and ``in_batch``: in which it is one that it bought.
    """
    free, own = situations.seen.free, situations.answer.scores
    scores = formula.scores(situations, features)
    first = first_rows(scores, free)
    table = pd.DataFrame(
        {
            "corpus": situations.corpus,
            "phase": np.array(PHASES)[situations.phase],
            "rank_correlation": np.nan if own is None else rank_correlation(scores, own, free),
            "same_pick": np.nan if own is None else first == first_rows(own, free),
            "in_batch": situations.picked[np.arange(len(first)), first],
        }
    )
    return table.groupby(["corpus", "phase"], sort=False).mean().reset_index()
