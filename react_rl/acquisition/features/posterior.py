"""The Gaussian process that goes with the softmax regression, and by how much a label would narrow it.

Near its start the regression with penalty l2 is a Gaussian process with kernel ``K = X X^T + bias^2`` and
noise ``s2 = 4 l2`` (a label's curvature is at most 1/4). Given the labelled rows L its covariance is
``cov = K - K_L (K_LL + s2)^-1 K_L^T``, which needs no label. A label of row i takes
``cov_ij^2 / (cov_ii + s2)`` off the variance of row j; summed over the pool this is the integrated variance
reduction.

Source: Cohn, Ghahramani & Jordan 1996, Active learning with statistical models, section 4; Böhning 1992 for
the curvature.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.committees import head_settings
from react_rl.acquisition.features.landmarks import Landmarks, rows_of

LEAST: Final = 1e-6
"""Smallest variance: rounding must not make one negative."""


class Posterior:
    """Posterior variances and their reductions, updated exactly after each pick.

    With ``K_LL + s2 = R R^T`` and ``V = R^-1 K_L^T`` the covariance is ``K - V^T V``. A pick with covariances
    c adds the row ``c / sqrt(c_pick + s2)`` to V, and no matrix of all pairs has to be kept: the sums
    ``a_i = sum_j w_j cov_ij^2`` change by ``-2 c_i t_i / d + c_i^2 (sum_j w_j c_j^2) / d^2`` with
    ``t_i = sum_j w_j c_j cov_ij`` and ``d = c_pick + s2``.

    Args:
        landmarks: The rows j that sums run over, with their weights.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        view = landmarks.view
        settings = head_settings(view)
        self._landmarks = landmarks
        self._shift = settings.bias**2
        self._noise = 4.0 * settings.l2
        self._rows: Tensor | None = None
        self._basis = self._first_basis()  # V: (E, n, P)
        self._near: Tensor | None = None  # similarities of few rows to the landmarks (E, R, J)
        self._near_basis = self._basis  # V of the rows (E, n, R)
        self._variance = (1.0 + self._shift - self._basis.square().sum(1)).clamp_min(LEAST)  # (E, R)
        self._sums = self._first_sums()  # a: (E, R, 2)
        # What cov_ii^2 is counted too often in a_i, (E, R, 2).
        self._own = landmarks.of_themselves(torch.ones_like(landmarks.weights[:, :, 0]))

    def _first_basis(self) -> Tensor:
        view = self._landmarks.view
        similarity, _, live = view.labelled_geometry
        kernel = (similarity + self._shift) * (live[:, :, None] * live[:, None, :])
        kernel.diagonal(dim1=1, dim2=2).add_(self._noise)
        factor = torch.linalg.cholesky_ex(kernel).L
        reach = (view.similarity_to_labelled + self._shift) * live[:, :, None]
        basis: Tensor = torch.linalg.solve_triangular(factor, reach, upper=False)
        return basis

    def _first_sums(self) -> Tensor:
        landmarks, view = self._landmarks, self._landmarks.view
        weights, theirs = landmarks.weights, landmarks.of(self._basis)
        sums = torch.zeros(*view.ids.shape, 2, device=view.device)
        for some, rows, similarity in landmarks.blocks():
            own = self._basis[some, :, rows].transpose(1, 2)
            covariance = torch.baddbmm(similarity, own, theirs[some], alpha=-1.0).add_(self._shift)
            sums[some, rows] = torch.bmm(covariance.square_(), weights[some])
        return sums

    @property
    def variance(self) -> Tensor:
        """Variance of each row's score, up to the scale of the process ``(E, R)``."""
        return self._variance

    @cached_property
    def reductions(self) -> Tensor:
        """Mean variance that a label of each row takes off the pool, even and unsure ``(E, R, 2)``."""
        sums = (
            self._sums if self._own is None else self._sums - self._own * self._variance[:, :, None].square()
        )
        return sums / (self._variance + self._noise)[:, :, None]

    def add(self, columns: Tensor, similarity: Tensor) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates.

        Args:
            columns: The picks.
            similarity: Their similarities to all columns ``(E, P)``.
        """
        landmarks = self._landmarks
        own = self._basis.gather(2, columns[:, None, None].expand(-1, self._basis.shape[1], 1))  # (E, n, 1)
        covariance = similarity + self._shift - torch.bmm(own.transpose(1, 2), self._basis)[:, 0]  # c: (E, P)
        scale = covariance.gather(1, columns[:, None]).clamp_min(LEAST) + self._noise  # d: (E, 1)
        near = covariance if self._rows is None else covariance.gather(1, self._rows)  # (E, R)
        weighted = landmarks.weights * landmarks.of(covariance)[:, :, None]  # w c: (E, J, 2)
        theirs = torch.bmm(landmarks.of(self._basis), weighted)  # (E, n, 2)
        product = landmarks.product(weighted) if self._near is None else torch.bmm(self._near, weighted)
        product += self._shift * weighted.sum(1, keepdim=True)
        product -= torch.bmm(self._near_basis.transpose(1, 2), theirs)  # t: (E, R, 2)
        squares = torch.bmm(weighted.transpose(1, 2), landmarks.of(covariance)[:, :, None])  # (E, 2, 1)
        share = (near / scale)[:, :, None]
        self._sums = self._sums - 2.0 * share * product + share.square() * squares.transpose(1, 2)
        self._sums.clamp_min_(0.0)
        self._variance = (self._variance - near.square() / scale).clamp_min(LEAST)
        root = scale.sqrt()
        self._basis = torch.cat([self._basis, (covariance / root)[:, None]], 1)
        self._near_basis = (
            self._basis if self._rows is None else torch.cat([self._near_basis, (near / root)[:, None]], 1)
        )
        self.__dict__.pop("reductions", None)

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on. Mutates."""
        self._rows = rows
        self._near = self._landmarks.similarity_of(rows)
        self._near_basis = self._basis.gather(2, rows[:, None].expand(-1, self._basis.shape[1], -1))
        self._variance = self._variance.gather(1, rows)
        self._sums = rows_of(self._sums, rows)
        self._own = None if self._own is None else rows_of(self._own, rows)
        self.__dict__.pop("reductions", None)
