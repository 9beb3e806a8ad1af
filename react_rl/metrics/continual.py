"""What a learner that goes through phases has kept, lost and passed on, from its accuracy matrix.

Row i of the ``(T, T)`` matrix holds a metric on the test rows of every phase when phase i had ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from react_rl.errors import ReActError

NUMBERS: Final = ("average", "learned", "forgetting", "backward", "forward")
"""Names of the numbers, as tables have them."""


@dataclass(frozen=True)
class PhaseNumbers:
    """Numbers of an accuracy matrix.

    Args:
        average: Mean over all phases after the last one.
        learned: Mean over phases, each when it had just ended.
        forgetting: How far the last model is below the best one before it, on average over earlier phases.
        backward: How much, on average over the earlier phases, later phases have changed; negative where they
            were forgotten.
        forward: How far above an untrained model phases are before they begin, on average over the later
            phases; NaN where it is not known how good an untrained one is.

    Source: Lopez-Paz & Ranzato 2017, Gradient episodic memory for continual learning, eq. 2 to 4 (average,
    backward, forward); Chaudhry et al. 2018, Riemannian walk for incremental learning, eq. 3 (forgetting).
    """

    average: float
    learned: float
    forgetting: float
    backward: float
    forward: float


def phase_numbers(matrix: ArrayLike, untrained: float = np.nan, sign: float = 1.0) -> PhaseNumbers:
    """Compute what an accuracy matrix says.

    Args:
        matrix: ``(T, T)`` metric after phase i (row) on phase j (column).
        untrained: The metric of a model that knows nothing.
        sign: 1 where a higher metric is better, -1 where a lower one is: differences are positive where the
            learner is better, ``forgetting`` where it is worse.

    Raises:
        ReActError: It is not square, has fewer than two phases, or holds numbers that are not finite.
    """
    values: NDArray[np.float64] = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise ReActError(
            f"An accuracy matrix of shape {values.shape} is none; give a row and a column for each of two or "
            "more phases."
        )
    if not np.isfinite(values).all():
        raise ReActError("An accuracy matrix holds a number that is not finite; leave unfinished runs out.")
    last, own, earlier = values[-1], np.diag(values), slice(None, -1)
    lost = (sign * values[earlier, earlier]).max(0) - sign * last[earlier]
    ahead = sign * (np.diag(values, 1) - untrained)  # after phase i on phase i + 1
    return PhaseNumbers(
        average=float(last.mean()),
        learned=float(own.mean()),
        forgetting=float(lost.mean()),
        backward=float((sign * (last - own))[earlier].mean()),
        forward=float(ahead.mean()),
    )
