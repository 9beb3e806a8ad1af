"""What episodes learn in a round: examples, their targets, and where their texts come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.learners.finetune.methods.network import Texts
from react_rl.learners.finetune.training.holding import Held
from react_rl.tasks.protocol import Head

Rectangle = Callable[[npt.NDArray[np.int64]], Texts]
"""From positions ``(R, B)`` in the labelled sets to the texts."""
DevLoss = Callable[[dict[str, Tensor]], Tensor]
"""From weights to the dev loss of each episode ``(R,)``."""


@dataclass(frozen=True)
class Lesson:
    """What R episodes learn in a round.

    Args:
        targets: ``(R, n, K)`` int64 of the scored vectors of n examples, as ``head`` reads them; -1 for none.
        lengths: ``(R, n)`` int64 tokens of each example.
        class_mask: ``(R, C)`` True for the classes of an episode.
        seeds: ``(R,)`` int64, on the CPU.
        rounds: Rounds that each episode has learned before, ``(R,)``.
        rectangle: Where texts come from.
        head: What scores are taught by.
        vocabulary: ``(R, V)`` place of each token in the mounted word rows, or None.
        dev_loss: Measures early stopping; None where there is none.
        anchors: ``(R, ...)`` by name, what weights are drawn back to; None where they are not.
        unlabelled: For each episode ids of rows that training may look at without a label.
        rectangle_of: Texts of such rows ``(R, B)``; None where nobody looks at them.
        held: What holds episodes to what they were when their phase began.
    """

    targets: Tensor
    lengths: npt.NDArray[np.int64]
    class_mask: Tensor
    seeds: Tensor
    rounds: npt.NDArray[np.int64]
    rectangle: Rectangle
    head: Head
    vocabulary: Tensor | None = None
    dev_loss: DevLoss | None = None
    anchors: dict[str, Tensor] | None = None
    unlabelled: Sequence[npt.NDArray[np.int64]] = ()
    rectangle_of: Rectangle | None = None
    held: Held = field(default_factory=Held)
