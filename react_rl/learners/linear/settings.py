"""Settings of the softmax regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from react_rl.learners.recipes.settings import PLAIN, Recipe


@dataclass(frozen=True)
class SoftmaxSettings:
    """Settings of the softmax regression.

    Args:
        l2: Weight of the squared norm, for unit-norm embeddings.
        bias: Scale of the intercept, which is penalised: large values leave it free. With few labels
            a free intercept follows the class shares of the sample and costs accuracy.
        tolerance: A refit ends when no entry of the gradient G exceeds this (in probability units).
        max_steps: Most steps of one refit; with balanced classes three times as many.
        class_weights: ``balanced`` weighs rows so that every class that has a label has the same share in
            the loss, however few labels it has.
        recipe: How it is trained and read beyond that; see ``recipes``.
    """

    l2: float = 0.1
    bias: float = 0.1
    tolerance: float = 1e-2
    max_steps: int = 20
    class_weights: Literal["none", "balanced"] = "none"
    recipe: Recipe = PLAIN
