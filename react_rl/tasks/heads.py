"""What a network that is trained for a task scores, and what its scores are taught by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional


def cross_entropy(scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy ``(R, U)`` of each vector; smoothing spreads over an episode's own classes.

    Args:
        scores: ``(R, U, C)`` float32.
        targets: ``(R, U)`` int64 classes.
        class_mask: ``(R, C)`` bool, classes that take part.
        smoothing: Share of the target that is spread.
    """
    log = functional.log_softmax(scores, 2)
    right = -log.gather(2, targets[:, :, None])[:, :, 0]
    if smoothing == 0.0:
        return right
    valid = class_mask[:, None].to(log.dtype)
    spread = -(log.masked_fill(~class_mask[:, None], 0.0) * valid).sum(2) / valid.sum(2)
    return (1.0 - smoothing) * right + smoothing * spread


@dataclass(frozen=True)
class ClassHead:
    """Every vector gets one of C classes, taught by cross-entropy.

    Args:
        scored: One vector for a text, or one for each of its words.
        stops_by_metric: See ``Head.stops_by_metric``.
    """

    scored: Literal["texts", "words"]
    stops_by_metric: bool = False

    def loss(self, scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
        """See ``cross_entropy``."""
        return cross_entropy(scores, targets, class_mask, smoothing)

    def dev_loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of scores ``(C, U)`` of one episode against targets ``(U,)``."""
        return functional.cross_entropy(scores.T, targets)
