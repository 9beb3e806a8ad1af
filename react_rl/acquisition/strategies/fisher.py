"""Batches that leave least of the pool's Fisher information unknown (BAIT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import best_column, to_ids
from react_rl.acquisition.committees import head_settings
from react_rl.acquisition.wide.bounded import score_in_bounds, select_in_bounds
from react_rl.errors import ReActError
from react_rl.large_arrays import large_array
from react_rl.simulation.view import PoolView

_LEAST: Final = 1e-6
"""Keeps divisions away from 0 where rounding has eaten a difference."""

_SPARE: Final = 64
"""Vectors for which room is made at once, so that not all are copied for each change."""


@dataclass(frozen=True)
class Bait:
    """Batches that minimise ``tr(M^-1 F)``: F the Fisher information of the pool, M that of what is labelled.

    ``M = l2 + sum over labelled rows and the batch of I(x)``, ``F`` the mean of I(x) over the pool, I(x) the
    Fisher information of the softmax head. Rows are added greedily until there are twice as many as
    wanted (``oversample``), each by the largest fall of the trace, then those are taken out again whose
    loss raises it least.

    Of I(x) ``= (diag(p) - p p^T) x x^T`` the blocks between classes are left out, so that a class has a
    matrix of its own, ``p_c (1 - p_c) x x^T``; with two classes nothing is lost by that but a factor on l2.
    Each then lives in the span of the rows, where adding one is an update of rank one: with
    ``k_c(i, j) = x_i^T M_c^-1 x_j`` and ``w = p_c (1 - p_c)`` a row brings
    ``sum_c w_i b_i / (1 + w_i k_ii)``, b_i the weighted sum of ``k_c(i, u)^2`` over the pool. Vectors are
    what the last layer sees, the intercept included; the penalty is the learner's own. In pools of more than
    2,048 rows so many are drawn.

    Source: Ash et al. 2021, Gone fishing: neural active learning with Fisher embeddings, algorithm 1.

    Args:
        name: Name in tables and configs.
        oversample: Rows that are added for each row wanted.

    Raises:
        ReActError: ``oversample`` is below 1.
    """

    name: str = "bait"
    oversample: float = 2.0

    def __post_init__(self) -> None:
        if not self.oversample >= 1:
            raise ReActError(f"oversample {self.oversample} adds fewer rows than wanted; use 1 or more.")

    def score(self, view: PoolView) -> Tensor:
        """Share of the trace that a row takes off ``(E, P)``, and above all others the batch in its order."""
        return score_in_bounds(self, view, self._score, _numbers(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows by adding more and taking some out again."""

        def choose(part: PoolView) -> Tensor:
            return to_ids(part, self._columns(part, n))

        return select_in_bounds(self, view, n, choose, _numbers(view))

    def _score(self, view: PoolView) -> Tensor:
        fisher = FisherTrace(view)
        shares = view.level(fisher.gains / fisher.trace.clamp_min(_LEAST)[:, None])
        columns = self._columns(view, view.progress.batch_size)
        places = torch.arange(columns.shape[1], 0, -1, device=view.device).float() + 1.0
        scores = torch.nn.functional.pad(shares, (0, 1))
        scores.scatter_(1, torch.where(columns >= 0, columns, view.width), places.expand_as(columns))
        return scores[:, :-1]

    def _columns(self, view: PoolView, n: int) -> Tensor:
        """Columns of the batch ``(E, n)``, -1 where there are fewer."""
        fisher, free = FisherTrace(view), view.available
        added = []
        for _ in range(min(max(n, int(self.oversample * n)), max(int(view.n_available.max()), n))):
            column = best_column(view, view.level(fisher.gains), free)
            free = free.scatter(1, column.clamp_min(0)[:, None], False)
            fisher.add(column)
            added.append(column)
        columns = torch.stack(added, 1)  # (E, m)
        for _ in range(columns.shape[1] - n):
            losses = torch.where(columns >= 0, fisher.losses(columns.clamp_min(0)), torch.inf)
            place = losses.argmin(1, keepdim=True)
            crowded = (columns >= 0).sum(1) > n
            worst = torch.where(crowded, columns.gather(1, place)[:, 0], -1)
            fisher.remove(worst)
            columns = torch.where(crowded[:, None], columns.scatter(1, place, -1), columns)
        order = (columns < 0).to(torch.int8).argsort(dim=1, stable=True)
        return columns.gather(1, order)[:, :n]


class FisherTrace:
    """The trace of ``M^-1 F`` while rows are added to M and taken out, class by class.

    ``k_c = K / l2 - sum_s sign_s v_s v_s^T``, K the products of the rows (and of their intercepts): a vector
    v for each labelled row at first, one more for each change.

    Args:
        view: The pools.
    """

    def __init__(self, view: PoolView) -> None:
        settings = head_settings(view)
        self._l2 = settings.l2
        similarity = view.pool_similarity if view.linear else None
        if similarity is None:
            similarity = torch.bmm(view.features, view.features.transpose(1, 2))
        self._products = similarity + settings.bias**2  # K: (E, P, P)
        p = view.probabilities
        self._weight = p * (1.0 - p)  # w: (E, C, P)
        members = view.in_pool.float()
        share = members / members.sum(1, keepdim=True).clamp_min(1.0)
        self._mass = self._weight * share[:, None]  # w over the pool, on average: (E, C, P)
        columns, live = view.labelled_columns
        fitted = torch.softmax(view.fitted_logits, 1)
        root = (fitted * (1.0 - fitted) * live[:, None]).sqrt()  # (E, C, n)
        reach = (
            self._products.gather(1, columns[:, :, None].expand(-1, -1, view.width)) / self._l2
        )  # (E, n, P)
        among = reach.gather(2, columns[:, None].expand(-1, columns.shape[1], -1))  # (E, n, n)
        inner = root[:, :, :, None] * among[:, None] * root[:, :, None]
        inner.diagonal(dim1=2, dim2=3).add_(1.0)
        factor = torch.linalg.cholesky_ex(inner).L
        basis = torch.linalg.solve_triangular(factor, root[:, :, :, None] * reach[:, None], upper=False)
        self._store, self._used = basis, basis.shape[2]
        self._sign = torch.ones(columns.shape, device=view.device)  # (E, s)
        own = self._products.diagonal(dim1=1, dim2=2)[:, None] / self._l2
        self._own = (own - basis.square().sum(2)).clamp_min(_LEAST)  # k_ii: (E, C, P)
        self._squares = self._first_squares()  # b: (E, C, P)

    @property
    def _basis(self) -> Tensor:
        """The vectors v ``(E, C, s, P)``."""
        basis: Tensor = self._store[:, :, : self._used]
        return basis

    def _append(self, vectors: Tensor) -> None:
        """Hold one vector more for each class ``(E, C, P)``. Mutates."""
        if self._used == self._store.shape[2]:
            n_episodes, n_classes, _, width = self._store.shape
            shape = (n_episodes, n_classes, self._used + _SPARE, width)
            store = large_array(*shape, device=vectors.device)
            store[:, :, : self._used] = self._store
            self._store = store
        self._store[:, :, self._used] = vectors
        self._used += 1

    def _first_squares(self) -> Tensor:
        """Sums over the pool of ``w_u k(i, u)^2`` ``(E, C, P)``, multiplied out so that K is met once."""
        weighted = self._basis * self._mass[:, :, None]  # (E, C, s, P)
        mixed = torch.bmm(weighted.flatten(1, 2), self._products).view_as(self._basis) / self._l2
        inner = torch.einsum("ecsp,ectp->ecst", weighted, self._basis)
        again = torch.einsum("ecst,ectp->ecsp", inner, self._basis)
        plain = torch.bmm(self._mass, self._products.square()) / self._l2**2
        squares: Tensor = plain + (self._basis * (again - 2.0 * mixed)).sum(2)
        return squares.clamp_min(0.0)

    @property
    def trace(self) -> Tensor:
        """The trace ``(E,)``."""
        total: Tensor = (self._mass * self._own).sum((1, 2))
        return total

    @property
    def gains(self) -> Tensor:
        """Fall of the trace by adding each row ``(E, P)``."""
        found: Tensor = (self._weight * self._squares / (1.0 + self._weight * self._own)).sum(1)
        return found

    def losses(self, columns: Tensor) -> Tensor:
        """Rise of the trace by taking out each of some rows that were added ``(E, m)``."""
        index = columns[:, None].expand(-1, self._weight.shape[1], -1)
        weight, own, squares = (a.gather(2, index) for a in (self._weight, self._own, self._squares))
        found: Tensor = (weight * squares / (1.0 - weight * own).clamp_min(_LEAST)).sum(1)
        return found

    def add(self, columns: Tensor) -> None:
        """Add one row of each episode ``(E,)``; none where it is -1. Mutates."""
        self._change(columns, 1.0)

    def remove(self, columns: Tensor) -> None:
        """Take out one row of each episode ``(E,)``; none where it is -1. Mutates."""
        self._change(columns, -1.0)

    def _change(self, columns: Tensor, sign: float) -> None:
        chosen = columns.clamp_min(0)
        index = chosen[:, None, None].expand(-1, self._weight.shape[1], 1)
        weight = torch.where(columns[:, None] >= 0, self._weight.gather(2, index)[:, :, 0], 0.0)  # (E, C)
        row = self._products[torch.arange(len(columns), device=columns.device), chosen] / self._l2
        own = self._basis.gather(3, index[:, :, None].expand(-1, -1, self._basis.shape[2], 1))
        signed = own[:, :, :, 0] * self._sign[:, None]  # (E, C, s)
        reach = row[:, None] - torch.einsum("ecs,ecsp->ecp", signed, self._basis)  # k_q: (E, C, P)
        at = reach.gather(2, index)[:, :, 0]
        share = weight / (1.0 + sign * weight * at).clamp_min(_LEAST)  # (E, C)
        weighted = self._mass * reach
        product = torch.bmm(weighted, self._products) / self._l2
        inner = torch.einsum("ecsp,ecp->ecs", self._basis, weighted) * self._sign[:, None]
        product -= torch.einsum("ecs,ecsp->ecp", inner, self._basis)  # t: (E, C, P)
        step = sign * share[:, :, None]
        total = (weighted * reach).sum(2, keepdim=True)
        changed = self._squares - 2.0 * step * reach * product + (step * reach).square() * total
        self._squares = changed.clamp_min(0.0)
        self._own = (self._own - step * reach.square()).clamp_min(_LEAST)
        self._append(share.sqrt()[:, :, None] * reach)
        self._sign = torch.nn.functional.pad(self._sign, (0, 1), value=sign)


def _numbers(view: PoolView) -> int:
    """Numbers that are held for an episode."""
    slots = view.labelled_columns[0].shape[1] + 3 * view.progress.batch_size
    return view.width * (3 * view.width + 4 * view.class_counts.shape[1] * slots)
