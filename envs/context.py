"""Numbers that say how far an episode is and what its pool looks like; none is of the dev set."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import standardise
from react_rl.acquisition.features import FEATURES
from react_rl.simulation.view import PoolView

PROGRESS: Final = (
    "share of the budget spent",
    "rounds left, log scale",
    "number of classes, log scale",
    "labels for each class, log scale",
)
"""What ``progress_numbers`` says, in order."""

PHASES: Final = (
    "share of the phases that are over",
    "share of this phase's budget spent",
    "number of phases, log scale",
)
"""What ``phase_numbers`` says, in order."""

POOL: Final = (
    "mean margin of the pool",
    "deviation of the margin",
    "share of the pool with a margin below 0.1",
    "mean entropy of the pool, over log C",
    "balance of the bought labels (entropy over log C)",
    "balance of the predicted classes (entropy over log C)",
    "mean similarity to the nearest labelled row",
    "deviation of that similarity",
    "mean density of the pool",
    "deviation of the density",
    "correlation of uncertainty and density",
    "correlation of uncertainty and novelty",
    "correlation of density and novelty",
    "labelled nearest neighbours of one class, above chance",
    "mean probability of the bought labels under the model",
)
"""What ``pool_numbers`` says, in order."""


def progress_numbers(view: PoolView) -> npt.NDArray[np.float64]:
    """The numbers of ``PROGRESS`` for each episode ``(E, 4)``."""
    progress = view.progress
    remaining = np.maximum(progress.budget - progress.spent, 0.0)
    classes = progress.n_classes.astype(np.float64)
    return np.stack(
        [
            progress.spent / progress.budget,
            np.log1p(remaining / progress.batch_size) / 4.0,
            np.log(classes) / 4.0,
            np.log1p(progress.labels / classes) / 4.0,
        ],
        axis=1,
    )


def phase_numbers(view: PoolView) -> npt.NDArray[np.float32]:
    """The numbers of ``PHASES`` for each episode ``(E, 3)``; an episode without phases is in its only one."""
    progress = view.progress
    over = progress.phase / progress.n_phases
    return np.stack([over, progress.phase_spent, np.log(progress.n_phases)], axis=1).astype(np.float32)


def pool_numbers(view: PoolView) -> Tensor:
    """The numbers of ``POOL`` for each pool ``(E, 15)`` float32; those of classes are 0 in other tasks."""
    weight = view.available.float()
    count = view.n_available.clamp_min(1).float()
    log_classes = torch.from_numpy(np.log(np.maximum(view.progress.n_classes, 2))).to(weight)

    def mean(values: Tensor) -> Tensor:
        return (values * weight).sum(1) / count

    def deviation(values: Tensor, center: Tensor) -> Tensor:
        return ((values - center[:, None]).square() * weight).sum(1).div(count).sqrt()

    margin, nearest, density = view.margin, view.nearest_labelled.clamp_min(-1.0), view.density
    mean_margin, mean_nearest, mean_density = mean(margin), mean(nearest), mean(density)
    uncertain, dense, novel = (
        standardise(view, FEATURES[name](view)) for name in ("margin", "density", "novelty")
    )
    counts = view.class_counts
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1.0)
    zero = torch.zeros_like(count)
    foreseen, agreement, fit = zero, zero, zero
    if view.has_classes:
        predicted = (view.probabilities * weight[:, None]).sum(2) / count[:, None]
        foreseen = torch.special.entr(predicted).sum(1) / log_classes
        agreement, fit = _neighbour_agreement(view), _fit(view)
    return torch.stack(
        [
            mean_margin,
            deviation(margin, mean_margin),
            mean((margin < 0.1).float()),
            mean(view.entropy) / log_classes,
            torch.special.entr(shares).sum(1) / log_classes,
            foreseen,
            mean_nearest,
            deviation(nearest, mean_nearest) * 4.0,
            mean_density,
            deviation(density, mean_density) * 4.0,
            mean(uncertain * dense),
            mean(uncertain * novel),
            mean(dense * novel),
            agreement,
            fit,
        ],
        1,
    )


def _neighbour_agreement(view: PoolView) -> Tensor:
    """Share of labelled rows whose nearest labelled row has their class, minus what chance gives ``(E,)``."""
    similarity, onehot, live = view.labelled_geometry
    if not live.shape[1]:
        return live.sum(1)
    similarity = similarity.masked_fill(live[:, None] == 0, -torch.inf)
    similarity.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    best, nearest = similarity.max(2)
    same = onehot.gather(2, nearest[:, None, :].expand(-1, onehot.shape[1], -1)).mul(onehot).sum(1)
    usable = live * (best > -torch.inf)
    total = usable.sum(1).clamp_min(1.0)
    shares = onehot.sum(2) / live.sum(1, keepdim=True).clamp_min(1.0)
    return (same * usable).sum(1) / total - shares.square().sum(1)


def _fit(view: PoolView) -> Tensor:
    """Mean probability that the model gives to the bought labels ``(E,)``."""
    _, onehot, live = view.labelled_geometry
    own = (torch.softmax(view.fitted_logits, 1) * onehot).sum(1)
    return own.sum(1) / live.sum(1).clamp_min(1.0)
