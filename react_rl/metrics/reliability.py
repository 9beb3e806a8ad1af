"""How far confidence is from accuracy, bin by bin: what a reliability diagram shows and the error sums up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError

Floats = npt.NDArray[np.float64]

BINS: Final = 15
"""Bins of equal width, as Guo et al. 2017 take them."""


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of their confidence; sums, so that those of several models add up.

    Args:
        rows: ``(B,)`` rows in each bin.
        confidence: ``(B,)`` sum of their confidences.
        correct: ``(B,)`` how many are right.
    """

    rows: Floats
    confidence: Floats
    correct: Floats

    @property
    def error(self) -> float:
        """Expected calibration error, ``sum_b rows_b / rows |accuracy_b - confidence_b|``; NaN without rows.

        Source: Guo et al. 2017, On calibration of modern neural networks, eq. 3.
        """
        total = float(self.rows.sum())
        return float(np.abs(self.correct - self.confidence).sum()) / total if total else float("nan")

    def __add__(self, other: Reliability) -> Reliability:
        """The rows of both."""
        return Reliability(
            self.rows + other.rows, self.confidence + other.confidence, self.correct + other.correct
        )


def reliability(confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = BINS) -> Reliability:
    """Sort rows into bins ``[0, 1/B], (1/B, 2/B], ..., ((B-1)/B, 1]`` of their confidence.

    Args:
        confidence: ``(N,)`` probabilities of the predicted classes.
        correct: ``(N,)`` bool.
        bins: B.

    Raises:
        ReActError: The shapes differ, a confidence is outside [0, 1], or ``bins`` is below 1.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape:
        raise ReActError(f"Confidences of shape {sure.shape} do not fit outcomes of shape {right.shape}.")
    if bins < 1:
        raise ReActError(f"A calibration error of {bins} bins is not defined: give at least 1.")
    if not ((sure >= 0.0) & (sure <= 1.0)).all():
        raise ReActError("A confidence is outside [0, 1]; give probabilities.")
    edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    place = np.searchsorted(edges, sure, side="left")  # an edge belongs to the bin that it closes
    return Reliability(
        np.bincount(place, minlength=bins).astype(np.float64),
        np.bincount(place, sure, bins).astype(np.float64),
        np.bincount(place, right, bins).astype(np.float64),
    )
