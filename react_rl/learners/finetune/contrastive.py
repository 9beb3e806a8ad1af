"""Contrastive tuning of the encoder on pairs of labelled rows, and a linear head on what comes out.

Vectors of two rows of one class are drawn to a cosine of 1, those of two classes to 0; then a logistic
regression is fitted to the vectors of the labelled rows. Where SetFit draws pairs, all pairs of a batch count
here, equal ones and different ones with half of the weight each, so that a text is read once for all of them.

Source: Tunstall et al. 2022, Efficient few-shot learning without prompts (SetFit).
"""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import HEAD, Network, Texts
from react_rl.learners.finetune.phases import FineTuneInPhases
from react_rl.learners.finetune.training.fitting import Fitted
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import balanced_weights, descend
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.tasks.heads import ClassHead

_FREE: Final = 10.0
"""Scale of the intercept of the head."""


class PairHead(ClassHead):
    """What vectors are taught by where they are their own scores."""

    def loss(self, scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
        """Squared difference ``(R, B, 1)`` of each row's cosines to the others from 1 or 0.

        Args:
            scores: ``(R, B, 1, H)`` unit-norm vectors.
            targets: ``(R, B, 1)`` int64 classes.
            class_mask: Of no meaning here.
            smoothing: Share that is taken from the cosine of 1.
        """
        vectors, classes = scores[:, :, 0], targets[:, :, 0]
        cosine = torch.bmm(vectors, vectors.transpose(1, 2))
        same = classes[:, :, None] == classes[:, None, :]
        other = ~torch.eye(same.shape[1], dtype=torch.bool, device=same.device)
        equal, different = (cosine - (1.0 - smoothing)).square(), cosine.square()
        return (_mean(equal, same & other) + _mean(different, ~same))[:, :, None] / 2.0


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each line ``(R, B)`` over what the mask marks, 0 where that is nothing."""
    return (values * mask).sum(2) / mask.sum(2).clamp_min(1)


class PairNetwork(Network):
    """A network with vectors of length one, which are their own scores while it learns from pairs."""

    pairing = False
    """Whether it does."""

    def features(self, texts: Texts, first: int = 0) -> Tensor:
        """Unit-norm vectors of texts ``(R B, H)``."""
        return torch.nn.functional.normalize(super().features(texts, first), dim=-1)

    def classify(self, features: Tensor, class_mask: Tensor) -> Tensor:
        """The vectors themselves ``(R, B, H)`` float32 in training; class scores otherwise."""
        if self.pairing:
            return features.view(class_mask.shape[0], -1, features.shape[-1]).float()
        return super().classify(features, class_mask)


class ContrastiveTune(FineTuneInPhases):
    """E transformers that are tuned on pairs in every round, each with a logistic regression on top."""

    network_class: ClassVar[type[Network]] = PairNetwork

    def _fit(self, episodes: list[int], rate: float) -> Fitted:
        """Train on pairs."""
        assert isinstance(self.network, PairNetwork)
        self._teacher, self.network.pairing = PairHead("texts"), True
        try:
            return super()._fit(episodes, rate)
        finally:
            self.network.pairing = False

    @torch.no_grad()
    def _keep(self, episodes: list[int], fitted: Fitted) -> None:
        """Store the weights of episodes whose training went well, and fit their heads. Mutates."""
        super()._keep(episodes, fitted)
        good = [e for e, failed in zip(episodes, fitted.failed, strict=True) if not failed]
        taught = [self._columns.answers(e) for e in good]
        found = self._predict(good, [rows for rows, _ in taught], features=True)
        for e, vectors, (_, classes) in zip(good, found, taught, strict=True):
            weights, intercepts = self._regression(vectors.T.float(), classes, self._class_mask[e])
            self._weights[f"{HEAD}.out.weight"][e], self._weights[f"{HEAD}.out.bias"][e] = weights, intercepts

    def _regression(self, vectors: Tensor, classes: Tensor, class_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(C, H)`` and intercepts ``(C,)`` of a regression on vectors ``(n, H)``."""
        limits = SoftmaxSettings(self.settings.contrastive.l2, _FREE, tolerance=1e-3, max_steps=500)
        onehot = torch.nn.functional.one_hot(classes, len(class_mask)).T[None].to(vectors)
        live = torch.ones(1, len(vectors), device=vectors.device)
        weight = balanced_weights(onehot, live) if self.settings.class_weights == "balanced" else live
        fitted = torch.zeros_like(onehot).masked_fill(~class_mask[None, :, None], INVALID_LOGIT)
        dual, kernel = torch.zeros_like(onehot), (vectors @ vectors.T + _FREE**2)[None]
        descend(dual, fitted, onehot, kernel, weight, limits)
        return dual[0] @ vectors, _FREE**2 * dual[0].sum(1)
