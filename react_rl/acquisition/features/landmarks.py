"""Rows that stand for a pool in sums over it: all rows of a small pool, a sample of a large one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.large_arrays import large_array
from react_rl.products import row_products
from react_rl.simulation.view import PoolView

ALL: Final = 2048
"""Pools of up to this many rows are summed over exactly."""

SAMPLE: Final = 1024
"""Rows that stand for a larger pool, drawn evenly from each episode's strategy stream."""

BLOCK: Final = 1 << 18
"""Similarities of one block (1 MiB): few enough to stay in a core's own cache."""

EVEN: Final = 0
"""Place of the weights whose sums are plain means over the pool."""

UNSURE: Final = 1
"""Place of the weights that count a row by 1 - margin."""


TABLE: Final = 1 << 23
"""Most similarities to landmarks that are held at once where those of all rows are not (32 MiB)."""

NARROWEST: Final = 0.025
"""Smallest tau, so that a pool of copies has a kernel too."""


def bandwidth(view: PoolView) -> Tensor:
    """Width tau of the kernel of each pool ``(E,)``, half the mean of ``1 - density``."""
    members = view.in_pool.float()
    spread = ((1.0 - view.density) * members).sum(1) / members.sum(1).clamp_min(1.0)
    return (0.5 * spread).clamp_min(NARROWEST)


def kernel(similarity: Tensor, tau: Tensor, out: Tensor | None = None) -> Tensor:
    """Values of the kernel at similarities ``(E, ...)``, in memory of its own or in ``out``."""
    steep = 1.0 / tau.view(-1, *[1] * (similarity.dim() - 1))
    # In two steps, each quicker than torch's operation of three arguments.
    return torch.mul(similarity, steep, out=out).sub_(steep).exp_()


class Landmarks:
    """J rows of each pool, their weights in sums, and the similarities of all rows to them.

    Args:
        view: The pools.
    """

    def __init__(self, view: PoolView) -> None:
        self.view = view
        self.everyone = view.width <= ALL
        """Whether all rows of the pools are landmarks."""
        self.few = False
        """Whether the view is of few rows of a large pool; products are quicker then, and round otherwise."""
        self.members = view.in_pool
        """Rows that belong to the episode's pool ``(E, P)`` bool."""
        self.size = self.members.sum(1)
        """Rows of each pool ``(E,)``, whose means the weighted sums are."""
        self.tau = bandwidth(view)
        """The kernel's width ``(E,)``."""

    def within(self, part: PoolView, episode: int, places: Tensor) -> Landmarks:
        """The landmarks of one episode, which stand for its whole pool, in a view of some of its rows.

        Args:
            part: The view.
            episode: Which one it is a part of.
            places: Columns of the landmarks in it ``(1, J)``, -1 for none.
        """
        own = Landmarks(part)
        own.everyone, own.few = False, True
        own.size, own.tau = self.size[episode : episode + 1], self.tau[episode : episode + 1]
        own.columns = places
        return own

    @cached_property
    def columns(self) -> Tensor:
        """Their columns ``(E, J)``."""
        view = self.view
        if self.everyone:
            return torch.arange(view.width, device=view.device).expand(view.n_episodes, -1)
        chosen = np.zeros((view.n_episodes, SAMPLE), dtype=np.int64)
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            rows = torch.nonzero(self.members[episode])[:, 0].cpu().numpy()
            few = min(SAMPLE, rows.size)
            chosen[episode, :few] = np.sort(view.generator(episode).choice(rows, few, replace=False))
            chosen[episode, few:] = -1
        return torch.from_numpy(chosen).to(view.device)

    def of(self, values: Tensor) -> Tensor:
        """What the landmarks have of ``values`` ``(E, ..., P)``, as ``(E, ..., J)``."""
        if self.everyone:
            return values
        index = self.columns.clamp_min(0)
        if values.dim() == 3:
            index = index[:, None].expand(-1, values.shape[1], -1)
        return values.gather(-1, index)

    @cached_property
    def weights(self) -> Tensor:
        """Weights ``(E, 2, J)`` whose sums are means over the pool: ``EVEN`` and ``UNSURE`` ones."""
        live = self.of(self.members) if self.everyone else self.columns >= 0
        even = live.float() / live.sum(1, keepdim=True).clamp_min(1)
        return torch.stack([even, even * (1.0 - self.of(self.view.margin))], 1)

    def of_themselves(self, values: Tensor, weighting: int) -> Tensor | None:
        """What sampled rows have too much of themselves in a sum over the landmarks, ``(E, P)``.

        A sampled row stands for many rows, yet its own part of its sum is that of one.

        Args:
            values: What each landmark adds to the sum of itself ``(E, J)``.
            weighting: ``EVEN`` or ``UNSURE``.
        """
        if self.everyone:
            return None
        live = self.columns >= 0
        share = live.sum(1) / self.size.clamp_min(1)
        excess = self.weights[:, weighting] * ((1.0 - share)[:, None] * values * live)
        result = torch.zeros(self.view.ids.shape, device=self.view.device)
        return result.scatter_add_(1, self.columns.clamp_min(0), excess)

    @cached_property
    def embeddings(self) -> Tensor:
        """Their embeddings ``(E, J, D)``, for pools too large to hold all similarities."""
        index = self.columns.clamp_min(0)[:, :, None]
        return self.view.embeddings.gather(1, index.expand(-1, -1, self.view.embeddings.shape[2]))

    @cached_property
    def _table(self) -> Tensor | None:
        """Similarities of all rows to the landmarks ``(E, P, J)``; None where they are too many."""
        if self.everyone and (held := self.view.pool_similarity) is not None:
            return held
        if self.view.ids.numel() * self.columns.shape[1] > TABLE:
            return None
        return self.times(self.view.embeddings, self.embeddings)

    def times(self, rows: Tensor, others: Tensor) -> Tensor:
        """Products ``(E, R, k)`` of vectors ``(E, R, i)`` with others ``(E, k, i)``."""
        return row_products(rows, others) if self.few else torch.bmm(rows, others.transpose(1, 2))

    def blocks(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Walk through the similarities of all rows to the landmarks.

        Yields:
            Episodes, columns and their similarities ``(e, B, J)``, which are not to be changed.
        """
        view, held = self.view, self._table
        width = min(max(BLOCK // self.columns.shape[1], 1), view.width)
        episodes = max(BLOCK // (width * self.columns.shape[1]), 1) if width == view.width else 1
        for first in range(0, view.n_episodes, episodes):
            some = slice(first, first + episodes)
            for start in range(0, view.width, width):
                rows = slice(start, start + width)
                if held is not None:
                    yield some, rows, held[some, rows]
                else:
                    products = torch.bmm(view.embeddings[some, rows], self.embeddings[some].transpose(1, 2))
                    yield some, rows, products

    @cached_property
    def _kernels(self) -> Tensor | None:
        """The kernel between all rows and the landmarks ``(E, P, J)``, where a table of few rows is held."""
        if not self.few or self._table is None:
            return None
        held = large_array(*self._table.shape, device=self.view.device)
        for some, rows, similarity in self.blocks():
            kernel(similarity, self.tau[some], out=held[some, rows])
        return held

    def kernels(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Walk through the kernel between all rows and the landmarks, as ``blocks`` does."""
        held = self._kernels
        for some, rows, similarity in self.blocks():
            yield some, rows, kernel(similarity, self.tau[some]) if held is None else held[some, rows]

    def kernel_of(self, rows: Tensor) -> Tensor:
        """The kernel between few columns ``(E, R)`` and the landmarks ``(E, R, J)``."""
        held = self._kernels
        return kernel(self.similarity_of(rows), self.tau) if held is None else rows_of(held, rows)

    def similarity_of(self, rows: Tensor) -> Tensor:
        """Similarities of few columns ``(E, R)`` to the landmarks ``(E, R, J)``."""
        held = self._table
        if held is not None:
            return rows_of(held, rows)
        return torch.bmm(rows_of(self.view.embeddings, rows), self.embeddings.transpose(1, 2))

    def product(self, vectors: Tensor) -> Tensor:
        """Vectors ``(E, k, J)`` times the similarities of the landmarks to all rows, ``(E, k, P)``."""
        held = self._table
        if held is not None:
            return self.times(held, vectors).transpose(1, 2)
        return torch.bmm(torch.bmm(vectors, self.embeddings), self.view.embeddings.transpose(1, 2))


def rows_of(array: Tensor, rows: Tensor) -> Tensor:
    """Rows ``(E, R)`` of the middle axis of ``(E, P, k)``."""
    if not array.is_contiguous():
        return array.gather(1, rows[:, :, None].expand(-1, -1, array.shape[2]))
    # Whole rows are copied at once, where a gather looks up every number.
    first = torch.arange(0, array.shape[0] * array.shape[1], array.shape[1], device=rows.device)
    places = (rows + first[:, None]).flatten()
    found = large_array(*rows.shape, array.shape[2], device=array.device)
    torch.index_select(array.flatten(0, 1), 0, places, out=found.view(-1, array.shape[2]))
    return found
