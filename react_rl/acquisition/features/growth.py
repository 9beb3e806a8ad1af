"""The labelled rows and the picks of the batch so far: what features that change within a batch look at."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from react_rl.acquisition.features.kernel import KernelCoverage, near_labelled, votes
from react_rl.acquisition.features.landmarks import Landmarks
from react_rl.acquisition.features.posterior import Posterior
from react_rl.encoders.copies import first_copies
from react_rl.simulation.view import PoolView


class Growth:
    """A batch that grows pick by pick. Its parts are made when a feature first asks for them.

    Args:
        view: The pools at the round's start.
    """

    def __init__(self, view: PoolView) -> None:
        self.view = view
        self._rows: Tensor | None = None
        self._first: Tensor | None = None  # (E, R) place of each row's first copy, once there are few rows

    @cached_property
    def landmarks(self) -> Landmarks:
        """The rows that stand for the pool where features sum over it."""
        return Landmarks(self.view)

    @cached_property
    def nearest(self) -> Tensor:
        """Largest similarity of each row to a labelled or picked row ``(E, R)``."""
        nearest = self.view.nearest_labelled
        return nearest if self._rows is None else nearest.gather(1, self._rows)

    @cached_property
    def near_labelled(self) -> Tensor:
        """Kernel between the labelled rows and all rows ``(E, n, P)``."""
        return near_labelled(self.view)

    @cached_property
    def votes(self) -> Tensor:
        """Class shares among the labelled neighbours of each row ``(E, C, P)``."""
        return self.view.level(votes(self.view, self.near_labelled))

    @cached_property
    def coverage(self) -> KernelCoverage:
        """How well labelled and picked rows cover the pool."""
        return KernelCoverage(self.landmarks, self.near_labelled)

    @cached_property
    def posterior(self) -> Posterior:
        """The Gaussian process that goes with the learner."""
        return Posterior(self.landmarks)

    def own(self, values: Tensor) -> Tensor:
        """What the rows that this speaks of have of ``values`` ``(E, P)``, as ``(E, R)``."""
        return values if self._rows is None else values.gather(1, self._rows)

    def level(self, values: Tensor) -> Tensor:
        """Give copies among the rows that this speaks of one of their values ``(E, R)``."""
        if self._rows is None:
            return self.view.level(values)
        return values if self._first is None else values.gather(1, self._first)

    def add(self, columns: Tensor) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates.

        Only parts that were asked for before know of it.
        """
        similarity = self.view.similarity_of_pick(columns)
        if "nearest" in self.__dict__:
            self.__dict__["nearest"] = torch.maximum(self.nearest, self.own(similarity))
        for part in ("coverage", "posterior"):
            if part in self.__dict__:
                getattr(self, part).add(columns, similarity)

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on. Mutates."""
        if "nearest" in self.__dict__:
            self.__dict__["nearest"] = self.nearest.gather(1, rows)
        for part in ("coverage", "posterior"):
            if part in self.__dict__:
                getattr(self, part).narrow(rows)
        self._rows = rows
        if (groups := self.view.copy_groups) is not None:
            self._first = first_copies(groups.gather(1, rows), torch.ones_like(rows, dtype=torch.bool))
