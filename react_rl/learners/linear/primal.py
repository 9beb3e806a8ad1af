"""The softmax regression fitted to many rows at once, by its weights instead of by those of the rows."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import CURVATURE

_TOLERANCE: Final = 3e-3
"""A fit ends when no weight moves further in a step; ten times less moves accuracies by .001 to .003."""

MOST_STEPS: Final = 500
"""Most steps of one fit to thousands of rows."""


def fit_primal(rows: Tensor, labels: Tensor, n_classes: int, settings: SoftmaxSettings) -> Tensor:
    """Fit the learner's softmax regression to many rows, with work that grows with their number alone.

    The steps are those of ``softmax``, written for the weights: with X the rows and the bias column,
    W <- W - (G X + l2 W) (X^T X / 4 + l2)^-1, G = softmax(W X^T) - Y.

    Args:
        rows: ``(n, D)`` unit-norm embeddings.
        labels: ``(n,)`` classes.
        n_classes: C.
        settings: Regularisation; tolerance and steps are those of this module.

    Returns:
        ``(C, D + 1)`` weights, the last column times ``settings.bias`` being the intercept.
    """
    inputs = _with_bias(rows, settings)  # (n, D + 1)
    curvature = (inputs.T @ inputs).mul_(CURVATURE)
    curvature.diagonal().add_(settings.l2)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(curvature))
    target = (labels[None, :] == torch.arange(n_classes, device=labels.device)[:, None]).to(rows)  # (C, n)
    weights = torch.zeros(n_classes, inputs.shape[1], device=rows.device)
    across = inputs.T.contiguous()
    for _ in range(MOST_STEPS):
        wrong = torch.softmax(weights @ across, 0).sub_(target)
        step = torch.addmm(weights, wrong, inputs, beta=settings.l2) @ inverse
        weights -= step
        if float(step.abs().max()) <= _TOLERANCE:
            break
    return weights


def score_primal(
    rows: Tensor, labels: Tensor, n_classes: int, tested: Tensor, settings: SoftmaxSettings
) -> Tensor:
    """Scores ``(C, T)`` of other rows ``tested`` ``(T, D)`` under the fit to ``rows``; see ``fit_primal``."""
    return fit_primal(rows, labels, n_classes, settings) @ _with_bias(tested, settings).T


def _with_bias(rows: Tensor, settings: SoftmaxSettings) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 1), value=settings.bias)
