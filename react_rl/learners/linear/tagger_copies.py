"""Scratch copies of linear taggers, on which batches are tried out.

Copies of an episode have learned from the same tokens, so one product serves them all, and only the tokens
that each of them buys are its own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.protocol import Purchase
from react_rl.tasks.tagging import TokenScores


class Branching(Protocol):
    """Taggers that models branch off from."""

    @property
    def weights(self) -> Tensor:
        """``(E, C, D + 1)``."""
        ...

    def branched(
        self, episode: int, columns: npt.NDArray[np.int64], targets: Tensor, weights: Tensor
    ) -> Tensor:
        """Weights of models of an episode that have each bought some rows more."""
        ...

    def scored(self, columns: slice, weights: Tensor) -> TokenScores:
        """Scores of columns under weights of k models of each episode."""
        ...


class TaggerCopies:
    """Copies of E taggers, side by side. They buy once, and the originals stay as they are.

    Args:
        originals: The taggers.
        times: Copies of each.
    """

    def __init__(self, originals: Branching, times: int) -> None:
        self._originals, self._times = originals, times
        self._weights = originals.weights.repeat_interleave(times, 0)

    def update(self, bought: Purchase) -> None:
        """Refit the copies from where they stood, in place."""
        columns = torch.where(bought.live, bought.columns, -1).cpu().numpy()
        for first in range(0, len(columns), self._times):
            own = slice(first, first + self._times)
            self._weights[own] = self._originals.branched(
                first // self._times, columns[own], bought.targets[own], self._weights[own]
            )

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> TokenScores:
        """Scores of the tokens of a range of columns."""
        return self._originals.scored(columns, self._weights)
