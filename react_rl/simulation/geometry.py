"""Inner products between bought rows and the columns (pool and dev rows) of E episodes.

The products of a row are needed once and serve novelty, refit and prediction together; the rows that a
strategy looked at while it picked are remembered until the round ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from react_rl.encoders.copies import CopyPairs, copy_groups, copy_members
from react_rl.errors import ReActError
from react_rl.large_arrays import large_array
from react_rl.simulation.encoded import EncodedCorpus

T = TypeVar("T")

HELD: Final = 1 << 26
"""Most similarities between the rows of all pools that are held at once (256 MiB)."""


class Geometry:
    """Similarities for E episodes on different corpora.

    Args:
        corpora: The engine's corpora, all of one embedding dimension D.
        n_episodes: E.
        n_columns: W, pool columns and dev columns together.
        device: Where the episodes live.
    """

    def __init__(
        self, corpora: Sequence[EncodedCorpus], n_episodes: int, n_columns: int, device: torch.device
    ) -> None:
        self._corpora = list(corpora)
        self._device = device
        self._ids = torch.zeros(n_episodes, n_columns, dtype=torch.int64, device=device)
        self._real = torch.zeros(n_episodes, n_columns, dtype=torch.bool, device=device)
        self._corpus = [0] * n_episodes
        self._groups: list[tuple[int, Tensor | None]] = [(0, None)]
        # Embeddings of the columns, kept only for corpora without a table of inner products.
        self._gathered: Tensor | None = None
        if any(corpus.gram is None for corpus in self._corpora):
            dimension = self._corpora[0].embeddings.shape[1]
            self._gathered = torch.zeros(n_episodes, n_columns, dimension, device=device)
        self._picked: list[tuple[Tensor, Tensor]] = []
        self._kept: dict[str, Any] = {}
        self._pairs: CopyPairs | None = None

    def place(self, episode: int, corpus: int, ids: Tensor) -> None:
        """Set the row ids ``(W,)`` of an episode's columns; unused columns carry -1. Mutates."""
        self.forget_kept()
        self._ids[episode], self._real[episode] = ids.clamp_min(0), ids >= 0
        self._corpus[episode] = corpus
        data = self._corpora[corpus]
        if self._gathered is not None and data.gram is None:
            self._gathered[episode] = data.embeddings[self._ids[episode]]

    @property
    def placed(self) -> tuple[list[int], Tensor]:
        """Corpus of each episode, and row ids of its columns ``(E, W)``, -1 where there is none; copies."""
        return list(self._corpus), torch.where(self._real, self._ids, -1)

    def forget_kept(self) -> None:
        """Drop what depends on the pools, because rows have come. Mutates."""
        self._kept.clear()
        self._pairs = None

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What depends on the placed rows alone, computed once until an episode is placed. Mutates."""
        if name not in self._kept:
            self._kept[name] = compute()
        found: T = self._kept[name]
        return found

    def pool_similarity(self, n_columns: int) -> Tensor | None:
        """Similarities between the first ``n_columns`` columns ``(E, P, P)``; None if they are too many."""
        if self._ids.shape[0] * n_columns**2 > HELD:
            return None
        return self.kept(f"similarity of {n_columns}", lambda: self._square(n_columns))

    def _square(self, n_columns: int) -> Tensor:
        ids = self._ids[:, :n_columns]
        result = large_array(*ids.shape, n_columns, device=self._device)
        store: Tensor | None = None  # whole rows of a table; fresh memory would take as long as reading it
        for episode, (corpus, own) in enumerate(zip(self._corpus, ids, strict=True)):
            data = self._corpora[corpus]
            if data.gram is not None:
                if store is None or store.shape[1] != data.gram.shape[1]:
                    store = torch.empty(n_columns, data.gram.shape[1], device=self._device)
                torch.index_select(
                    torch.index_select(data.gram, 0, own, out=store), 1, own, out=result[episode]
                )
            else:
                rows = data.embeddings[own]
                torch.mm(rows, rows.T, out=result[episode])
        return result

    def copy_groups(self, n_columns: int) -> Tensor | None:
        """First column with the same embedding, for each pool column ``(E, P)``; None without copies."""
        members = self.copy_members(n_columns)
        if members is None:
            return None
        return self.kept(f"copies of {n_columns}", lambda: copy_groups(members, len(self._ids), n_columns))

    def copy_members(self, n_columns: int) -> Tensor | None:
        """Which of the first columns have a copy, as ``copies.copy_members``; None without copies."""
        return self.kept(f"members of {n_columns}", lambda: self._copy_members(n_columns))

    def copy_pairs(self, members: Tensor, available: Tensor) -> CopyPairs:
        """Which copy each member takes its value from; kept, as rounds seldom buy such a row. Mutates.

        Args:
            members: ``(3, M)`` from ``copy_members``.
            available: ``(E, P)`` bool, columns that can be bought.
        """
        if self._pairs is None or not self._pairs.still_hold(members, available):
            self._pairs = CopyPairs(members, available[members[0], members[1]], available.shape[1])
        return self._pairs

    def _copy_members(self, n_columns: int) -> Tensor | None:
        if not any(corpus.has_copies for corpus in self._corpora):
            return None
        numbers = self._gather([corpus.copied[:, None] for corpus in self._corpora], n_columns)[:, :, 0]
        members = copy_members(torch.where(self._real[:, :n_columns], numbers, -1))
        return members if members.numel() else None

    def words(self, n_columns: int) -> Tensor:
        """Words of the texts of the first ``n_columns`` columns, ``(E, P)`` int64."""
        counts = [corpus.words[:, None] for corpus in self._corpora]
        return self.kept(f"words of {n_columns}", lambda: self._gather(counts, n_columns)[:, :, 0])

    def embeddings(self, n_columns: int) -> Tensor:
        """Unit-norm embeddings of the first ``n_columns`` columns, ``(E, P, D)`` float32, to be read only."""
        if self._gathered is not None and all(corpus.gram is None for corpus in self._corpora):
            return self._gathered[:, :n_columns]
        return self._gather([corpus.embeddings for corpus in self._corpora], n_columns)

    def surprisal(self, n_columns: int) -> Tensor:
        """Surprisal vectors of the first ``n_columns`` columns, ``(E, P, S)`` float32; a fresh array.

        Raises:
            ReActError: They were not computed for some corpus.
        """
        found = [corpus.surprisal for corpus in self._corpora if corpus.surprisal is not None]
        if len(found) < len(self._corpora):
            name = next(corpus.name for corpus in self._corpora if corpus.surprisal is None)
            raise ReActError(
                f"Corpus {name!r} carries no surprisal vectors, which strategy 'alps' needs; "
                "encode it with surprisal=True and a model that has a masked-LM head."
            )
        return self._gather(found, n_columns)

    def _gather(self, arrays: Sequence[Tensor], n_columns: int) -> Tensor:
        """Rows of the first columns from each corpus's array, ``(E, P, .)``."""
        if len(arrays) == 1:
            return arrays[0][self._ids[:, :n_columns]]
        rows = zip(self._corpus, self._ids[:, :n_columns], strict=True)
        return torch.stack([arrays[corpus][ids] for corpus, ids in rows])

    def regroup(self) -> None:
        """Note which episodes share a corpus, after episodes were placed. Mutates."""
        present = sorted(set(self._corpus))
        if len(present) == 1:
            self._groups = [(present[0], None)]
        else:
            corpus = torch.tensor(self._corpus, device=self._device)
            self._groups = [(c, torch.nonzero(corpus == c)[:, 0]) for c in present]
        self._picked.clear()

    def forget_picks(self) -> None:
        """Drop what was remembered for the round. Mutates."""
        self._picked.clear()

    def pick(self, columns: Tensor) -> Tensor:
        """Similarity of one picked pool column of each episode ``(E,)`` to all columns, ``(E, W)``."""
        rows = self._rows(columns[:, None])[:, 0]
        self._picked.append((columns, rows))
        return rows

    def rows(self, columns: Tensor) -> Tensor:
        """Similarity of pool columns ``(E, b)`` to all columns, ``(E, b, W)`` float32."""
        if len(self._picked) == columns.shape[1]:
            remembered = torch.stack([pick for pick, _ in self._picked], 1)
            if torch.equal(remembered, columns):
                return torch.stack([rows for _, rows in self._picked], 1)
        return self._rows(columns)

    def rows_of(self, episodes: Tensor, columns: Tensor) -> Tensor:
        """Similarity of pool columns ``(R, b)`` of some episodes to all their columns, ``(R, b, W)``."""
        result = torch.empty(*columns.shape, self._ids.shape[1], device=self._device)
        for position, episode in enumerate(episodes.tolist()):
            corpus = self._corpora[self._corpus[episode]]
            chosen = torch.tensor([episode], device=self._device)
            result[position] = self._products(corpus, chosen, columns[position : position + 1])[0]
        return result

    def _rows(self, columns: Tensor) -> Tensor:
        corpus, members = self._groups[0]
        if members is None:
            return self._products(self._corpora[corpus], None, columns)
        result = torch.empty(*columns.shape, self._ids.shape[1], device=self._device)
        for corpus, members in self._groups:
            assert members is not None
            result[members] = self._products(self._corpora[corpus], members, columns[members])
        return result

    def _products(self, corpus: EncodedCorpus, members: Tensor | None, columns: Tensor) -> Tensor:
        ids = self._ids if members is None else self._ids[members]
        if corpus.gram is not None:
            # Whole rows first: reading them in order and then choosing is quicker than choosing alone.
            bought = corpus.gram.index_select(0, ids.gather(1, columns).flatten())
            if len(ids) == 1:
                return bought.index_select(1, ids[0])[None]
            return bought.view(*columns.shape, -1).gather(2, ids[:, None, :].expand(-1, columns.shape[1], -1))
        assert self._gathered is not None
        gathered = self._gathered if members is None else self._gathered[members]
        index = columns[:, :, None].expand(-1, -1, gathered.shape[2])
        return torch.bmm(gathered.gather(1, index), gathered.transpose(1, 2))
