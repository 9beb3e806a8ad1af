"""Which pool rows a head takes over, under the labels that it gives them.

Source: Yarowsky 1995, Unsupervised word sense disambiguation rivaling supervised methods; Schröder & Heyer
2024, Self-training for sample-efficient active learning for text classification with pre-trained language
models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from react_rl.learners.recipes.neighbours import Neighbours
from react_rl.learners.recipes.refitting import TrainingRows
from react_rl.learners.recipes.settings import SelfTrainingSettings


@dataclass(frozen=True)
class PseudoLabels:
    """Rows that are taken over.

    Args:
        columns: ``(R, m)`` int64 pool columns.
        target: ``(R, C, m)`` float32 one-hot labels, all 0 in places without a row.
        live: ``(R, m)`` float32, 1 in places that hold a row.
    """

    columns: Tensor
    target: Tensor
    live: Tensor


def take_over(
    probabilities: Tensor, free: Tensor, near: Neighbours, hard: Tensor, settings: SelfTrainingSettings
) -> PseudoLabels:
    """Choose the rows that the head is sure of.

    Args:
        probabilities: ``(R, C, W)``.
        free: ``(R, W)`` bool, unlabelled pool columns.
        near: Neighbours of the columns; looked at only where they must agree.
        hard: ``(R, W, C)`` one-hot predictions, labels where they are known.
        settings: Threshold, agreement, number of rows.
    """
    confidence, label = probabilities.max(1)  # (R, W)
    allowed = free & (confidence >= settings.threshold)
    if settings.agreement > 0:
        share = near.mean(hard, near.evenly())  # (R, W, C)
        allowed = allowed & (share.gather(2, label[:, :, None])[:, :, 0] > settings.agreement)
    rank = torch.where(allowed, confidence, -1.0)
    n_classes, width = probabilities.shape[1:]
    if settings.balanced:
        most = min(max(1, settings.rows // n_classes), width)
        classes = torch.arange(n_classes, device=label.device)
        of_class = torch.where(label[:, None] == classes[:, None], rank[:, None], -1.0)  # (R, C, W)
        best = of_class.topk(most, dim=2)
        found, columns = best.values.flatten(1), best.indices.flatten(1)
    else:
        best = rank.topk(min(settings.rows, width), dim=1)
        found, columns = best.values, best.indices
    live = (found >= 0.0).float()
    target = torch.nn.functional.one_hot(label.gather(1, columns), n_classes).transpose(1, 2) * live[:, None]
    return PseudoLabels(columns, target, live)


def joined(
    material: TrainingRows, slots: Tensor, taken: PseudoLabels, similarity: Tensor, weight: float, bias: float
) -> TrainingRows:
    """Labelled rows and rows that were taken over, in this order.

    Args:
        material: The labelled rows.
        slots: ``(R, n)`` their pool columns.
        taken: The others.
        similarity: ``(R, m, W)`` similarity of the others to all columns.
        weight: Of the others in the loss.
        bias: Scale of the intercept.
    """
    m = taken.columns.shape[1]
    live = (material.kernel.diagonal(dim1=1, dim2=2) > 0).float()
    across = similarity.gather(2, slots[:, None].expand(-1, m, -1)) + bias**2  # (R, m, n)
    across = across * taken.live[:, :, None] * live[:, None]
    among = similarity.gather(2, taken.columns[:, None].expand(-1, m, -1)) + bias**2  # (R, m, m)
    among = among * taken.live[:, :, None] * taken.live[:, None]
    upper, lower = torch.cat([material.kernel, across.transpose(1, 2)], 2), torch.cat([across, among], 2)
    return TrainingRows(
        torch.cat([upper, lower], 1),
        torch.cat([material.target, taken.target], 2),
        torch.cat([material.weight, weight * taken.live], 1),
        material.shift,
    )
