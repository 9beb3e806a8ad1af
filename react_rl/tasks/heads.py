"""What a network that is trained for a task scores, and what its scores are taught by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

NEVER: Final = -1e30
"""Score of what is no word of the context."""

FAINT: Final = -80.0
"""Log-probability as good as none; exponentials of smaller ones underflow and take 50 times as long."""


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
    weighs_classes: bool = True

    def shares(self, targets: Tensor, importance: Tensor) -> Tensor:
        """Every vector has the weight of its class; see ``Head.shares``."""
        weight = importance.gather(1, targets.clamp_min(0).flatten(1)) * (targets >= 0).flatten(1)
        return (weight / weight.sum(1, keepdim=True)).view(targets.shape)

    def loss(self, scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
        """See ``cross_entropy``."""
        flat = targets.clamp_min(0).flatten(1)
        return cross_entropy(scores.flatten(1, 2), flat, class_mask, smoothing).view(targets.shape)

    def divergence(self, one: Tensor, other: Tensor, targets: Tensor) -> Tensor:
        """Of the classes of each vector; see ``divergence``."""
        return divergence(one, other)

    def dev_loss(
        self, scores: Tensor, column: Tensor, place: Tensor, truth: Tensor, repeated: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of all vectors; see ``Head.dev_loss``."""
        return functional.cross_entropy(scores.T, truth[truth >= 0])


@dataclass(frozen=True)
class SpanHead:
    """Which word of a context begins the answer and which one ends it: two softmax regressions over words.

    A context that is longer than the model reads is cut into windows, the question in front of each. In front
    of the words of a window is the vector of a mark, which is right where a border is in another window or
    there is no answer. A training target is a sum that says of each vector whether the answer begins (1) or
    ends (2) there, and whether none can begin (4) or end (8) there, inside a piece of the tokenizer that
    several words share: such a piece has one place in each softmax. The loss of a window, the mean over both
    borders, is shared among its vectors by addition.

    Scores that are kept are those of words less that of their window's mark: log-odds of a border there
    against none in the window. With them borders of several windows compete in one softmax, in which
    "no answer" has the score 0; that is exact where windows are independent and one of them at most is right.

    Source: Devlin et al. 2019, BERT, sections 4.2 and 4.3; Clark & Gardner 2018, Simple and effective
    multi-paragraph reading comprehension, on comparing paragraphs.
    """

    scored: Literal["answers"] = "answers"
    stops_by_metric: bool = True
    weighs_classes: bool = False

    def shares(self, targets: Tensor, importance: Tensor) -> Tensor:
        """Every window weighs the same; see ``Head.shares``."""
        return torch.full(targets.shape, 1.0 / targets.shape[1], device=targets.device)

    def loss(self, scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
        """See ``Head.loss``; smoothing spreads over the vectors of a window."""
        valid, wanted = _possible(targets), _coded(targets.clamp_min(0), 1).to(scores)
        if smoothing > 0.0:
            wanted = (1.0 - smoothing) * wanted + smoothing * valid / valid.sum(2, keepdim=True)
        return -(wanted * self._log(scores, valid)).sum(3) / 2.0

    def divergence(self, one: Tensor, other: Tensor, targets: Tensor) -> Tensor:
        """Of start and end over the vectors of a window, as each one's summand; see ``divergence``."""
        valid = _possible(targets)
        p, q = self._log(one, valid), self._log(other, valid)
        return ((p.exp() - q.exp()) * valid * (p - q)).sum(3) / 2.0

    def _log(self, scores: Tensor, valid: Tensor) -> Tensor:
        """Log-probabilities ``(R, B, K, 2)`` over the vectors of a window; 0 where there is none."""
        log = functional.log_softmax(scores.masked_fill(~valid, NEVER), 2)
        return log.masked_fill(~valid, 0.0)

    def dev_loss(
        self, scores: Tensor, column: Tensor, place: Tensor, truth: Tensor, repeated: Tensor | None = None
    ) -> Tensor:
        """Mean loss of both borders over all words of each question; see ``Head.dev_loss``.

        A piece that several words share has one place for each border; one inside it is at the piece's.
        """
        longest = int(place.max()) + 2 if place.numel() else 1
        table = scores.new_full((2, len(truth), longest), NEVER)
        table[:, :, 0] = 0.0
        table[:, column, place + 1] = scores
        wanted = truth.T[:, :, None]
        if repeated is not None:
            within = torch.zeros(table.shape, dtype=torch.bool, device=table.device)
            within[0, column, place + 1] = repeated
            within[1, :, :-1] = within[0, :, 1:]
            own = torch.arange(longest, device=table.device).expand(len(truth), -1)
            begin = own.masked_fill(within[0], 0).cummax(1).values
            end = own.masked_fill(within[1], longest).flip(1).cummin(1).values.flip(1)
            wanted = torch.stack([begin, end]).gather(2, wanted)
            table = table.masked_fill(within, NEVER)
        return -functional.log_softmax(table, 2).gather(2, wanted).mean()


def _coded(targets: Tensor, code: int) -> Tensor:
    """Whether each has a code for the start, and its double for the end ``(..., 2)``."""
    return torch.stack([(targets & code) > 0, (targets & (2 * code)) > 0], -1)


def _possible(targets: Tensor) -> Tensor:
    """Whether an answer can begin and end at each vector ``(R, B, K, 2)``."""
    return (targets >= 0)[..., None] & ~_coded(targets, 4)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """Divergence ``KL(p | q) + KL(q | p)`` of the predictions of two passes, over the last axis.

    With it the loss of two passes is ``(l_1 + l_2) / 2 + weight / 4`` times it: half of the paper's, so that
    the loss keeps its scale.

    Source: Liang et al. 2021, R-Drop: regularized dropout for neural networks, eq. 4.
    """
    p, q = functional.log_softmax(one, -1), functional.log_softmax(other, -1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1)
