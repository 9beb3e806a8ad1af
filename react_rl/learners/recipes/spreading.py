"""Predictions that travel along the graph of nearest pool rows: smoothing, label spreading, propagation.

With Y the labels of labelled rows, B what the model says, T the weights of the neighbours (rows sum to 1) and
a the share, a step is  F <- (1 - a) B + a T S,  S = Y on labelled rows and F elsewhere, begun from F = B. One
step smooths; many with a < 1 spread labels; with a = 1 they end in the harmonic function
F_u = (I - T_uu)^-1 T_ul Y_l.

Source: Zhu et al. 2003, Semi-supervised learning using Gaussian fields and harmonic functions, eq. 5; Zhou et
al. 2004, Learning with local and global consistency.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.learners.recipes.neighbours import Neighbours
from react_rl.learners.recipes.settings import SmoothingSettings

TOLERANCE: Final = 1e-4
"""An episode stands still when no probability moves further in a step."""


def spread(
    said: Tensor, onehot: Tensor, labelled: Tensor, near: Neighbours, settings: SmoothingSettings
) -> tuple[Tensor, Tensor]:
    """Mix the predictions of columns with those of their neighbours.

    Args:
        said: ``(R, W, C)`` float32 class probabilities of the model.
        onehot: ``(R, W, C)`` float32 labels, where there are some.
        labelled: ``(R, W)`` bool, where.
        near: Neighbours of the columns.
        settings: Share, temperature, steps.

    Returns:
        Probabilities ``(R, W, C)``, and the source S ``(R, W, C)`` that their last step looked at.
    """
    weights, known = near.weights(settings.temperature), labelled[:, :, None]
    source = torch.where(known, onehot, said)
    mixed = mix(said, source, near, weights, settings.share)
    for _ in range(settings.steps - 1):
        ahead = torch.where(known, onehot, mixed)
        # An episode that has converged stands still, so that it does not depend on its neighbours.
        moving = (ahead - source).abs().amax((1, 2)) > TOLERANCE
        if not bool(moving.any()):
            break
        source = torch.where(moving[:, None, None], ahead, source)
        mixed = torch.where(moving[:, None, None], mix(said, source, near, weights, settings.share), mixed)
    return mixed, source


def mix(said: Tensor, source: Tensor, near: Neighbours, weights: Tensor, share: float) -> Tensor:
    """One step ``(R, N, C)`` for N rows with predictions ``said``, of which ``near`` are the neighbours."""
    return torch.lerp(said, near.mean(source, weights), share)
