"""Gradient-based strategies: how far, and in which direction, a row's label would move the linear head.

For softmax cross-entropy the gradient with respect to the weights is ``(p - e_y) x^T``. Norms and inner
products of such matrices factor into those of p - e_y and of x, so no gradient is ever written out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from react_rl.acquisition.batching.drawing import draw_column, uniform_numbers
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
        numbers = uniform_numbers(view, n)
        picks = [column]
        for j in range(1, n):
            chosen = column.clamp_min(0)
            free = free.scatter(1, chosen[:, None], False)
            distance = torch.minimum(distance, gradient_distance(view, factor, chosen))
            column = draw_column(torch.where(free, distance, 0.0), free, numbers[:, j])
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
