"""Mixup: rows of a batch are trained on as mixtures of two, labels mixed in the same shares.

A row's own share is at least one half, so that a mixture stands for its row; the partner is another row of
the same episode and batch. What is drawn is a function of an episode's seed, round and step.

Source: Zhang et al. 2018, mixup: beyond empirical risk minimization; Verma et al. 2019, Manifold mixup; Guo
et al. 2019, Augmenting data with mixup for sentence classification; Chen et al. 2020, MixText.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_MIXING: Final = 0x317
"""Sets these draws apart from those of other things that happen in a step."""


@dataclass(frozen=True)
class Pairs:
    """What each scored vector of a batch is mixed with.

    Args:
        partner: ``(R, U)`` int64, the other vector of the same episode.
        own: ``(R, U)`` float32, share of the vector itself.
    """

    partner: Tensor
    own: Tensor

    def mixed(self, vectors: Tensor) -> Tensor:
        """Mixtures of vectors ``(R, U, F)``."""
        other = vectors.gather(1, self.partner[:, :, None].expand_as(vectors))
        return torch.lerp(other, vectors, self.own[:, :, None].to(vectors.dtype))

    def mixed_states(self, states: Tensor, mask: Tensor) -> Tensor:
        """Mixtures of the states of texts ``(R U, T, H)``; past the partner's end a text stays itself."""
        episodes, size = self.partner.shape
        first = torch.arange(episodes, device=states.device)[:, None] * size
        partner = (self.partner + first).flatten()
        share = (1.0 - self.own).flatten()[:, None] * mask[partner]  # (R U, T)
        return torch.lerp(states, states[partner], share[:, :, None].to(states.dtype))

    def loss(self, loss_of: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
        """Loss of each mixture ``(R, U)``: that against both targets, in the shares of the mixture.

        Args:
            loss_of: From targets ``(R, U)`` to the losses ``(R, U)`` of the scores of the mixtures.
            targets: ``(R, U)`` int64 of the vectors themselves.
        """
        return self.own * loss_of(targets) + (1.0 - self.own) * loss_of(targets.gather(1, self.partner))


def draw_pairs(
    known: Tensor, alpha: float, seeds: Tensor, rounds: npt.NDArray[np.int64], counters: Sequence[int]
) -> Pairs:
    """Pairs among the vectors of each episode that have a target.

    Args:
        known: ``(R, U)`` bool, vectors that have one; others stay alone.
        alpha: Of the Beta distribution.
        seeds: ``(R,)`` int64 of the episodes.
        rounds: ``(R,)`` rounds that they have trained.
        counters: What else the draw depends on, such as the step.
    """
    there = known.cpu().numpy()
    partner = np.tile(np.arange(there.shape[1]), (len(there), 1))
    own = np.ones(there.shape, np.float32)
    for r, places in enumerate(there):
        taking = np.flatnonzero(places)
        rng = np.random.default_rng([int(seeds[r]), int(rounds[r]), _MIXING, *counters])
        partner[r, taking] = taking[rng.permutation(len(taking))]
        share = rng.beta(alpha, alpha, len(taking))
        own[r, taking] = np.maximum(share, 1.0 - share)
    return Pairs(torch.from_numpy(partner).to(known.device), torch.from_numpy(own).to(known.device))
