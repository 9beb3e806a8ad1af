"""Coverage while the model knows little, margin once balls of pure rows cover the pool (DCoM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import best_column, to_ids
from react_rl.acquisition.features.landmarks import bandwidth
from react_rl.acquisition.wide.bounded import score_in_bounds, select_in_bounds
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

_HALVINGS: Final = 6
"""Of the interval from 0 to 2 that a radius is sought in: to .03, finer than the published .05."""


_SLACK: Final = 1e-3
"""Rows by which a share may miss what is needed, so that rounding decides nothing."""


@dataclass(frozen=True)
class Dcom:
    """Dynamic coverage and margin mix: ``c (1 - margin) + (1 - c) density``, both brought to 0 to 1.

    Every labelled row has a ball: the largest radius, sought by halving, at which a share of at least
    ``.4 + .2 coverage`` of the rows in it is predicted as the row is labelled. Coverage is the share of the
    pool in some ball. The density of a row is the number of uncovered rows that a ball of the mean radius
    around it would cover, and the competence ``c = (1 + e^(-s (1 - a))) / (1 + e^(-s (coverage - a)))``
    rises from 0 to 1 around coverage a. After each pick its ball (of the mean radius) is covered.

    Radii depend on the coverage and the coverage on the radii; the authors go on from those of the round
    before, here they are found with coverage 0 first and then once more, so that nothing has to be
    remembered. Without a label the radius follows from the density of the corpus. In pools of more than
    2,048 rows so many are drawn.

    Source: Mishal & Weinshall 2024, DCoM: active learning for all learners, algorithms 1 and 2, with the
    constants of their code.

    Args:
        name: Name in tables and configs.
        steepness: s.
        centre: a.

    Raises:
        ReActError: A setting is out of range.
    """

    name: str = "dcom"
    steepness: float = 50.0
    centre: float = 0.8

    def __post_init__(self) -> None:
        if not self.steepness > 0 or not 0 < self.centre < 1:
            raise ReActError(
                f"steepness {self.steepness} and centre {self.centre} make no rising competence; use a "
                "steepness above 0 and a centre between 0 and 1."
            )

    def score(self, view: PoolView) -> Tensor:
        """Mix of uncertainty and density for the first pick ``(E, P)``."""
        return score_in_bounds(self, view, lambda part: self._course(part).score(self), _numbers(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        return select_in_bounds(self, view, n, lambda part: self._take(part, n), _numbers(view))

    def competence(self, coverage: Tensor) -> Tensor:
        """How far the model is to be trusted at a coverage of 0 to 1, any shape."""
        top = torch.sigmoid(torch.tensor(self.steepness * (1.0 - self.centre)))
        return torch.sigmoid(self.steepness * (coverage - self.centre)) / top.to(coverage.device)

    def _take(self, view: PoolView, n: int) -> Tensor:
        course, free = self._course(view), view.available
        picks = []
        for j in range(n):
            column = best_column(view, course.score(self), free)
            picks.append(column)
            free = free.scatter(1, column.clamp_min(0)[:, None], False)
            if j + 1 < n:
                course.cover(column, free)
        return to_ids(view, torch.stack(picks, 1))

    def _course(self, view: PoolView) -> _Course:
        radii, covered = pure_balls(view)
        live = view.labelled_columns[1] > 0
        counts = live.sum(1)
        mean = torch.where(live, radii, 0.0).sum(1) / counts.clamp_min(1)
        return _Course(view, torch.where(counts > 0, mean, (2.0 * bandwidth(view)).sqrt()), covered)


class _Course:
    """What is covered while a batch grows.

    Args:
        view: The pools.
        radius: ``(E,)`` of the balls of unlabelled rows.
        covered: ``(E, P)`` bool, by the labelled rows.
    """

    def __init__(self, view: PoolView, radius: Tensor, covered: Tensor) -> None:
        self._view, self._free = view, view.available
        similarity = view.pool_similarity
        if similarity is None:
            similarity = torch.bmm(view.embeddings, view.embeddings.transpose(1, 2))
        bound = 1.0 - radius.square() / 2.0
        self._balls = (similarity >= bound[:, None, None]).float()  # (E, P, P)
        self._covered = covered & view.in_pool
        self._unsure = 1.0 - view.margin

    def score(self, strategy: Dcom) -> Tensor:
        """What each row is worth as the next pick ``(E, P)``."""
        view, members = self._view, self._view.in_pool
        open_rows = (members & ~self._covered).float()
        density = view.level(torch.bmm(self._balls, open_rows[:, :, None])[:, :, 0])
        coverage = self._covered.sum(1) / members.sum(1).clamp_min(1)
        trust = strategy.competence(coverage)[:, None]
        return view.level(trust * self._scaled(self._unsure) + (1.0 - trust) * self._scaled(density))

    def cover(self, columns: Tensor, free: Tensor) -> None:
        """Count the balls of one picked column of each episode ``(E,)`` as covered. Mutates."""
        everyone = torch.arange(len(columns), device=columns.device)
        self._covered = self._covered | (self._balls[everyone, columns.clamp_min(0)] > 0)
        self._free = free

    def _scaled(self, values: Tensor) -> Tensor:
        """Brought to 0 to 1 over the rows left; 0 where all are equal."""
        least = torch.where(self._free, values, torch.inf).amin(1, keepdim=True)
        most = torch.where(self._free, values, -torch.inf).amax(1, keepdim=True)
        return torch.where(most > least, (values - least) / torch.where(most > least, most - least, 1.0), 0.0)


def pure_balls(view: PoolView) -> tuple[Tensor, Tensor]:
    """Radii of the labelled rows' balls ``(E, n)``, and which rows are in one ``(E, P)`` bool."""
    similarity, live = view.similarity_to_labelled, view.labelled_columns[1] > 0  # (E, n, P)
    members = view.in_pool[:, None] & live[:, :, None]
    agreeing = members & (view.labelled_geometry[1].argmax(1)[:, :, None] == view.predicted[:, None])
    coverage = torch.zeros(view.n_episodes, device=view.device)
    radii, covered = torch.zeros(live.shape, device=view.device), torch.zeros_like(view.in_pool)
    for _ in range(2):
        needed = (0.4 + 0.2 * coverage)[:, None]
        low, high = torch.zeros_like(radii), torch.full_like(radii, 2.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            inside = similarity >= (1.0 - middle.square() / 2.0)[:, :, None]
            pure = (inside & agreeing).sum(2) >= needed * (inside & members).sum(2) - _SLACK
            low, high = torch.where(pure, middle, low), torch.where(pure, high, middle)
        radii = low
        inside = similarity >= (1.0 - radii.square() / 2.0 - 1e-6)[:, :, None]
        covered = (inside & members).any(1)
        coverage = covered.sum(1) / view.in_pool.sum(1).clamp_min(1)
    return radii, covered


def _numbers(view: PoolView) -> int:
    """Numbers that are held for an episode."""
    return view.width * (2 * view.width + 2 * view.labelled_columns[0].shape[1])
