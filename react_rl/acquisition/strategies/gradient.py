"""Gradient-based strategies: how far, and in which direction, a row's label would move the linear head.

For softmax cross-entropy the gradient with respect to the weights is ``(p - e_y) x^T``. Norms and inner
products of such matrices factor into those of p - e_y and of x, so no gradient is ever written out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top, to_ids, top_columns
from react_rl.acquisition.features.rows import expected_gradient
from react_rl.simulation.view import PoolView

_SAME = 1e-5
"""Squared distance, as a share of the squared norms, below which two gradients are one."""


@dataclass(frozen=True)
class ExpectedGradientLength:
    """Rows whose label, whatever it is, would change the head most.

    ``sum_c p_c |grad_c| = sum_c p_c |p - e_c| |x|`` with ``|p - e_c|^2 = |p|^2 - 2 p_c + 1``; embeddings
    have norm 1 and the intercept is left out.

    Source: Settles & Craven 2008, An analysis of active learning strategies for sequence labeling tasks,
    section 3.4.
    """

    name: str = "egl"

    def score(self, view: PoolView) -> Tensor:
        """Expected gradient norm ``(E, P)``."""
        return view.level(expected_gradient(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest expected gradient."""
        return take_top(view, self.score(view), n)


@dataclass(frozen=True)
class Badge:
    """Batches that are both uncertain and diverse: k-means++ in the space of hypothetical gradients.

    The gradient embedding of a row is ``g = (p - e_argmax) outer x``. A pick is drawn with probability
    proportional to its squared distance to the nearest pick of this batch, exactly, through
    ``g_i . g_j = (a_i . a_j)(x_i . x_j)`` with a = p - e_argmax. The first pick is the row with the largest
    gradient, as in the authors' code (JordanAsh/badge); the paper's k-means++ would draw it.

    Source: Ash et al. 2020, Deep batch active learning by diverse, uncertain gradient lower bounds,
    algorithm 1; Arthur & Vassilvitskii 2007, k-means++.
    """

    name: str = "badge"

    def score(self, view: PoolView) -> Tensor:
        """Norm of the gradient embedding ``(E, P)``."""
        return view.level(gradient_factor(view).square().sum(1).sqrt())

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows by k-means++; once all that is left repeats a pick, evenly at random."""
        factor = gradient_factor(view)
        free = view.available
        length = view.level(factor.square().sum(1).sqrt())
        column = top_columns(view, length, 1)[:, 0]
        distance = torch.full_like(length, torch.inf)
        numbers = _uniform(view, n)
        picks = [column]
        for j in range(1, n):
            chosen = column.clamp_min(0)
            free = free.scatter(1, chosen[:, None], False)
            distance = torch.minimum(distance, gradient_distance(view, factor, chosen))
            column = _draw(torch.where(free, distance, 0.0), free, numbers[:, j])
            picks.append(column)
        return to_ids(view, torch.stack(picks, 1))


def gradient_factor(view: PoolView) -> Tensor:
    """Probabilities minus the one-hot prediction, ``a = p - e_argmax`` ``(E, C, P)``."""
    one = view.predicted[:, None]
    return view.probabilities.scatter_add(1, one, -torch.ones_like(view.probabilities[:, :1]))


def gradient_distance(view: PoolView, factor: Tensor, columns: Tensor) -> Tensor:
    """Squared distance of every row's gradient embedding to that of one column ``(E,)``, ``(E, P)``.

    ``|g_i|^2 + |g_j|^2 - 2 (a_i . a_j)(x_i . x_j)``; embeddings have norm 1, so |g| = |a|. Exactly 0 where
    only rounding distinguishes the two.
    """
    own = factor.gather(2, columns[:, None, None].expand(-1, factor.shape[1], 1))
    scale = factor.square().sum(1) + own.square().sum(1)
    apart = scale - 2.0 * (factor * own).sum(1) * view.similarity_of_pick(columns)
    return torch.where(apart > _SAME * scale, apart, 0.0)


def _uniform(view: PoolView, n: int) -> Tensor:
    """``n`` uniform numbers for each episode that can buy something, ``(E, n)`` float64."""
    numbers = np.zeros((view.n_episodes, n))
    for e in torch.nonzero(view.n_available)[:, 0].tolist():
        numbers[e] = view.generator(e).random(n)
    return torch.from_numpy(numbers).to(view.device)


def _draw(weight: Tensor, free: Tensor, number: Tensor) -> Tensor:
    """Draw a free column of each episode in proportion to ``weight`` ``(E, P)``; -1 where none is free.

    Where all weights are 0, all free columns are equally likely. ``number`` ``(E,)`` is uniform in [0, 1).
    """
    flat = weight.amax(1, keepdim=True) <= 0
    # In float64, so that a long sum leaves no row without its share.
    mass = torch.where(flat, free.to(weight.dtype), weight).double()
    total = mass.cumsum(1)
    column = torch.searchsorted(total, number[:, None] * total[:, -1:], right=True)[:, 0]
    # A number next to 1 may round up to the whole sum: then the last row with a share is meant.
    last = torch.where(mass > 0, torch.arange(mass.shape[1], device=mass.device), -1).amax(1)
    return torch.minimum(column, last)
