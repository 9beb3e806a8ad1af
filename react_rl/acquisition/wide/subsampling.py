"""Subsampling: any strategy on a few thousand rows of each pool, drawn again every round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.naming import checked_base
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

SUBSAMPLE: Final = "subsample:"
"""How the name of a subsampled strategy begins: ``subsample:badge``, or ``subsample:1000:badge``."""

CANDIDATES: Final = 4096
"""Candidates where a name does not say how many."""


@dataclass(frozen=True)
class Subsampled:
    """Another strategy that sees only a random part of each pool, beside the labelled rows.

    In each round ``size`` of the rows that can be bought are drawn evenly without replacement, and the base
    strategy works on a pool of these and the labelled rows, so that its time and memory do not grow with
    the pool. What it says of the pool as a whole (coverage, density of the remaining rows) it says of the
    part. Pools of at most ``size`` rows, or batches of more, are left whole.

    Source: the usual remedy for pools that are too large to be searched, e.g. Ertekin et al. 2007, Learning
    on the border: active learning in imbalanced data classification (59 random rows a pick).

    Args:
        name: Name in tables and configs.
        base: Strategy that chooses among the candidates.
        size: Candidates.

    Raises:
        ReActError: ``size`` is below 1.
    """

    name: str
    base: QueryStrategy
    size: int = CANDIDATES

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ReActError(f"{self.name!r} draws {self.size} candidates; draw at least 1.")

    def score(self, view: PoolView) -> Tensor:
        """Scores of the base ``(E, P)`` float64; rows that were not drawn come below all others."""
        scores = torch.zeros(view.ids.shape, dtype=torch.float64, device=view.device)
        for part, episodes, columns in self._parts(view, view.progress.batch_size):
            found = self.base.score(part).double()
            lowest = torch.where(part.available, found, torch.inf).amin(1, keepdim=True)
            scores[episodes] = lowest - 1.0
            scores[episodes[:, None], columns] = found
        return scores

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` of the candidates."""
        ids = torch.full((view.n_episodes, n), -1, dtype=torch.int64, device=view.device)
        for part, episodes, _ in self._parts(view, n):
            ids[episodes] = self.base.select(part, n)
        return ids

    def _parts(self, view: PoolView, n: int) -> Iterator[tuple[NarrowView, Tensor, Tensor]]:
        """Narrow views of candidates and labelled rows, their episodes ``(F,)`` and columns ``(F, S)``.

        Episodes with as many rows go together. So nothing has to be padded, and what an episode draws does
        not depend on the others.
        """
        groups: dict[int, list[tuple[int, Tensor]]] = {}
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            columns = self._columns(view, episode, max(self.size, n))
            groups.setdefault(columns.numel(), []).append((episode, columns))
        for members in groups.values():
            episodes = torch.tensor([episode for episode, _ in members], device=view.device)
            columns = torch.stack([found for _, found in members])
            yield NarrowView(view, episodes, columns), episodes, columns

    def _columns(self, view: PoolView, episode: int, size: int) -> Tensor:
        """Columns of the candidates and the labelled rows of one episode, ascending."""
        free = torch.nonzero(view.available[episode])[:, 0].cpu().numpy()
        if free.size > size:
            free = view.generator(episode).choice(free, size, replace=False, shuffle=False)
        bought = torch.nonzero(view.labelled[episode])[:, 0].cpu().numpy()
        return torch.from_numpy(np.sort(np.concatenate([free, bought]))).to(view.device)


def parse_subsample(name: str) -> tuple[str, int]:
    """Base and size of a name that begins with ``SUBSAMPLE``.

    Raises:
        ReActError: There is no name of a strategy in it, or the size is no number.
    """
    first, colon, rest = name.removeprefix(SUBSAMPLE).partition(":")
    base, size = (rest, first) if colon and first.isdecimal() else (first + colon + rest, str(CANDIDATES))
    return checked_base(name, base, SUBSAMPLE, f"{SUBSAMPLE}badge or {SUBSAMPLE}1000:badge"), int(size)
