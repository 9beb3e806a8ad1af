"""The stages parse and adjust: scores of the words of each class, made even by texts that say nothing.

Source: Zhao et al. 2021, Calibrate before use (texts without content); Zhou et al. 2024, Batch calibration
(the mean over unlabelled rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.prompts.settings import Calibration

_LEAST: Final = 1e-6
"""Smallest deviation that is scaled up."""


@dataclass(frozen=True, eq=False)
class WordScores:
    """Scores of the classes of one corpus, linear in the vector of the gap.

    Args:
        weights: ``(C, E)`` float32, the mean vector of each class's words.
        intercepts: ``(C,)``.
    """

    weights: Tensor
    intercepts: Tensor

    def raw(self, vectors: Tensor) -> Tensor:
        """What the model says of vectors ``(..., E)``: the mean score of each class's words ``(..., C)``."""
        return torch.nn.functional.linear(vectors, self.weights, self.intercepts)

    def adjusted(
        self, calibration: Calibration, strength: float | None, content_free: Tensor, pool: Tensor
    ) -> WordScores:
        """Scores that are even between the classes, and as strong as they should be.

        Args:
            calibration: What takes its log-probabilities from them.
            strength: Standard deviation between the classes of a row, over the pool; None leaves it.
            content_free: ``(K, E)`` vectors of texts that say nothing.
            pool: ``(P, E)`` vectors of the unlabelled pool.
        """
        intercepts, factor = self.intercepts, 1.0
        if calibration != "none":
            said = self.raw(content_free if calibration == "content-free" else pool)
            intercepts = intercepts - torch.softmax(said, -1).mean(0).log()
        if strength is not None:
            scores = torch.nn.functional.linear(pool, self.weights, intercepts)
            spread = (scores - scores.mean(1, keepdim=True)).square().mean().sqrt()
            factor = strength / max(float(spread), _LEAST)
        return WordScores(self.weights * factor, intercepts * factor)
