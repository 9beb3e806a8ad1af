"""Task metrics of text classification, one number per episode, on torch tensors with the episode axis first.

Logits are ``(E, C, N)`` with the classes on axis 1; curves and statistics over these numbers live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError

Counts = npt.NDArray[np.float64]

PADDING: Final = -1
"""The label of a column that is no row; such columns are left out of every metric."""

_FEW: Final = 1 << 14
"""Logits below which one operation is quicker than several that read memory in order."""

_MANY: Final = 16
"""Classes above which it is as well."""


def _uniform_share(n_classes: Counts) -> Counts:
    share: Counts = 1.0 / n_classes
    return share


def _uniform_loss(n_classes: Counts) -> Counts:
    loss: Counts = np.log(n_classes)
    return loss


class Metric(NamedTuple):
    """A metric, the direction in which it improves, and the ends of its range.

    Args:
        function: Computes it, ``(E,)`` float32, from what its task has: logits, labels and class mask here.
        higher_is_better: The direction.
        chance: From numbers of classes to what guessing uniformly gives, None where that says nothing.
        best: The value of a perfect model.
    """

    function: Callable[..., Tensor]
    higher_is_better: bool
    chance: Callable[[Counts], Counts] | None
    best: float

    @property
    def sign(self) -> float:
        """1 where large values are good, else -1."""
        return 1.0 if self.higher_is_better else -1.0


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 3 or labels.shape != (logits.shape[0], logits.shape[2]):
        raise ReActError(
            f"Logits of shape {tuple(logits.shape)} do not fit labels of shape {tuple(labels.shape)}: "
            "give logits as (episodes, classes, rows) and labels as (episodes, rows)."
        )


def _mean_over_rows(values: Tensor, valid: Tensor) -> Tensor:
    """Average ``(E, N)`` values over the valid rows; NaN for an episode that has none."""
    # Padded columns may hold anything, NaN included, so they are replaced and not multiplied by zero.
    return torch.where(valid, values, 0.0).sum(dim=1) / valid.sum(dim=1)


def predicted_class(logits: Tensor) -> Tensor:
    """Class ``(E, N)`` int64 of the largest ``(E, C, N)`` logits; the first one where several are equal."""
    if logits.shape[1] > _MANY or logits.numel() < _FEW or not logits.is_cpu:
        # Along a middle axis torch's max is several times faster than its argmax.
        return logits.max(dim=1).indices
    # A running maximum reads memory in order, which max does not; bytes take a fraction of what numbers take.
    best, *others = logits.unbind(1)
    found = torch.zeros(best.shape, dtype=torch.uint8)
    for place, other in enumerate(others, 1):
        torch.maximum(found, (other > best).view(torch.uint8) * place, out=found)
        best = torch.maximum(best, other)
    return found.to(torch.int64)


def accuracy(logits: Tensor, labels: Tensor, class_mask: Tensor | None = None) -> Tensor:
    """Share of rows whose largest logit is that of their label; equal logits count for the first class.

    Args:
        logits: ``(E, C, N)`` floats; classes that an episode lacks hold -1e30 or less.
        labels: ``(E, N)`` int64 in ``[0, C)``, or -1 for padding.
        class_mask: Not needed here; accepted so that every metric is called alike.

    Returns:
        ``(E,)`` float32 in [0, 1]; NaN for an episode without rows.

    Raises:
        ReActError: If the shapes do not fit each other.
    """
    _check(logits, labels)
    # No class has the number of the padding, so padded columns are never right.
    return (predicted_class(logits) == labels).sum(dim=1) / (labels != PADDING).sum(dim=1)


def log_loss(logits: Tensor, labels: Tensor, class_mask: Tensor | None = None) -> Tensor:
    """Mean of ``-log p(label)`` in nats, with p the softmax over the classes; nothing is clipped.

    Args:
        logits: ``(E, C, N)`` floats; classes that an episode lacks hold -1e30 or less.
        labels: ``(E, N)`` int64 in ``[0, C)``, or -1 for padding.
        class_mask: Not needed here; accepted so that every metric is called alike.

    Returns:
        ``(E,)`` float32, at least 0; NaN for an episode without rows.

    Raises:
        ReActError: If the shapes do not fit each other.
    """
    _check(logits, labels)
    of_label = logits.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)  # (E, N)
    losses = torch.logsumexp(logits.float(), dim=1) - of_label.float()
    return _mean_over_rows(losses, labels != PADDING)


def macro_f1(logits: Tensor, labels: Tensor, class_mask: Tensor | None = None) -> Tensor:
    """Mean over classes of ``2 TP / (2 TP + FP + FN)``, each class with the same weight.

    Classes that no label of the episode names are left out of the mean: their F1 is 0 or undefined whatever
    the learner does. A row predicted as such a class still counts as a miss of its own class. (scikit-learn's
    default averages also over classes that occur in the predictions only.)

    Args:
        logits: ``(E, C, N)`` floats; classes that an episode lacks hold -1e30 or less.
        labels: ``(E, N)`` int64 in ``[0, C)``, or -1 for padding.
        class_mask: ``(E, C)`` bool, True where the class belongs to the episode; None means all.

    Returns:
        ``(E,)`` float32 in [0, 1]; NaN for an episode without rows.

    Raises:
        ReActError: If the shapes do not fit each other.
    """
    _check(logits, labels)
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1)
    is_label = labels.unsqueeze(1) == classes  # (E, C, N); padding equals no class
    is_predicted = (predicted_class(logits).unsqueeze(1) == classes) & (labels != PADDING).unsqueeze(1)
    true = is_label.sum(dim=2)  # (E, C)
    f1 = 2.0 * (is_label & is_predicted).sum(dim=2) / (true + is_predicted.sum(dim=2)).clamp_min(1)
    counted = true > 0 if class_mask is None else (true > 0) & class_mask
    return torch.where(counted, f1, 0.0).sum(dim=1) / counted.sum(dim=1)


def expected_calibration_error(
    logits: Tensor, labels: Tensor, class_mask: Tensor | None = None, bins: int = 15
) -> Tensor:
    """Expected calibration error of the largest softmax probability.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3.

    Args:
        logits: ``(E, C, N)`` floats; classes that an episode lacks hold -1e30 or less.
        labels: ``(E, N)`` int64 in ``[0, C)``, or -1 for padding.
        class_mask: Not needed here; accepted so that every metric is called alike.
        bins: Number of bins of equal width.

    Returns:
        ``(E,)`` float32 in [0, 1]; NaN for an episode without rows.

    Raises:
        ReActError: If the shapes do not fit each other or ``bins`` is below 1.
    """
    _check(logits, labels)
    largest, predicted = logits.float().max(dim=1)
    confidence = torch.exp(largest - torch.logsumexp(logits.float(), dim=1))  # (E, N)
    return calibration_error(confidence, predicted == labels, labels != PADDING, bins)


def calibration_error(confidence: Tensor, correct: Tensor, valid: Tensor, bins: int = 15) -> Tensor:
    """Sum over bins of ``(rows in bin / rows) * |accuracy in bin - mean confidence in bin|``.

    The bins are ``[0, 1/B], (1/B, 2/B], ..., ((B-1)/B, 1]``: confidences of exactly 0 and 1 are counted.

    Args:
        confidence: ``(E, N)`` floats in [0, 1].
        correct: ``(E, N)`` bool.
        valid: ``(E, N)`` bool, False for padding.
        bins: Number of bins of equal width.

    Returns:
        ``(E,)`` float32 in [0, 1]; NaN for an episode without rows.

    Raises:
        ReActError: If ``bins`` is below 1.
    """
    if bins < 1:
        raise ReActError(f"A calibration error of {bins} bins is not defined: give at least 1.")
    inner_edges = torch.linspace(0.0, 1.0, bins + 1, device=confidence.device)[1:-1]
    # bucketize with right=False puts an edge into the bin that it closes.
    index = torch.bucketize(confidence.contiguous(), inner_edges, right=False)  # (E, N) in [0, bins)
    excess = torch.where(valid, correct.float() - confidence, 0.0)
    total = excess.new_zeros(excess.shape[0])
    for position in range(bins):
        total = total + torch.where(index == position, excess, 0.0).sum(dim=1).abs()
    return total / valid.sum(dim=1)


DEFAULT_METRIC: Final = "accuracy"
"""What is observed, rewarded and validated unless something else is asked for."""

CLASS_METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "accuracy": Metric(accuracy, True, _uniform_share, 1.0),
        "macro_f1": Metric(macro_f1, True, _uniform_share, 1.0),
        "log_loss": Metric(log_loss, False, _uniform_loss, 0.0),
        "expected_calibration_error": Metric(expected_calibration_error, False, None, 0.0),
    }
)
"""Metrics by the name that configs use."""
