"""A kernel between rows of a pool, and what labelled and picked rows mean under it: coverage, mass, votes.

``k(x, y) = exp((cos(x, y) - 1) / tau)`` with tau half the mean of ``1 - density`` over the pool, so that the
kernel is as wide as the neighbourhoods of the corpus, whatever the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.features.landmarks import BLOCK, Landmarks, rows_of
from react_rl.simulation.view import PoolView

NARROWEST: Final = 0.025
"""Smallest tau, so that a pool of copies has a kernel too."""

PRIOR: Final = 0.05
"""Votes that the class shares of the bought labels cast beside the labelled neighbours."""

FAINT: Final = 1e-3
"""Mass that every row has, so that its logarithm is finite."""


def bandwidth(view: PoolView) -> Tensor:
    """Tau of each pool ``(E,)``."""
    members = view.in_pool.float()
    spread = ((1.0 - view.density) * members).sum(1) / members.sum(1).clamp_min(1.0)
    return (0.5 * spread).clamp_min(NARROWEST)


def kernel(similarity: Tensor, tau: Tensor) -> Tensor:
    """Values of the kernel at similarities ``(E, ...)``."""
    steep = 1.0 / tau.view(-1, *[1] * (similarity.dim() - 1))
    return torch.addcmul(-steep, similarity, steep).exp_()


def near_labelled(view: PoolView) -> Tensor:
    """Kernel between the labelled rows and all rows ``(E, n, P)``; 0 in slots without a label."""
    live = view.labelled_columns[1].float()
    return kernel(view.similarity_to_labelled, bandwidth(view)).mul_(live[:, :, None])


def votes(view: PoolView, near: Tensor) -> Tensor:
    """Class shares among the labelled neighbours of each row, weighed by the kernel ``(E, C, P)``.

    ``(sum_l k(x, l) [y_l = c] + prior share_c) / (sum_l k(x, l) + prior)``.

    Args:
        view: The pools.
        near: What ``near_labelled`` says of them.
    """
    onehot, counts = view.labelled_geometry[1], view.class_counts
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1.0)
    cast = torch.bmm(onehot, near).add_(PRIOR * shares[:, :, None])
    return cast.div_(near.sum(1, keepdim=True) + PRIOR)


def crowding(landmarks: Landmarks) -> Tensor:
    """Mean kernel between a row and the rows of its pool ``(E, P)``; as a density."""
    view = landmarks.view

    def compute() -> Tensor:
        weights = landmarks.weights[:, :, :1]
        result = torch.zeros(view.ids.shape, device=view.device)
        for some, part, near in _kernel_blocks(landmarks, bandwidth(view)):
            result[some, part] = torch.bmm(near, weights[some])[:, :, 0]
        own = landmarks.of_themselves(torch.ones_like(weights[:, :, 0]))
        return result if own is None else result - own[:, :, 0]

    return view.kept("crowding", compute) if landmarks.everyone else compute()


def _held(landmarks: Landmarks, tau: Tensor) -> Tensor | None:
    """The kernel between all rows ``(E, P, P)``, kept for all rounds of the episodes; None of large pools."""
    view = landmarks.view
    similarity = view.pool_similarity if landmarks.everyone else None
    return None if similarity is None else view.kept("kernel", lambda: kernel(similarity, tau))


def _kernel_blocks(landmarks: Landmarks, tau: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Walk through the kernel between all rows and the landmarks, as ``Landmarks.blocks`` does."""
    held = _held(landmarks, tau)
    for some, part, similarity in landmarks.blocks():
        yield some, part, kernel(similarity, tau[some]) if held is None else held[some, part]


class KernelCoverage:
    """How well labelled and picked rows cover the pool: the largest kernel of each landmark to one of them.

    Args:
        landmarks: The rows that stand for the pool.
        near: What ``near_labelled`` says of the pool.
    """

    def __init__(self, landmarks: Landmarks, near: Tensor) -> None:
        view = landmarks.view
        self._landmarks = landmarks
        self._tau = bandwidth(view)
        self._rows: Tensor | None = None
        nearest = torch.where(view.nearest_labelled < -1.5, -torch.inf, view.nearest_labelled)
        self._covered = kernel(landmarks.of(nearest), self._tau)  # (E, J)
        self._mass = near.sum(1)
        self._near: Tensor | None = None  # (E, R, J), once there are few rows

    @property
    def mass(self) -> Tensor:
        """Sum of the kernel over labelled and picked rows ``(E, R)``."""
        return self._mass

    @cached_property
    def gains(self) -> Tensor:
        """Growth of the mean coverage by each row, even and by uncertainty ``(E, R, 2)``."""
        landmarks, weights, covered = self._landmarks, self._landmarks.weights, self._covered[:, None]
        if self._near is not None:
            gains = torch.empty(*self._near.shape[:2], 2, device=weights.device)
            step = max(1, BLOCK // self._near[0].numel())
            for first in range(0, len(gains), step):
                some = slice(first, first + step)
                excess = torch.sub(self._near[some], covered[some]).clamp_min_(0.0)
                gains[some] = torch.bmm(excess, weights[some])
        else:
            gains = torch.zeros(*landmarks.view.ids.shape, 2, device=weights.device)
            for some, rows, near in _kernel_blocks(landmarks, self._tau):
                excess = torch.sub(near, covered[some]).clamp_min_(0.0)
                gains[some, rows] = torch.bmm(excess, weights[some])
        own = landmarks.of_themselves((1.0 - self._covered).clamp_min(0.0))
        if own is not None:
            gains = gains - (own if self._rows is None else rows_of(own, self._rows))
        return gains

    def add(self, columns: Tensor, similarity: Tensor) -> None:
        """Count one picked column of each episode ``(E,)``, so similar to all columns ``(E, P)``. Mutates."""
        near = kernel(similarity, self._tau)
        self._covered = torch.maximum(self._covered, self._landmarks.of(near))
        self._mass = self._mass + (near if self._rows is None else near.gather(1, self._rows))
        self.__dict__.pop("gains", None)

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on. Mutates."""
        landmarks = self._landmarks
        self._rows = rows
        self._mass = self._mass.gather(1, rows)
        held = _held(landmarks, self._tau)
        if held is None:
            self._near = kernel(landmarks.similarity_of(rows), self._tau)
        else:
            self._near = rows_of(held, rows)
        if "gains" in self.__dict__:
            self.__dict__["gains"] = rows_of(self.gains, rows)
