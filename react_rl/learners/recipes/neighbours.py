"""The nearest pool rows of every column of an episode, and of other rows: found once for each draw.

Only pool rows are ever neighbours. Dev and test rows look into the pool and are not seen from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.protocol import Rows

_BLOCK: Final = 1 << 22
"""Similarities held at once."""


@dataclass(frozen=True)
class Neighbours:
    """Nearest pool rows of N rows in each of R episodes.

    Args:
        columns: ``(R, N, k)`` int64 pool columns, nearest first.
        similarity: ``(R, N, k)`` float32; -inf where a pool has fewer rows.
    """

    columns: Tensor
    similarity: Tensor

    def weights(self, temperature: float) -> Tensor:
        """Weights ``(R, N, k)`` of the neighbours, of sum 1."""
        return torch.softmax(self.similarity / temperature, 2)

    def evenly(self) -> Tensor:
        """The same weight for each neighbour that there is ``(R, N, k)``, of sum 1."""
        there = torch.isfinite(self.similarity).float()
        return there / there.sum(2, keepdim=True).clamp_min(1.0)

    def mean(self, values: Tensor, weights: Tensor) -> Tensor:
        """Weighted means ``(R, N, C)`` of values ``(R, W, C)`` of the neighbours."""
        episodes, width, n_classes = values.shape
        first = torch.arange(episodes, device=values.device)[:, None, None] * width
        found = torch.nn.functional.embedding_bag(
            (self.columns + first).flatten(0, 1),
            values.reshape(-1, n_classes),
            per_sample_weights=weights.flatten(0, 1),
            mode="sum",
        )
        return found.view(episodes, -1, n_classes)


def nearest(rows: Rows, queries: Tensor, pool: Tensor, columns: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the nearest pool rows of some rows, themselves excluded.

    Args:
        rows: The corpus with its embeddings.
        queries: ``(N,)`` int64 row ids.
        pool: ``(P,)`` int64 row ids.
        columns: ``(P,)`` int64 columns of the pool rows.
        k: Neighbours of each.

    Returns:
        Columns ``(N, k)`` int64 and similarities ``(N, k)`` float32, -inf where there are fewer rows.
    """
    n, size = queries.numel(), pool.numel()
    near = torch.zeros(n, k, dtype=torch.int64, device=queries.device)
    similarity = torch.full((n, k), -torch.inf, device=queries.device)
    kept = min(k, size)
    step = max(1, _BLOCK // size)
    for start in range(0, n, step):
        some = slice(start, start + step)
        own = queries[some]
        products = (
            rows.embeddings[own] @ rows.embeddings[pool].T
            if rows.gram is None
            else rows.gram[own].index_select(1, pool)
        )
        products = products.masked_fill(own[:, None] == pool[None], -torch.inf)
        best = products.topk(kept, dim=1)
        similarity[some, :kept], near[some, :kept] = best.values, columns[best.indices]
    return near, similarity


class PoolGraph:
    """Neighbours in the pools of E episodes, found when first asked for.

    Args:
        corpora: The engine's corpora.
        n_episodes: E.
        n_columns: W.
        device: Where all arrays are.
    """

    def __init__(
        self, corpora: Sequence[Rows], n_episodes: int, n_columns: int, device: torch.device
    ) -> None:
        self._corpora = list(corpora)
        self._corpus = [0] * n_episodes
        self._device = device
        self.ids = torch.full((n_episodes, n_columns), -1, dtype=torch.int64, device=device)
        """Row ids of the columns ``(E, W)``, -1 in unused ones."""
        self.pool = torch.zeros(n_episodes, n_columns, dtype=torch.bool, device=device)
        """Columns of the pools ``(E, W)``."""
        self._whole = self.pool.clone()
        self.arrived = torch.ones_like(self.pool)
        """Columns that have come by now ``(E, W)``; all of them on a corpus without phases."""
        self._found: dict[int, dict[int, tuple[Tensor, Tensor]]] = {}
        self._others: dict[int, dict[int, tuple[Tensor, Tensor, Tensor]]] = {}

    def place(self, episode: int, corpus: int, rows: Tensor, dev_labels: Tensor) -> None:
        """Set what the columns of an episode stand for, see ``Learner.place``. Mutates."""
        self._corpus[episode] = corpus
        self.ids[episode] = rows
        self.pool[episode] = self._whole[episode] = (rows >= 0) & (dev_labels < 0)
        self.arrived[episode] = True
        self._forget(episode)

    def narrow(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """Keep to the columns ``(R, W)`` of some episodes that have come. Mutates."""
        for episode, come in zip(episodes, arrived, strict=True):
            self.arrived[episode] = come
            self.pool[episode] = self._whole[episode] & come
            self._forget(episode)

    def _forget(self, episode: int) -> None:
        for found in self._found.values():
            found.pop(episode, None)
        for others in self._others.values():
            others.pop(episode, None)

    def repeated(self, times: int) -> PoolGraph:
        """Every episode ``times`` times, side by side, with what was found."""
        other = PoolGraph.__new__(PoolGraph)
        other._corpora, other._device = self._corpora, self._device
        other._corpus = [corpus for corpus in self._corpus for _ in range(times)]
        for name in ("ids", "pool", "arrived", "_whole"):
            setattr(other, name, getattr(self, name).repeat_interleave(times, 0))
        other._found = {
            k: {e * times + t: one for e, one in known.items() for t in range(times)}
            for k, known in self._found.items()
        }
        other._others = {}
        return other

    def rows_of(self, episode: int) -> Rows:
        """Corpus of an episode."""
        return self._corpora[self._corpus[episode]]

    def of_columns(self, episodes: Sequence[int], k: int) -> Neighbours:
        """Neighbours of all columns of some episodes, N = W; unused columns have some row's."""
        known = self._found.setdefault(k, {})
        for episode in episodes:
            if episode not in known:
                known[episode] = self._nearest(episode, self.ids[episode].clamp_min(0), k)
        return self._stacked([known[e] for e in episodes])

    def of_rows(self, episodes: Sequence[int], rows: Sequence[Tensor], k: int) -> Neighbours:
        """Neighbours of other rows, N of them ``(N,)`` for each of some episodes, e.g. of a test split."""
        known = self._others.setdefault(k, {})
        for episode, own in zip(episodes, rows, strict=True):
            if episode not in known or not torch.equal(known[episode][0], own):
                known[episode] = (own, *self._nearest(episode, own, k))
        return self._stacked([known[e][1:] for e in episodes])

    def similarity(self, episodes: Sequence[int], columns: Tensor) -> Tensor:
        """Similarity of columns ``(R, m)`` of some episodes to all their columns, ``(R, m, W)``."""
        found = []
        for episode, own in zip(episodes, columns, strict=True):
            rows, ids = self.rows_of(episode), self.ids[episode].clamp_min(0)
            if rows.gram is None:
                found.append(rows.embeddings[ids[own]] @ rows.embeddings[ids].T)
            else:
                found.append(rows.gram[ids[own]].index_select(1, ids))
        return torch.stack(found)

    def embeddings(self, episodes: Sequence[int], columns: Tensor) -> Tensor:
        """Embeddings ``(R, m, D)`` of columns ``(R, m)`` of some episodes."""
        pairs = zip(episodes, columns, strict=True)
        return torch.stack([self.rows_of(e).embeddings[self.ids[e, own].clamp_min(0)] for e, own in pairs])

    def products(self, weights: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """Products ``(E, C, T)`` of weights ``(E, C, D)`` with other rows ``(T,)`` of each episode."""
        first = rows[0]
        if len(set(self._corpus)) == 1 and all(one is first or torch.equal(one, first) for one in rows):
            return torch.matmul(weights, self.rows_of(0).embeddings[first].T)
        vectors = [self.rows_of(e).embeddings[own].T for e, own in enumerate(rows)]
        return torch.stack([own @ vector for own, vector in zip(weights, vectors, strict=True)])

    def _nearest(self, episode: int, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        columns = torch.nonzero(self.pool[episode])[:, 0]
        return nearest(self.rows_of(episode), queries, self.ids[episode, columns], columns, k)

    def _stacked(self, found: Sequence[tuple[Tensor, Tensor]]) -> Neighbours:
        columns, similarity = zip(*found, strict=True)
        return Neighbours(torch.stack(columns), torch.stack(similarity))
