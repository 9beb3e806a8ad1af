"""The mean of the weights along a round's steps, in place of the last ones.

Source: Polyak & Juditsky 1992, Acceleration of stochastic approximation by averaging (EMA as it is used now);
Izmailov et al. 2018, Averaging weights leads to wider optima and better generalization (SWA).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from react_rl.learners.recipes.settings import AverageSettings


class WeightAverage:
    """A running mean of weights.

    Args:
        settings: Kind, decay, share.
        total: Steps of the round.

    Attributes:
        weights: The mean so far, by name; empty before the first step that counts.
    """

    def __init__(self, settings: AverageSettings, total: int) -> None:
        self._settings = settings
        self._first = int(total * (1.0 - settings.share)) if settings.kind == "swa" else 0
        self._counted = 0
        self.weights: dict[str, Tensor] = {}

    def note(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Take in the weights after step number ``step``, counted from 0. Mutates."""
        if step < self._first:
            return
        self._counted += 1
        if self._counted == 1:
            self.weights = {name: array.detach().clone() for name, array in weights.items()}
            return
        share = 1.0 - self._settings.decay if self._settings.kind == "ema" else 1.0 / self._counted
        for name, array in weights.items():
            self.weights[name].lerp_(array.detach(), share)
