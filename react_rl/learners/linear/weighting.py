"""Row weights in the loss of linear heads: classes made even, and descent under any weights.

With D = diag(w) the objective ``sum_i w_i cross_entropy_i + l2/2 |W|^2`` has the gradient X^T G, G = l2 A +
D (softmax(K A) - Y), and a Hessian of at most twice X^T D X / 4 + l2 (Böhning 1992, as in ``softmax``), so
A <- A - (D K/4 + l2)^-1 G never increases the loss. Scaling K by max(w) instead would be safe too, and keep
one inverse for all weights, but needs three times the steps.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.settings import SoftmaxSettings

CURVATURE: Final = 0.25
"""Share of K in the preconditioner: half of Böhning's bound, the smallest that is safe."""

_STEPS: Final = 3
"""Steps for each step that an unweighted refit may take: uneven weights slow the descent."""


def balanced_weights(onehot: Tensor, live: Tensor) -> Tensor:
    """Row weights that give every class that has a label the same share: ``n / (k n_c)`` in class c of k.

    Source: King & Zeng 2001, Logistic regression in rare events data; scikit-learn's ``class_weight``.

    Args:
        onehot: ``(E, C, n)`` float32 labels, all 0 in slots without one.
        live: ``(E, n)`` float32, 1 in slots that hold a label.

    Returns:
        ``(E, n)`` float32 of mean 1 over the labelled rows, 0 in slots without a label.
    """
    counts = onehot.sum(2)  # (E, C)
    met = (counts > 0).sum(1, keepdim=True)
    share = live.sum(1, keepdim=True) / (met * counts).clamp_min(1.0)  # (E, C)
    weights: Tensor = (onehot * share[:, :, None]).sum(1)
    return weights


def row_weights(settings: SoftmaxSettings, onehot: Tensor, live: Tensor) -> Tensor:
    """Weights ``(E, n)`` of the labelled rows in a learner's own objective, 0 in slots without a label."""
    return balanced_weights(onehot, live) if settings.class_weights == "balanced" else live


def descend(
    dual: Tensor,
    fitted: Tensor,
    target: Tensor,
    kernel: Tensor,
    weight: Tensor,
    settings: SoftmaxSettings,
    taught: Tensor | None = None,
) -> int:
    """Fit B heads from where they stand until the gradient is small in each; changes ``dual``, ``fitted``.

    Args:
        dual: ``(B, C, n)`` A, of which row i belongs to labelled row i.
        fitted: ``(B, C, n)`` scores of the labelled rows.
        target: ``(B, C, n)`` one-hot labels.
        kernel: ``(B, n, n)`` K, 0 in slots without a label.
        weight: ``(B, n)`` row weights, 0 in slots without a label.
        settings: Regularisation and convergence.
        taught: ``(B,)`` bool, heads that move; None for all.

    Returns:
        Steps taken.
    """
    n = dual.shape[2]
    # Rows of dual weights multiply from the left, so the transpose (K D/4 + l2)^-1 is what is kept.
    damped = CURVATURE * kernel * weight[:, None, :]
    damped.diagonal(dim1=1, dim2=2).add_(settings.l2)
    inverse = torch.linalg.inv(damped)
    moves = torch.cat([inverse, torch.bmm(inverse, kernel)], 2)  # (B, n, 2n)
    for step in range(_STEPS * settings.max_steps):
        gradient = torch.softmax(fitted, 1).sub_(target).mul_(weight[:, None])
        gradient.add_(dual, alpha=settings.l2)
        moving = gradient.abs().amax((1, 2)) > settings.tolerance
        if taught is not None:
            moving &= taught
        if not bool(moving.any()):
            return step
        # A converged head stands still, so that it does not depend on its neighbours.
        gradient *= moving[:, None, None]
        change = torch.bmm(gradient, moves)
        dual -= change[:, :, :n]
        fitted -= change[:, :, n:]
    return _STEPS * settings.max_steps
