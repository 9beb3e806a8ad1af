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
from react_rl.acquisition.features.landmarks import EVEN, UNSURE, Landmarks, rows_of
from react_rl.large_arrays import large_array

LEAST: Final = 1e-6
"""Smallest variance: rounding must not make one negative."""

GROUP: Final = 5
"""Labelled rows that are taken off the kept covariances together. Groups begin at multiples of this, so that
the same labels give the same bits, whenever somebody first asks. It divides the usual sizes of batches, so no
label is left over, which would have to be taken off in each round until its group is whole."""


class Covariances:
    """Covariances of all rows of small pools given the first labels, kept for all rounds of the episodes.

    A label's part of the covariance never changes, so each round takes off the part of new groups only.

    Args:
        similarity: Similarities of all rows ``(E, P, P)``.
        shift: What the kernel adds to them.
        noise: Variance of a label.
    """

    def __init__(self, similarity: Tensor, shift: float, noise: float) -> None:
        self._similarity, self._shift, self._noise = similarity, shift, noise
        self.matrix = torch.add(
            similarity, shift, out=large_array(*similarity.shape, device=similarity.device)
        )
        """Covariances ``(E, P, P)`` given the labels followed so far."""
        self._columns = torch.zeros(len(similarity), 0, dtype=torch.int64, device=similarity.device)
        self._live = torch.zeros(len(similarity), 0, device=similarity.device)

    def follow(self, columns: Tensor, live: Tensor, weights: Tensor) -> tuple[int, Tensor | None]:
        """Take off what whole groups of the labelled rows explain. Mutates.

        Args:
            columns: ``(E, n)`` labelled columns in the order of their purchase.
            live: ``(E, n)`` 1 where a slot holds a label, 0 elsewhere.
            weights: ``(E, k, P)`` what each row counts in sums of squared covariances.

        Returns:
            How many of them, a multiple of ``GROUP``, ``matrix`` takes into account; the sums ``(E, k, P)``
            if these are all and some are new, since then they cost no pass of their own over the matrix.
        """
        sums = None
        known, whole = self._columns.shape[1], columns.shape[1] // GROUP * GROUP
        same = torch.equal(self._columns, columns[:, :known]) and torch.equal(self._live, live[:, :known])
        if not same:
            torch.add(self._similarity, self._shift, out=self.matrix)
            known = 0
        for first in range(known, whole, GROUP):
            rows, here = columns[:, first : first + GROUP], live[:, first : first + GROUP]
            basis = explained(rows_of(self.matrix, rows), rows, here, self._noise)
            if first + GROUP == columns.shape[1]:
                sums = squared_sums(self.matrix, basis, weights, keep=True)
            else:
                for covariance, own in zip(self.matrix, basis, strict=True):
                    covariance.addmm_(own.T, own, alpha=-1.0)
        if known < whole or not same:
            self._columns, self._live = columns[:, :whole].clone(), live[:, :whole].clone()
        return whole, sums


def squared_sums(matrix: Tensor, basis: Tensor, weights: Tensor, keep: bool = False) -> Tensor:
    """Weighted sums of squared covariances, ``sum_j w_j cov_ij^2`` with ``cov = matrix - basis^T basis``.

    Args:
        matrix: ``(E, P, P)``, symmetric.
        basis: ``(E, n, P)``, n may be 0.
        weights: ``(E, k, P)``.
        keep: Whether the covariances take the place of ``matrix``, which is mutated then.

    Returns:
        ``(E, k, P)``.
    """
    # Episode by episode, so that what is made of a matrix stays in a core's own cache.
    store, sums = torch.empty_like(matrix[0]), torch.empty_like(weights)
    for prior, own, weight, result in zip(matrix, basis, weights, sums, strict=True):
        covariance = prior
        if len(own):
            covariance = torch.addmm(prior, own.T, own, alpha=-1.0, out=prior if keep else store)
        # Symmetric, so that rows serve as columns; products read them more quickly.
        torch.mm(weight, torch.mul(covariance, covariance, out=store), out=result)
    return sums


def explained(reach: Tensor, columns: Tensor, live: Tensor, noise: float) -> Tensor:
    """Rows V with ``V^T V`` the part of the covariances that labels of some rows explain.

    With ``cov_LL + noise = R R^T`` it is ``V = R^-1 cov_L``.

    Args:
        reach: Covariances ``(E, n, P)`` of these rows with all rows.
        columns: Their columns ``(E, n)``.
        live: ``(E, n)`` 1 where a slot holds a label; others explain nothing.
        noise: Variance of a label.

    Returns:
        ``(E, n, P)``.
    """
    among = reach.gather(2, columns[:, None].expand(-1, columns.shape[1], -1))
    among = among * (live[:, :, None] * live[:, None, :])
    among.diagonal(dim1=1, dim2=2).add_(noise)
    factor = torch.linalg.cholesky_ex(among).L
    # The noise keeps the factor well conditioned; inverting it is much faster than solving for P columns.
    unit = torch.eye(columns.shape[1], device=reach.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(factor, unit, upper=False) * live[:, None, :]
    return torch.bmm(inverse, reach)


class Posterior:
    """Posterior variances and their reductions, updated exactly after each pick.

    The covariance is ``C - V^T V``: C given the labels that are followed for all rounds (none where the pools
    are too large to hold a matrix), V what the others explain. A pick with covariances c adds the row
    ``c / sqrt(c_pick + s2)`` to V: the sums ``a_i = sum_j w_j cov_ij^2`` change by
    ``-2 c_i t_i / d + c_i^2 (sum_j w_j c_j^2) / d^2`` with ``t_i = sum_j w_j c_j cov_ij`` and
    ``d = c_pick + s2``.

    Args:
        landmarks: The rows j that sums run over, with their two weightings, even and unsure.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        view = landmarks.view
        settings = head_settings(view)
        self._landmarks = landmarks
        self._shift = settings.bias**2
        self._noise = 4.0 * settings.l2
        self._rows: Tensor | None = None
        kept, columns, live = self._followed(), *view.labelled_columns
        done, sums = (0, None) if kept is None else kept.follow(columns, live, landmarks.weights)
        columns, live = columns[:, done:], live[:, done:]
        # C of the rows with the landmarks (E, R, J), and of the rows with each other (E, R, R).
        self._near = self._among = None if kept is None else kept.matrix
        reach = view.similarity_to_labelled + self._shift if kept is None else rows_of(kept.matrix, columns)
        self._basis = explained(reach, columns, live, self._noise)  # V of the rows (E, n, R)
        self._theirs = landmarks.of(self._basis)  # V of the landmarks (E, n, J)
        own = 1.0 + self._shift if kept is None else kept.matrix.diagonal(dim1=1, dim2=2)
        self._variance = (own - self._basis.square().sum(1)).clamp_min(LEAST)  # (E, R)
        self._sums = self._first_sums() if sums is None else sums  # a: (E, 2, R)
        # What cov_ii^2 is counted too often in a_i, (E, 2, R).
        ones = torch.ones_like(landmarks.weights[:, EVEN])
        excess = [found for w in (EVEN, UNSURE) if (found := landmarks.of_themselves(ones, w)) is not None]
        self._own = torch.stack(excess, 1) if excess else None

    def _followed(self) -> Covariances | None:
        view, shift, noise = self._landmarks.view, self._shift, self._noise
        similarity = view.pool_similarity if self._landmarks.everyone else None
        if similarity is None:
            return None
        return view.kept(f"covariances {shift} {noise}", lambda: Covariances(similarity, shift, noise))

    def _first_sums(self) -> Tensor:
        landmarks, view = self._landmarks, self._landmarks.view
        if self._near is not None:
            return squared_sums(self._near, self._basis, landmarks.weights)
        sums = torch.empty(view.n_episodes, 2, view.width, device=view.device)
        known = landmarks.times(self._basis.mT, self._theirs.mT) if landmarks.few else None
        store: Tensor | None = None
        for some, rows, similarity in landmarks.blocks():
            if store is None or store.shape != similarity.shape:
                store = torch.empty_like(similarity)
            if known is None:
                own = self._basis[some, :, rows].transpose(1, 2)
                covariance = torch.baddbmm(similarity, own, self._theirs[some], alpha=-1.0, out=store)
            else:
                covariance = torch.sub(similarity, known[some, rows], out=store)
            squares = covariance.add_(self._shift).square_().transpose(1, 2)
            torch.bmm(landmarks.weights[some], squares, out=sums[some, :, rows])
        return sums

    @property
    def variance(self) -> Tensor:
        """Variance of each row's score, up to the scale of the process ``(E, R)``."""
        return self._variance

    @cached_property
    def reductions(self) -> Tensor:
        """Mean variance that a label of each row takes off landmarks, even and unsure ``(E, 2, R)``."""
        sums = self._sums if self._own is None else self._sums - self._own * self._variance[:, None].square()
        return sums / (self._variance + self._noise)[:, None]

    @property
    def changes(self) -> Tensor:
        """Mean squared change of the scores of landmarks, unsure, by a residual of 1 at each row ``(E, R)``.

        A label moves the mean of row j by ``cov_ij / (cov_ii + s2)`` times its residual.
        """
        return self.reductions[:, UNSURE] / (self._variance + self._noise)

    def add(self, columns: Tensor, similarity: Tensor) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates.

        Args:
            columns: The picks.
            similarity: Their similarities to all columns ``(E, P)``.
        """
        landmarks, place = self._landmarks, columns.contiguous()[:, None]  # (E, 1) among the rows
        if self._rows is not None:
            place = torch.searchsorted(self._rows, place).clamp_max_(self._rows.shape[1] - 1)
        own = self._basis.gather(2, place[:, None].expand(-1, self._basis.shape[1], 1)).transpose(1, 2)
        reach = similarity[:, None] + self._shift if self._among is None else rows_of(self._among, place)
        near = torch.baddbmm(reach, own, self._basis, alpha=-1.0)  # c of the rows: (E, 1, R)
        if self._among is self._near and landmarks.everyone:
            theirs = near
        elif self._near is None:
            theirs = landmarks.of(near)
        else:
            theirs = torch.baddbmm(rows_of(self._near, place), own, self._theirs, alpha=-1.0)  # (E, 1, J)
        scale = near.gather(2, place[:, None]).clamp_min(LEAST) + self._noise  # d: (E, 1, 1)
        weighted = landmarks.weights * theirs  # w c: (E, 2, J)
        inner = torch.bmm(weighted, self._theirs.transpose(1, 2))  # (E, 2, n)
        product = torch.baddbmm(self._prior_times(weighted), inner, self._basis, alpha=-1.0)  # t: (E, 2, R)
        squares = torch.bmm(weighted, theirs.transpose(1, 2))  # (E, 2, 1)
        share = near / scale
        self._sums = (self._sums - 2.0 * share * product + share.square() * squares).clamp_min_(0.0)
        self._variance = (self._variance - (share * near)[:, 0]).clamp_min(LEAST)
        root = scale.sqrt()
        same = self._theirs is self._basis
        self._basis = torch.cat([self._basis, near / root], 1)
        self._theirs = self._basis if same else torch.cat([self._theirs, theirs / root], 1)
        self.__dict__.pop("reductions", None)

    def absorb(self, columns: Tensor, similarity: Tensor) -> None:
        """Count picked columns ``(E, K)`` as labelled, all at once; as ``add`` one by one. Mutates.

        With their part B of the covariances the sums change by ``-2 B_i . t_i + B_i^T G B_i``, where
        ``t_i = sum_j w_j B_j cov_ij`` and ``G = sum_j w_j B_j B_j^T``.

        Args:
            columns: The picks; no row was left out by ``narrow`` before.
            similarity: Their similarities to all columns ``(E, K, P)``.
        """
        landmarks, many = self._landmarks, columns.shape[1]
        own = self._basis.gather(2, columns[:, None].expand(-1, self._basis.shape[1], -1)).transpose(1, 2)
        reach = torch.baddbmm(similarity + self._shift, own, self._basis, alpha=-1.0)
        new = explained(
            reach, columns, torch.ones_like(columns, dtype=reach.dtype), self._noise
        )  # B: (E, K, P)
        theirs = landmarks.of(new)  # (E, K, J)
        weighted = landmarks.weights[:, :, None] * theirs[:, None]  # (E, 2, K, J)
        squares = weighted @ theirs[:, None].transpose(2, 3)  # G: (E, 2, K, K)
        weighted = weighted.flatten(1, 2)
        inner = torch.bmm(weighted, self._theirs.transpose(1, 2))  # (E, 2 K, n)
        product = torch.baddbmm(self._prior_times(weighted), inner, self._basis, alpha=-1.0)
        change = squares @ new[:, None] - 2.0 * product.view(len(new), 2, many, -1)
        self._sums = (self._sums + (change * new[:, None]).sum(2)).clamp_min_(0.0)
        self._variance = (self._variance - new.square().sum(1)).clamp_min(LEAST)
        self._basis = torch.cat([self._basis, new], 1)
        self._theirs = torch.cat([self._theirs, theirs], 1)
        self.__dict__.pop("reductions", None)

    def _prior_times(self, vectors: Tensor) -> Tensor:
        """Vectors ``(E, k, J)`` times C of the landmarks with the rows, ``(E, k, R)``."""
        if self._near is not None:
            # The matrix of all rows with all rows is symmetric, and reading it in memory order is quicker.
            return torch.bmm(vectors, self._near if self._rows is None else self._near.transpose(1, 2))
        return self._landmarks.product(vectors) + self._shift * vectors.sum(2, keepdim=True)

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on, ascending; picks are among them. Mutates."""
        landmarks = self._landmarks
        basis = self._basis.gather(2, rows[:, None].expand(-1, self._basis.shape[1], -1))
        own = basis.transpose(1, 2)
        if self._near is None:
            self._near = landmarks.similarity_of(rows).add_(self._shift)
        else:
            self._near = rows_of(self._near, rows)
        self._near.baddbmm_(own, self._theirs, alpha=-1.0)
        if landmarks.everyone:
            index = rows[:, None].expand(-1, rows.shape[1], -1)
            self._among = torch.gather(
                self._near, 2, index, out=large_array(*index.shape, device=index.device)
            )
        else:
            vectors = rows_of(landmarks.view.embeddings, rows)
            self._among = torch.bmm(vectors, vectors.transpose(1, 2)).add_(self._shift)
            self._among.baddbmm_(own, basis, alpha=-1.0)
        # What labels and picks so far explain is taken off already.
        self._basis, self._theirs = basis[:, :0], self._theirs[:, :0]
        self._rows = rows.contiguous()
        self._variance = self._variance.gather(1, rows)
        index = rows[:, None].expand(-1, 2, -1)
        self._sums = self._sums.gather(2, index)
        self._own = None if self._own is None else self._own.gather(2, index)
        self.__dict__.pop("reductions", None)
