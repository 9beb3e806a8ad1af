"""How well the softmax regression generalises and how sure it should be, from the labelled rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError, unknown
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import row_weights
from react_rl.metrics.classification import CLASS_METRICS, PADDING

_FLATTEST: Final = 1e-4
"""Smallest curvature of a row's loss that is distinguished from none."""

_BISECTIONS: Final = 30


class ClassCounts(Protocol):
    """How many classes each episode has."""

    @property
    def n_classes(self) -> npt.NDArray[np.int64]:
        """Classes of each episode ``(E,)``."""
        ...


class FittedView(Protocol):
    """What is read here of a view of the pools: the labelled rows, and what the head makes of them."""

    @property
    def labelled_geometry(self) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities ``(E, n, n)``, one-hot answers ``(E, C, n)``, which slots hold a label ``(E, n)``."""
        ...

    @property
    def linear_settings(self) -> SoftmaxSettings | None:
        """Regularisation of a linear learner; None where the learner is another."""
        ...

    @property
    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows ``(E, C, n)``."""
        ...

    @property
    def progress(self) -> ClassCounts:
        """How far the episodes are; here only their classes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        ...


def leave_one_out_logits(view: FittedView) -> Tensor:
    """Scores of each labelled row under a head that did not see it, ``(E, C, n)``, without refitting.

    The fitted logits are F_i = F_i^loo + (s_i / l2) (y_i - p_i), where s_i / l2 is the variance that the
    other rows leave: ``s_i = 1 / [(K + diag(l2 / h))^-1]_ii - l2 / h_i`` with K the kernel and h_i the
    curvature of row i's loss. The Hessian of the softmax, diag(p) - p p^T, is replaced by its mean over the
    C - 1 directions in which it is not 0, ``h_i = (1 - |p_i|^2) / (C - 1)``. Exact for a squared loss. Class
    weights multiply the loss of a row, so both ``y_i - p_i`` and h_i; they stay as they are.

    Source: Cawley & Talbot 2008, Efficient approximate leave-one-out cross-validation for kernel logistic
    regression; Opper & Winther 2000, Gaussian processes for classification: mean-field algorithms.

    Args:
        view: The pools.

    Returns:
        float32; slots without a label carry their fitted logits.
    """
    similarity, onehot, live = view.labelled_geometry
    settings = view.linear_settings
    if settings is None:
        raise ReActError("Leaving one out by formula needs the linear learner; set learner.kind to softmax.")
    n_classes = torch.from_numpy(view.progress.n_classes).to(view.device, torch.float32)
    kernel = (similarity + settings.bias**2) * live[:, None, :] * live[:, :, None]
    weights = row_weights(settings, onehot, live)
    return left_out(view.fitted_logits, onehot, kernel, weights, n_classes, settings.l2)


def left_out(
    fitted: Tensor, onehot: Tensor, kernel: Tensor, weights: Tensor, n_classes: Tensor, l2: float
) -> Tensor:
    """What ``leave_one_out_logits`` returns, from arrays.

    Args:
        fitted: ``(E, C, n)`` scores of the labelled rows.
        onehot: ``(E, C, n)`` labels, all 0 in slots without one.
        kernel: ``(E, n, n)`` inner products, the bias included, 0 in slots without a label.
        weights: ``(E, n)`` weights of the rows in the loss, 0 in slots without a label.
        n_classes: ``(E,)`` float32.
        l2: Regularisation of the heads.
    """
    p = torch.softmax(fitted, 1)
    curvature = (1.0 - p.square().sum(1)) / (n_classes[:, None] - 1.0).clamp_min(1.0) * weights  # (E, n)
    noise = l2 / curvature.clamp_min(_FLATTEST)
    # In float64: a row that is fitted well has noise thousands of times the kernel.
    whole = kernel.double()
    whole.diagonal(dim1=1, dim2=2).add_(noise)
    diagonal = torch.linalg.inv(whole).diagonal(dim1=1, dim2=2)
    left = (1.0 / diagonal - noise).clamp_min(0.0).float()  # (E, n)
    shift = (left * weights / l2)[:, None] * (onehot - p)
    result: Tensor = fitted - shift
    return result


def leave_one_out_metrics(view: FittedView, names: Sequence[str] = ("accuracy",)) -> dict[str, Tensor]:
    """Metrics of the labelled rows, each scored by a head that did not see it.

    They cost one inverse of an ``n x n`` matrix and no refit, no fold and no dev set. They speak of rows like
    the labelled ones: rows that a strategy picked because they are hard make the head look worse than it is
    on the pool, and the only row of its class is always missed. Labels count as they were answered, wrong
    ones included.

    Source: as ``leave_one_out_logits``.

    Args:
        view: The pools.
        names: Names of task metrics.

    Returns:
        ``(E,)`` float32 by name; NaN for an episode without labels.

    Raises:
        ReActError: A metric is unknown.
    """
    for name in names:
        if name not in CLASS_METRICS:
            raise unknown("metric", name, CLASS_METRICS)
    logits = leave_one_out_logits(view)
    _, onehot, live = view.labelled_geometry
    labels = torch.where(live > 0, onehot.argmax(1), PADDING)
    counts = torch.from_numpy(view.progress.n_classes).to(view.device)
    classes = torch.arange(logits.shape[1], device=view.device) < counts[:, None]
    return {name: CLASS_METRICS[name].function(logits, labels, classes) for name in names}


def leave_one_out_accuracy(view: FittedView) -> Tensor:
    """Share of labelled rows that a head trained on the others gets right, ``(E,)`` float32, NaN without any.

    See ``leave_one_out_metrics`` for what it can and cannot say.
    """
    return leave_one_out_metrics(view)["accuracy"]


def inverse_temperature(logits: Tensor, onehot: Tensor, lowest: float = 0.1, highest: float = 10.0) -> Tensor:
    """Factor beta = 1/T on the logits with the smallest mean cross-entropy, ``(E,)``.

    The cross-entropy is convex in beta, so its derivative ``sum_i (E_p[z_i] - z_iy)`` has one root, which is
    bisected on a logarithmic scale.

    Source: Guo et al. 2017, On calibration of modern neural networks, section 4.2.

    Args:
        logits: ``(E, C, n)``; classes outside an episode near -1e30.
        onehot: ``(E, C, n)`` labels, all 0 in slots without one.
        lowest: Smallest beta.
        highest: Largest beta: rows that are all right by a margin would have it grow without end.
    """
    # Centred on the label's logit; slots without a label are 0, and so is their part of the derivative.
    labelled = onehot.sum(1, keepdim=True)
    behind = (logits - (logits * onehot).sum(1, keepdim=True)) * labelled
    low = torch.full(logits.shape[:1], lowest, device=logits.device).log()
    high = torch.full_like(low, highest).log()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        p = torch.softmax(behind * middle.exp()[:, None, None], 1)
        rising = (p * behind).sum((1, 2)) > 0.0
        high = torch.where(rising, middle, high)
        low = torch.where(rising, low, middle)
    return ((low + high) / 2.0).exp()
