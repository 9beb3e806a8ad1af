"""The rows of the pools of E running episodes: which there are, what they cost, how alike they are.

Nothing in here needs a learner. P is the pool width; positions along it are *columns*, private to one view:
what leaves a strategy are row ids of the corpus.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.copies import CopyPairs
from react_rl.seeding import Streams
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.notebook import Notebook
from react_rl.simulation.progress import Progress
from react_rl.simulation.purchases import PENNY

T = TypeVar("T")


def as_they_are(values: Tensor) -> Tensor:
    """What ``level`` does where no two rows are equal."""
    return values


class PoolRows:
    """Rows of E episodes in the current round; arrays share memory with the engine until the next one.

    Args:
        ids: ``(E, P)`` int64 row ids, ascending; columns past an episode's pool carry the largest int64.
        available: ``(E, P)`` bool: unlabelled rows that the episode can still pay for.
        labelled: ``(E, P)`` bool.
        cost: ``(E, P)`` float64 cost units.
        density: ``(E, P)`` float32, mean similarity of each row to its nearest neighbours in the corpus.
        geometry: Similarities between columns.
        streams: The episodes' random streams; strategies draw from ``strategy`` only.
        progress: Budget and dev metric.
        notebooks: What strategies remember of each episode.
    """

    def __init__(
        self,
        ids: Tensor,
        available: Tensor,
        labelled: Tensor,
        cost: Tensor,
        density: Tensor,
        geometry: Geometry,
        streams: Sequence[Streams | None],
        progress: Progress,
        notebooks: Sequence[Notebook] = (),
    ) -> None:
        self.ids = ids
        self.available = available
        self.labelled = labelled
        self.cost = cost
        self.density = density
        self.progress = progress
        self._geometry = geometry
        self._streams = streams
        self._notebooks = notebooks
        self.picks = ids[:, :0]  # (E, j) columns bought since the round's start, -1 for none
        self._start: Self | None = None

    @property
    def start(self) -> Self:
        """The same at the round's start, before the first pick."""
        return self._start or self

    @property
    def n_episodes(self) -> int:
        """E."""
        return self.ids.shape[0]

    @property
    def width(self) -> int:
        """P, the width of the widest pool."""
        return self.ids.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the arrays."""
        return self.ids.device

    @cached_property
    def in_pool(self) -> Tensor:
        """Columns that hold a row of the episode's pool ``(E, P)`` bool."""
        return self.ids < torch.iinfo(self.ids.dtype).max

    def columns_of(self, ids: Tensor) -> Tensor:
        """Columns ``(E, b)`` of row ids of the pools; -1 stays -1."""
        columns = torch.searchsorted(self.ids, ids.contiguous()).clamp_(max=self.width - 1)
        return torch.where(ids >= 0, columns, -1)

    @cached_property
    def n_available(self) -> Tensor:
        """Rows that can be bought, ``(E,)`` int64."""
        return self.available.sum(1)

    @property
    def copy_groups(self) -> Tensor | None:
        """First column with the same embedding, for each column ``(E, P)``; None without copies."""
        return self._geometry.copy_groups(self.width)

    @property
    def copy_members(self) -> Tensor | None:
        """Columns that have a copy ``(3, M)``: episode, column, number of the group; None without copies."""
        return self._geometry.copy_members(self.width)

    @cached_property
    def _copies(self) -> CopyPairs | None:
        members = self.copy_members
        return None if members is None else self._geometry.copy_pairs(members, self.available)

    @property
    def copy_pairs(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Episode, column and first available copy (often itself) of M columns; None without copies."""
        return None if self._copies is None else self._copies.pairs

    def level(self, values: Tensor) -> Tensor:
        """Give copies one value: products round equal rows differently, depending on where they are.

        Args:
            values: ``(E, ..., P)``.

        Returns:
            The same shape; ``values`` itself where no two rows are equal.
        """
        return values if self._copies is None else self._copies.level(values)

    @cached_property
    def embeddings(self) -> Tensor:
        """Unit-norm embeddings ``(E, P, D)`` float32; columns past a pool hold some other row's.

        Often a gather of P rows for each episode: ask for it only where similarities do not suffice. To be
        read only.
        """
        return self._geometry.embeddings(self.width)

    @cached_property
    def surprisal(self) -> Tensor:
        """Unit-norm surprisal vectors ``(E, P, S)`` float32; columns past a pool hold some other row's.

        Raises:
            ReActError: They were not computed, because nothing asked for them or the model cannot.
        """
        return self._geometry.surprisal(self.width)

    def similarity_of_pick(self, columns: Tensor) -> Tensor:
        """Cosine similarity of one picked column of each episode ``(E,)`` to the pool, ``(E, P)``."""
        return self.level(self._geometry.pick(columns)[:, : self.width])

    @property
    def pool_similarity(self) -> Tensor | None:
        """Cosine similarities between all rows ``(E, P, P)``, to be read only; None where too many."""
        return self._geometry.pool_similarity(self.width)

    @property
    def words(self) -> Tensor:
        """Words of each text ``(E, P)`` int64."""
        return self._geometry.words(self.width)

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What depends on the pools alone, never on labels: computed once for all rounds of the episodes."""
        return self._geometry.kept(name, compute)

    def only(self, episodes: npt.NDArray[np.bool_]) -> Self:
        """The same view, where nothing is bought and no number drawn outside ``episodes`` ``(E,)``."""
        other = self._another()
        other.available = self.available & torch.from_numpy(episodes).to(self.device)[:, None]
        other._streams = [s if keep else None for s, keep in zip(self._streams, episodes, strict=True)]
        return other

    def after(self, picks: Tensor) -> Self:
        """The same round once ``picks`` ``(E, j)`` (columns, -1: none) are bought, their labels unknown."""
        other, taken = self._another(), chosen_columns(picks, self.width)
        spent = self.progress.spent + torch.where(taken, self.cost, 0.0).sum(1).cpu().numpy()
        left = torch.from_numpy(self.progress.budget - spent).to(self.device)
        other.available = self.available & ~taken & (self.cost <= left[:, None] + PENNY)
        other.labelled = self.labelled | taken
        other.progress = replace(self.progress, spent=spent)
        other.picks, other._start = torch.cat([self.picks, picks], 1), self.start
        return other

    def within(self, rows: Tensor) -> Self:
        """The same view, where only ``rows`` ``(E, P)`` can be bought."""
        other = self._another()
        other.available = self.available & rows
        return other

    def _another(self) -> Self:
        """A copy without what depends on which rows are available."""
        other = copy.copy(self)
        for name in ("n_available", "_copies"):
            other.__dict__.pop(name, None)
        return other

    def random(self) -> Tensor:
        """Uniform numbers ``(E, P)`` float64, each episode's from its own strategy stream."""
        numbers = np.zeros(self.ids.shape)
        for row, streams in zip(numbers, self._streams, strict=True):
            if streams is not None:
                row[:] = streams.strategy.random(self.width)
        return torch.from_numpy(numbers).to(self.device)

    def random_of_pick(self) -> Tensor:
        """Uniform numbers ``(E, P)`` float64 that follow from episode, round and pick: always the same."""
        picks, numbers = (self.picks >= 0).sum(1).tolist(), np.zeros(self.ids.shape)
        for row, streams, *moment in zip(numbers, self._streams, self.progress.rounds, picks, strict=True):
            if streams is not None:
                row[:] = streams.at(*map(int, moment)).random(self.width)
        return torch.from_numpy(numbers).to(self.device)

    def generator_at(self, episode: int, *moment: int) -> np.random.Generator | None:
        """Numbers that follow from episode and moment alone, the same each time; None outside the view."""
        streams = self._streams[episode]
        return None if streams is None else streams.at(*moment)

    def generator(self, episode: int) -> np.random.Generator:
        """The strategy stream of one episode."""
        streams = self._streams[episode]
        assert streams is not None, "an episode outside the view draws no numbers"
        return streams.strategy

    def notebook(self, episode: int) -> Notebook:
        """What strategies have written down about an episode since it began; theirs to write on."""
        return self._notebooks[episode]
