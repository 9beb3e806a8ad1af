"""The labelled rows and the picks of the batch so far: what features that change within a batch look at."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from react_rl.acquisition.committees import lasting_committee
from react_rl.acquisition.disagreements import mutual_information
from react_rl.acquisition.features.clusters import ClusterGaps
from react_rl.acquisition.features.coverage import KernelCoverage
from react_rl.acquisition.features.kernel import near_labelled, votes
from react_rl.acquisition.features.landmarks import Landmarks, kernel, rows_of
from react_rl.acquisition.features.posterior import Posterior
from react_rl.acquisition.features.rows import gini
from react_rl.encoders.copies import first_copies
from react_rl.simulation.view import PoolView


class Growth:
    """A batch that grows pick by pick. Its parts are made when a feature first asks for them.

    Args:
        view: The pools at the round's start.
        landmarks: The rows that stand for them; None lets them be found.
    """

    def __init__(self, view: PoolView, landmarks: Landmarks | None = None) -> None:
        self.view = view
        if landmarks is not None:
            self.landmarks = landmarks
        self._rows: Tensor | None = None
        self._among: Tensor | None = None  # (E, R, R) similarities, of few rows of large pools
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
    def mass(self) -> Tensor:
        """Sum of the kernel over labelled and picked rows ``(E, R)``."""
        return self.own(near_labelled(self.landmarks).sum(1))

    @cached_property
    def gini(self) -> Tensor:
        """Chance that two labels from each row's prediction differ ``(E, R)``."""
        return self.own(gini(self.view))

    @cached_property
    def votes(self) -> Tensor:
        """Class shares among the labelled neighbours of each row ``(E, C, P)``."""
        return votes(self.landmarks)

    @cached_property
    def coverage(self) -> KernelCoverage:
        """How well labelled and picked rows cover the pool."""
        return KernelCoverage(self.landmarks)

    @cached_property
    def posterior(self) -> Posterior:
        """The Gaussian process that goes with the learner."""
        return Posterior(self.landmarks)

    @cached_property
    def information(self) -> Tensor:
        """What the label of each row says about ten heads that stay for the episode ``(E, P)``."""
        return mutual_information(lasting_committee(self.view).logits())

    @cached_property
    def clusters(self) -> ClusterGaps:
        """Which clusters have few labels and picks for their size."""
        return ClusterGaps(self.landmarks)

    def own(self, values: Tensor) -> Tensor:
        """What the rows that this speaks of have of ``values`` ``(E, P)``, as ``(E, R)``."""
        return values if self._rows is None else values.gather(1, self._rows)

    def level(self, values: Tensor) -> Tensor:
        """Give copies among the rows that this speaks of one of their values ``(E, R)`` or ``(E, F, R)``."""
        if self._rows is None:
            return self.view.level(values)
        if self._first is None:
            return values
        first = self._first if values.dim() == 2 else self._first[:, None].expand(values.shape)
        return values.gather(-1, first)

    def add(self, columns: Tensor, last: bool = False) -> None:
        """Count one picked column of each episode ``(E,)`` as labelled. Mutates.

        Only parts that were asked for before know of it.

        Args:
            columns: The picks.
            last: Whether nobody asks for features any more; the engine still learns of similarities that it
                needs for buying the rows.
        """
        known = self.__dict__
        similarity, to_landmarks = self._similarity_of(columns)
        if last:
            return
        if "nearest" in known:
            known["nearest"] = torch.maximum(self.nearest, similarity)
        if "mass" in known:
            known["mass"] = self.mass + kernel(similarity, self.landmarks.tau)
        if "coverage" in known:
            self.coverage.add(to_landmarks())
        if "posterior" in known:
            self.posterior.add(columns, similarity)
        if "clusters" in known:
            self.clusters.add(columns[:, None])

    def _similarity_of(self, columns: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        """Similarity of one column of each episode to the rows ``(E, R)`` and to the landmarks ``(E, J)``."""
        if self._among is not None and self._rows is not None:
            place = torch.searchsorted(self._rows, columns.contiguous()[:, None])
            place.clamp_max_(self._rows.shape[1] - 1)
            chosen = self._rows.gather(1, place)
            return rows_of(self._among, place)[:, 0], lambda: self.landmarks.similarity_of(chosen)[:, 0]
        held = None
        if "landmarks" in self.__dict__ and self.landmarks.everyone:
            held = self.view.pool_similarity
        if held is None:
            whole = self.view.similarity_of_pick(columns)
        else:
            whole = rows_of(held, columns[:, None])[:, 0]
        return self.own(whole), lambda: self.landmarks.of(whole)

    def absorb(self, columns: Tensor) -> None:
        """Count picked columns ``(E, K)`` as labelled, all at once; as ``add`` one by one. Mutates.

        No row was left out by ``narrow`` before.
        """
        known, vectors = self.__dict__, self.view.embeddings
        similarity = torch.bmm(rows_of(vectors, columns), vectors.transpose(1, 2))  # (E, K, P)
        if "nearest" in known:
            known["nearest"] = torch.maximum(self.nearest, similarity.amax(1))
        if "mass" in known:
            known["mass"] = self.mass + kernel(similarity, self.landmarks.tau).sum(1)
        if "coverage" in known:
            self.coverage.add(self.landmarks.of(similarity).amax(1))
        if "posterior" in known:
            self.posterior.absorb(columns, similarity)
        if "clusters" in known:
            self.clusters.add(columns)

    def narrowed(self, rows: Tensor) -> Growth:
        """One like this that speaks of the columns ``(E, R)`` only; this one stays as it is."""
        other = copy(self)
        for part in ("coverage", "posterior", "clusters"):
            if part in self.__dict__:
                other.__dict__[part] = copy(self.__dict__[part])
        other.narrow(rows)
        return other

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on, ascending; picks are among them. Mutates."""
        for name in ("nearest", "mass", "gini"):
            if name in self.__dict__:
                self.__dict__[name] = self.__dict__[name].gather(1, rows)
        for part in ("coverage", "posterior"):
            if part in self.__dict__:
                getattr(self, part).narrow(rows)
        self._rows = rows.contiguous()
        if "landmarks" in self.__dict__ and not self.landmarks.everyone:
            vectors = rows_of(self.view.embeddings, rows)
            self._among = torch.bmm(vectors, vectors.transpose(1, 2))
        if (groups := self.view.copy_groups) is not None:
            self._first = first_copies(groups.gather(1, rows), torch.ones_like(rows, dtype=torch.bool))
