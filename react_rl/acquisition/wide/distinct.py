"""No near-copies in a batch: any strategy, without rows that are nearly equal to one that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.naming import numbered_base
from react_rl.errors import ReActError
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.view import PoolView

DISTINCT: Final = "distinct:"
"""How the name of such a strategy begins: ``distinct:mnlp``, or ``distinct:0.9:mnlp``."""

NEAR: Final = 0.95
"""Cosine similarity from which rows count as nearly equal, where a name does not say."""


@dataclass(frozen=True)
class Distinct:
    """Another strategy that passes over rows nearly equal to a labelled row or to one of the same batch.

    The base chooses a batch; of rows that are nearly equal the first one stays, and the base chooses again
    among what is left until the batch is full. Where nothing else is left, near-copies are taken after all.

    Source: the usual remedy for corpora with repeated sentences, e.g. the similarity filter of Shen et al.
    2004, Multi-criteria-based active learning for named entity recognition.

    Args:
        name: Name in tables and configs.
        base: Strategy that chooses.
        similarity: Cosine similarity of frozen embeddings from which rows count as nearly equal.

    Raises:
        ReActError: ``similarity`` is not between 0 and 1.
    """

    name: str
    base: QueryStrategy
    similarity: float = NEAR

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise ReActError(
                f"{self.name!r} calls rows of similarity {self.similarity:g} nearly equal; "
                "take a number above 0, and at most 1."
            )

    def score(self, view: PoolView) -> Tensor:
        """Scores of the base ``(E, P)``; rows nearly equal to a labelled one come below all others."""
        scores = self.base.score(view)
        span = torch.where(view.available, scores, torch.nan).nan_to_num(0.0).abs().amax(1, keepdim=True)
        return torch.where(self._fresh(view), scores, scores - 2.0 * span - 1.0)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows of each pool."""
        batch = _Batch(view, n)
        allowed = self._fresh(view)
        while batch.wants(allowed).any():
            if not batch.add(self.base, allowed, self.similarity):
                break
        while batch.wants(view.available).any():
            if not batch.add(self.base, view.available, None):
                break
        return batch.ids

    def _fresh(self, view: PoolView) -> Tensor:
        """Rows ``(E, P)`` that can be bought and are not nearly equal to a labelled one."""
        return view.available & (view.nearest_labelled < self.similarity)


class _Batch:
    """A batch that fills up.

    Args:
        view: The pools.
        n: Rows wanted.
    """

    def __init__(self, view: PoolView, n: int) -> None:
        self._view = view
        self._everyone = torch.arange(view.n_episodes, device=view.device)
        self.columns = torch.full((view.n_episodes, n), -1, dtype=torch.int64, device=view.device)
        self._size = torch.zeros(view.n_episodes, dtype=torch.int64, device=view.device)
        self._left = view.available.clone()
        """Rows that are neither in the batch nor ruled out ``(E, P)``."""

    @property
    def ids(self) -> Tensor:
        """Row ids ``(E, n)``, -1 for none."""
        found = self._view.ids.gather(1, self.columns.clamp_min(0))
        return torch.where(self.columns >= 0, found, -1)

    def wants(self, allowed: Tensor) -> Tensor:
        """Episodes ``(E,)`` whose batch is not full though a row of ``allowed`` ``(E, P)`` is left."""
        return (self._size < self.columns.shape[1]) & (self._left & allowed).any(1)

    def add(self, base: QueryStrategy, allowed: Tensor, similarity: float | None) -> bool:
        """Let ``base`` choose among ``allowed`` rows; returns whether a row came in. Mutates.

        Args:
            base: The strategy.
            allowed: ``(E, P)`` bool.
            similarity: From which rows are ruled out beside one that comes in; None rules out none.
        """
        view, n = self._view, self.columns.shape[1]
        if similarity is None:
            self._left = view.available & ~chosen_columns(self.columns, view.width)
        due = self.wants(allowed)
        chosen = base.select(view.within(self._left & allowed & due[:, None]), n)
        before = int(self._size.sum())
        for one in chosen.unbind(1):
            column = view.columns_of(one[:, None])[:, 0].clamp_min(0)
            comes = (one >= 0) & self._left[self._everyone, column] & (self._size < n)
            at = self._size.clamp_max(n - 1)
            self.columns[self._everyone, at] = torch.where(comes, column, self.columns[self._everyone, at])
            self._size += comes
            gone = torch.zeros_like(self._left)
            gone[self._everyone, column] = True
            if similarity is not None:
                gone |= view.similarity_of_pick(column) >= similarity
            self._left &= ~(gone & comes[:, None])
        return int(self._size.sum()) > before


def parse_distinct(name: str) -> tuple[str, float]:
    """Base and similarity of a name that begins with ``DISTINCT``.

    Raises:
        ReActError: There is no name of a strategy in it.
    """
    return numbered_base(name, DISTINCT, NEAR, f"{DISTINCT}mnlp or {DISTINCT}0.9:mnlp")
