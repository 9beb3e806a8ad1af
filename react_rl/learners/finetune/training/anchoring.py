"""Staying near the pretrained weights: a penalty on the distance, and steps in which part of them is back.

The anchor of an array is where it would begin without any training: the pretrained weights, fresh adapters;
for a head that is drawn at random it is zero.

Source: Li et al. 2018, Explicit inductive bias for transfer learning with convolutional networks (L2-SP);
Lee et al. 2020, Mixout: effective regularization to finetune large-scale pretrained language models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_MIXOUT: Final = 0x0D
"""Sets these draws apart from those of other things that happen in a step."""


def pull(
    gradient: Tensor, weights: Tensor, anchor: Tensor, strength: float, importance: Tensor | None = None
) -> None:
    """Add to a gradient that of ``strength / 2 |weights - anchor|^2``. Mutates ``gradient``.

    With an importance of each weight it is that of ``strength / 2 sum importance (weights - anchor)^2``.
    """
    moved = weights - anchor
    gradient.add_(moved if importance is None else moved * importance, alpha=strength)


class Mixout:
    """Steps on weights of which a share is the pretrained ones: ``w0 + keep (w - w0)``.

    ``keep`` is 0 with probability p and ``1 / (1 - p)`` otherwise, so that the mean over what is drawn is w.

    Args:
        masters: ``(R, ...)`` float32 by name, the weights as they are trained.
        anchors: ``(R, ...)`` float32 by name, w0.
        pretrained: Names of the arrays that are mixed; the head is not.
        share: p.
        seeds: ``(R,)`` int64 of the episodes.
        rounds: ``(R,)`` rounds that they have trained.
    """

    def __init__(
        self,
        masters: Mapping[str, Tensor],
        anchors: Mapping[str, Tensor],
        pretrained: Iterable[str],
        share: float,
        seeds: Tensor,
        rounds: npt.NDArray[np.int64],
    ) -> None:
        self._masters, self._anchors, self._share = masters, anchors, share
        self._pretrained = list(pretrained)
        self._seeds, self._rounds = seeds.tolist(), rounds.tolist()
        self._keep: dict[str, Tensor] = {}

    @torch.no_grad()
    def mixed(self, working: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """The weights of a step, by name: those that are mixed are leaves of their own. Mutates."""
        found = dict(working)
        for number, name in enumerate(self._pretrained):
            master, anchor = self._masters[name].detach(), self._anchors[name]
            keep = self._drawn(master.shape, number, step).to(master.device)
            self._keep[name] = keep
            mixed = torch.lerp(anchor, master, keep)
            found[name] = mixed.to(working[name].dtype).requires_grad_()
        return found

    def give_back(self, mixed: Mapping[str, Tensor], working: Mapping[str, Tensor]) -> None:
        """Hand the gradients of mixed weights on to those that they were made of. Mutates ``working``."""
        for name, keep in self._keep.items():
            gradient = mixed[name].grad
            if gradient is not None:
                working[name].grad = gradient * keep.to(gradient.dtype)

    def _drawn(self, shape: torch.Size, number: int, step: int) -> Tensor:
        """Factors ``(R, ...)`` float32; each episode's are drawn from its own seed."""
        drawn = np.empty(tuple(shape), np.float32)
        for r, (seed, round_) in enumerate(zip(self._seeds, self._rounds, strict=True)):
            rng = np.random.default_rng([seed, round_, _MIXOUT, step, number])
            drawn[r] = rng.random(tuple(shape[1:]), np.float32) >= self._share
        return torch.from_numpy(drawn) / (1.0 - self._share)
