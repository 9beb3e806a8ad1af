"""What episodes learn in a round: examples, their targets, and where their texts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.learners.finetune.methods.network import Texts

Rectangle = Callable[[npt.NDArray[np.int64]], Texts]
"""From positions ``(R, B)`` in the labelled sets to the texts."""
Loss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From scores ``(R, U, C)``, targets ``(R, U)``, class mask ``(R, C)`` and smoothing to losses ``(R, U)``."""
DevLoss = Callable[[dict[str, Tensor]], Tensor]
"""From weights to the dev loss of each episode ``(R,)``."""


@dataclass(frozen=True)
class Lesson:
    """What R episodes learn in a round.

    Args:
        targets: ``(R, n, K)`` int64 class indices of the scored vectors of n examples, -1 for none.
        lengths: ``(R, n)`` int64 tokens of each example.
        class_mask: ``(R, C)`` True for the classes of an episode.
        seeds: ``(R,)`` int64, on the CPU.
        rounds: Rounds that each episode has learned before, ``(R,)``.
        rectangle: Where texts come from.
        loss: What scores are taught by, see ``Head.loss``.
        vocabulary: ``(R, V)`` place of each token in the mounted word rows, or None.
        dev_loss: Measures early stopping; None where there is none.
        anchors: ``(R, ...)`` by name, what weights are drawn back to; None where they are not.
    """

    targets: Tensor
    lengths: npt.NDArray[np.int64]
    class_mask: Tensor
    seeds: Tensor
    rounds: npt.NDArray[np.int64]
    rectangle: Rectangle
    loss: Loss
    vocabulary: Tensor | None = None
    dev_loss: DevLoss | None = None
    anchors: dict[str, Tensor] | None = None
