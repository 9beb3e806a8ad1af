"""What holds a transformer to what it was when a phase began: information on its weights, and its outputs.

Source: Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks (information of all
phases summed around the last weights: Huszár 2018); Li & Hoiem 2016, Learning without forgetting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network, Texts


@dataclass(frozen=True, eq=False)
class Held:
    """What holds R episodes in a round.

    Args:
        begin: ``(R, ...)`` float32 by name, from which the round begins; empty where phases say nothing.
        weights: ``(R, ...)`` float32 by name, with which the phase began; empty where weights are not held.
        importance: ``(R, ...)`` float32 by name: the penalty is half of its sum over squared distances.
        teacher: ``(R, n, C)`` scores of the labelled texts under these weights; None where outputs are free.
        classes: ``(R, C)`` bool, classes that were met before the phase.
    """

    begin: dict[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    importance: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: Tensor | None = None
    classes: Tensor | None = None

    def said_of(self, places: Tensor) -> Tensor | None:
        """The teacher's scores ``(R, B, C)`` of texts at ``places`` ``(R, B)`` among the labelled ones."""
        if self.teacher is None:
            return None
        return self.teacher.gather(1, places[:, :, None].expand(-1, -1, self.teacher.shape[2]))


def information(
    network: Network,
    weights: Mapping[str, Tensor],
    class_mask: Tensor,
    rectangle: Callable[[npt.NDArray[np.int64]], Texts],
    counts: npt.NDArray[np.int64],
    chance: Tensor,
) -> dict[str, Tensor]:
    """Diagonal Fisher information of the weights of R episodes, summed over their texts.

    The label of a text is drawn from what the model says of it, once. Nothing is dropped.

    Args:
        network: The transformer.
        weights: ``(R, ...)`` float32 by name.
        class_mask: ``(R, C)`` True for the classes of an episode.
        rectangle: From positions ``(R, 1)`` in the labelled sets to the texts.
        counts: ``(R,)`` texts of each episode, one at least.
        chance: ``(R, n)`` numbers in [0, 1) that draw the labels.

    Returns:
        ``(R, ...)`` float32 by name.
    """
    working = {name: array.to(network.dtype).requires_grad_() for name, array in weights.items()}
    found = {name: torch.zeros_like(array) for name, array in weights.items()}
    for place in range(int(counts.max())):
        # Where an episode has no text left, its last one is read again and does not count.
        chosen = np.minimum(place, counts - 1)[:, None]
        counting = torch.from_numpy(place < counts).to(class_mask.device)
        with network.mount(working):
            scores = network.classify(network.features(rectangle(chosen)), class_mask)[:, 0]  # (R, C)
        log = torch.log_softmax(scores, 1)
        with torch.no_grad():
            passed = log.exp().cumsum(1) <= chance[:, place, None].to(log)
            label = passed.sum(1).clamp_max(log.shape[1] - 1)
        likelihood = (log.gather(1, label[:, None])[:, 0] * counting).sum()
        slopes = torch.autograd.grad(likelihood, list(working.values()), allow_unused=True)
        for name, slope in zip(working, slopes, strict=True):
            if slope is not None:
                found[name] += slope.float().square()
    return found
