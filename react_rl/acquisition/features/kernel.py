"""A kernel between rows of a pool, and what labelled rows mean under it: mass and votes.

``k(x, y) = exp((cos(x, y) - 1) / tau)`` with tau half the mean of ``1 - density`` over the pool, so that the
kernel is as wide as the neighbourhoods of the corpus, whatever the encoder.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.features.landmarks import EVEN, Landmarks, kernel, rows_of
from react_rl.simulation.view import PoolView

PRIOR: Final = 0.05
"""Votes that the class shares of the bought labels cast beside the labelled neighbours."""

FAINT: Final = 1e-3
"""Mass that every row has, so that its logarithm is finite."""


def near_labelled(landmarks: Landmarks) -> Tensor:
    """Kernel between the labelled rows and all rows ``(E, n, P)``; 0 in slots without a label."""
    view = landmarks.view
    live = view.labelled_columns[1].float()
    return kernel(view.similarity_to_labelled, landmarks.tau).mul_(live[:, :, None])


class Votes:
    """Sums of the kernel over the labelled rows of each class, kept for all rounds of the episodes.

    Labels are added one after the other, so the same labels give the same bits, whenever somebody first asks.

    Args:
        landmarks: Of the pools.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        view = landmarks.view
        self._tau, self._exact = landmarks.tau, landmarks.everyone
        self._known = view.labelled_columns[0][:, :0]  # (E, n) labelled columns, -1 without a label
        self._answers = self._known  # (E, n) their classes
        n_classes = view.labelled_geometry[1].shape[1]
        self._cast = torch.zeros(view.n_episodes, n_classes, view.width, device=view.device)

    def follow(self, view: PoolView) -> Tensor:
        """The sums ``(E, C, P)`` of all labels that there are now, to be read only. Mutates."""
        columns, live = view.labelled_columns
        known = torch.where(live > 0, columns, -1)
        answers, done = view.labelled_geometry[1].max(1).indices, self._known.shape[1]
        if not (torch.equal(known[:, :done], self._known) and torch.equal(answers[:, :done], self._answers)):
            self._cast.zero_()
            done = 0
        if done < known.shape[1]:
            near = self._near(view, columns[:, done:]).mul_(live[:, done:, None])
            index = answers[:, done:, None, None].expand(-1, -1, 1, view.width)
            for slot in range(near.shape[1]):
                self._cast.scatter_add_(1, index[:, slot], near[:, slot : slot + 1])
            self._known, self._answers = known.clone(), answers.clone()
        return self._cast

    def _near(self, view: PoolView, columns: Tensor) -> Tensor:
        held = view.pool_similarity if self._exact else None
        if held is not None:
            return kernel(rows_of(held, columns), self._tau)
        return kernel(view.similarity_to_labelled[:, -columns.shape[1] :], self._tau)


def votes(landmarks: Landmarks) -> Tensor:
    """Class shares among the labelled neighbours of each row, weighed by the kernel ``(E, C, P)``.

    ``(sum_l k(x, l) [y_l = c] + prior share_c) / (sum_l k(x, l) + prior)``.

    Args:
        landmarks: Of the pools.
    """
    view = landmarks.view
    cast, counts = view.kept("votes", lambda: Votes(landmarks)).follow(view), view.class_counts
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1.0)
    return (cast + PRIOR * shares[:, :, None]).div_(cast.sum(1, keepdim=True) + PRIOR)


def crowding(landmarks: Landmarks) -> Tensor:
    """Mean kernel between a row and the rows of its pool ``(E, P)``; as a density."""
    view = landmarks.view

    def compute() -> Tensor:
        weights = landmarks.weights[:, EVEN]
        result = torch.zeros(view.ids.shape, device=view.device)
        for some, part, near in landmarks.kernels():
            result[some, part] = torch.bmm(near, weights[some, :, None])[:, :, 0]
        own = landmarks.of_themselves(torch.ones_like(weights), EVEN)
        return result if own is None else result - own

    return view.kept("crowding", compute) if landmarks.everyone else compute()
