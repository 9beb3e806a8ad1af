"""Diversity by coverage: greedy batches that leave no row of the pool far from a labelled one.

ProbCover, MaxHerding and UncertaintyHerding maximise one objective with different kernels and weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from react_rl.acquisition.batching.selection import to_ids
from react_rl.acquisition.clustering.k_means import SAME, k_means
from react_rl.acquisition.strategies.calibrated import CalibratedUncertainty
from react_rl.acquisition.wide.chunks import square_tiles
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

Kernel = Callable[[Tensor, Tensor], Tensor]
"""From cosine similarities ``(R, B, P)`` and the episodes ``(R,)`` they belong to, to values in [0, 1] that
never fall with the similarity and are 1 for copies. The similarities may be overwritten."""

_BLOCK: Final = 1 << 24
"""Similarities held at once."""

_CACHED: Final = 1 << 18
"""Similarities that several passes follow on at once: few enough to stay in the processor's cache."""

_LAZY: Final = 32
"""Rows of each episode whose gain is computed again at a time, at first; then twice as many each time."""

_MOST: Final = 256
"""Most rows of each episode whose gain is computed again at a time."""

_HELD: Final = 1 << 25
"""Most values of the kernel that are kept (128 MiB); of larger pools they are computed when asked for."""

_ANCHORS: Final = 2000
"""Rows that the purity of balls is measured at."""


class Coverage:
    """Generalised coverage of the unlabelled rows, grown greedily.

    ``C(S) = sum_y w(y) max_{x in labelled + S} k(x, y)``. A pick is the row with the largest gain
    ``sum_y w(y) max(k(x, y) - c(y), 0)``, c(y) being what y is covered by already. Gains only shrink
    while S grows, so the gain of an earlier pick bounds the present one, and only rows whose bound reaches
    the best gain are computed again (Minoux 1978, accelerated greedy): the picks are those of the plain
    greedy algorithm, and no P x P array is held unless it is small.

    Args:
        view: The pools.
        kernel: k.
        weight: ``(E, P)`` float32 w; what is not available weighs nothing.
    """

    def __init__(self, view: PoolView, kernel: Kernel, weight: Tensor) -> None:
        self._view = view
        self._kernel = kernel
        self._weight = torch.where(view.available, weight, 0.0)
        self.total = self._weight.sum(1)
        """Weight of each pool ``(E,)``."""
        self._everyone = torch.arange(view.n_episodes, device=view.device)
        self._values: Tensor | None = None
        """k between all pairs of rows ``(E, P, P)``, where these are few."""
        if view.n_episodes * view.width**2 <= _HELD:
            self._values = torch.empty(view.n_episodes, view.width, view.width, device=view.device)
        nearest = view.nearest_labelled
        covered = kernel(nearest[:, None, :].clone(), self._everyone)[:, 0]
        self._covered = torch.where(nearest < -1.5, 0.0, covered)  # no row is labelled
        self.gain = self._first_gains()
        """Gain of each row as the next pick ``(E, P)``, or a bound of it after the first pick."""

    def _first_gains(self) -> Tensor:
        """Gains of all rows ``(E, P)``; the kernel is symmetric, so each pair of rows is met once."""
        embeddings, gain = self._view.embeddings, torch.zeros_like(self._weight)
        for one, other in square_tiles(self._view, _CACHED):
            similarity = torch.bmm(embeddings[:, one], embeddings[:, other].transpose(1, 2))
            value = self._kernel(similarity, self._everyone)
            if self._values is not None:
                self._values[:, one, other] = value
                self._values[:, other, one] = value.transpose(1, 2)
            if one != other:
                excess = (value - self._covered[:, one, None]).clamp_(min=0.0)
                gain[:, other] += torch.bmm(self._weight[:, None, one], excess)[:, 0]
            excess = value.sub_(self._covered[:, None, other]).clamp_(min=0.0)
            gain[:, one] += torch.bmm(excess, self._weight[:, other, None])[:, :, 0]
        return gain

    def _gains(self, episodes: Tensor, columns: Tensor) -> Tensor:
        """Present gains of some columns ``(R, B)`` of some episodes ``(R,)``."""
        if self._values is not None:
            value = self._values[episodes[:, None], columns]  # (R, B, P)
            excess = value.sub_(self._covered[episodes, None]).clamp_(min=0.0)
            return torch.bmm(excess, self._weight[episodes, :, None])[:, :, 0]
        embeddings, weight, covered = self._view.embeddings, self._weight, self._covered
        if episodes.numel() < self._view.n_episodes:
            embeddings, weight, covered = embeddings[episodes], weight[episodes], covered[episodes]
        rows = embeddings.gather(1, columns[:, :, None].expand(-1, -1, embeddings.shape[2]))
        gain = torch.zeros(columns.shape, device=columns.device)
        width = max(1, _CACHED // columns.numel())
        for start in range(0, self._view.width, width):
            part = slice(start, start + width)
            similarity = torch.bmm(rows, embeddings[:, part].transpose(1, 2))
            excess = self._kernel(similarity, episodes).sub_(covered[:, None, part]).clamp_(min=0.0)
            gain += torch.bmm(excess, weight[:, part, None])[:, :, 0]
        return gain

    def _near(self, columns: Tensor) -> Tensor:
        """Values of k between one column of each episode ``(E,)`` and all rows, ``(E, P)``."""
        if self._values is not None:
            return self._values[self._everyone, columns]
        similarity = self._view.similarity_of_pick(columns)[:, None, :].clone()
        return self._kernel(similarity, self._everyone)[:, 0]

    def take(self, n: int) -> Tensor:
        """Choose row ids ``(E, n)`` greedily, -1 where a pool has fewer rows; equal gains at random."""
        view, free = self._view, self._view.available.clone()
        exact = torch.ones_like(free)
        picks = []
        for _ in range(n):
            best = self._refresh(free, exact)
            # Sums of float32 numbers in another order differ by this much.
            equal = free & exact & (self.gain >= (best - 1e-6 * best - 3e-7 * self.total)[:, None])
            first = equal.to(torch.int8).argmax(1)
            column = torch.where(equal.any(1), first, -1)
            for episode in torch.nonzero(equal.sum(1) > 1)[:, 0].tolist():
                column[episode] = self._draw(episode, torch.nonzero(equal[episode])[:, 0])
            picks.append(column)
            chosen = column.clamp_min(0)
            free.scatter_(1, chosen[:, None], False)
            near = self._near(chosen)
            # An episode without free rows picks nothing more, so what its row 0 covers is idle.
            self._covered = torch.maximum(self._covered, near)
            exact = self.gain <= 0.0
        return to_ids(view, torch.stack(picks, 1))

    def _draw(self, episode: int, columns: Tensor) -> Tensor:
        """One of several columns, evenly. Equal gains are common, and renumbered rows must draw alike."""
        stream = self._view.generator(episode)
        rows = self._view.embeddings[episode, columns]
        direction = torch.from_numpy(stream.standard_normal(rows.shape[1])).to(rows)
        order = (rows @ direction).argsort(stable=True)
        return columns[order[int(stream.integers(columns.numel()))]]

    def _refresh(self, free: Tensor, exact: Tensor) -> Tensor:
        """Compute gains again until no bound reaches the best gain; return that ``(E,)``. Mutates."""
        view = self._view
        count = min(_LAZY, view.width)
        while True:
            best = torch.where(free & exact, self.gain, -torch.inf).amax(1)
            slack = 1e-6 * best.clamp_min(0.0) + 3e-7 * self.total
            reaching = free & ~exact & (self.gain >= (best - slack)[:, None])
            episodes = torch.nonzero(reaching.any(1))[:, 0]
            if episodes.numel() == 0:
                return best
            bound = torch.where(reaching[episodes], self.gain[episodes], -torch.inf)
            columns = bound.topk(count, dim=1).indices
            count = min(2 * count, _MOST, view.width)
            # Rounding must not let a bound grow.
            fresh = torch.minimum(self._gains(episodes, columns), self.gain[episodes].gather(1, columns))
            self.gain[episodes[:, None], columns] = fresh
            exact[episodes[:, None], columns] = True


@dataclass(frozen=True)
class ProbCover:
    """The rows whose balls of radius delta cover most uncovered rows.

    ``k(x, y) = [|x - y| < delta]``: greedy maximum coverage. ``delta`` is by default the largest radius at
    which the share of pure balls is at least ``purity``; a ball is pure if k-means with as many clusters as
    classes puts all of it into one cluster. A ball is pure as long as it ends before the nearest row of
    another cluster, so delta is a quantile of these distances, and no grid is searched. It is found
    again in each round, at up to 2,000 rows drawn from the pool.

    Source: Yehuda et al. 2022, Active learning through a covering lens (ProbCover and its purity rule).

    Args:
        name: Name in tables and configs.
        delta: Euclidean radius on unit-norm embeddings; None finds it.
        purity: Share of pure balls, 0 to 1.

    Raises:
        ReActError: The radius or the share is out of range.
    """

    name: str = "probcover"
    delta: float | None = None
    purity: float = 0.95

    def __post_init__(self) -> None:
        if self.delta is not None and not 0 < self.delta <= 2:
            raise ReActError(f"delta is {self.delta}; rows of length one are between 0 and 2 apart.")
        if not 0 < self.purity <= 1:
            raise ReActError(f"purity is {self.purity}; choose a share above 0 and up to 1.")

    def score(self, view: PoolView) -> Tensor:
        """Share of the available rows that a row would newly cover ``(E, P)``."""
        return _share(view, self._coverage(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        return self._coverage(view).take(n)

    def _coverage(self, view: PoolView) -> Coverage:
        if self.delta is None:
            bound = ball_similarity(view, self.purity)
        else:
            bound = torch.full((view.n_episodes,), 1.0 - self.delta**2 / 2.0, device=view.device)

        def ball(similarity: Tensor, episodes: Tensor) -> Tensor:
            return similarity.gt_(bound[episodes, None, None])

        return Coverage(view, ball, torch.ones(view.ids.shape, device=view.device))


@dataclass(frozen=True)
class MaxHerding:
    """The rows that raise the mean similarity of all rows to their nearest labelled row the most.

    ``C(S) = 1/N sum_y max_{x in S} k(x, y)`` with ``k = exp(-|x - y|^2 / bandwidth^2)``, or the cosine
    clipped at 0. scikit-activeml's default kernel has a squared bandwidth of D instead of the published 1.

    Source: Bae, Noh & Sutherland 2024, Generalized coverage for more robust low-budget active learning.

    Args:
        name: Name in tables and configs.
        kernel: rbf or cosine.
        bandwidth: Euclidean distance at which the rbf kernel is 1/e.

    Raises:
        ReActError: The bandwidth is not positive.
    """

    name: str = "maxherding"
    kernel: Literal["rbf", "cosine"] = "rbf"
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        if not self.bandwidth > 0:
            raise ReActError(f"bandwidth is {self.bandwidth}; choose a distance above 0.")

    def score(self, view: PoolView) -> Tensor:
        """Gain of the mean coverage by each row ``(E, P)``."""
        return _share(view, self._coverage(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        return self._coverage(view).take(n)

    def _coverage(self, view: PoolView) -> Coverage:
        if self.kernel == "rbf":
            kernel = _rbf(torch.full((view.n_episodes,), self.bandwidth**-2, device=view.device))
        else:
            kernel = _cosine
        return Coverage(view, kernel, torch.ones(view.ids.shape, device=view.device))


@dataclass(frozen=True)
class UncertaintyHerding:
    """MaxHerding in which a row counts as much as the model is unsure of it.

    ``C(S) = 1/N sum_y u(y) max_{x in S} k(x, y)`` with ``u = 1 - margin`` and an rbf kernel whose
    bandwidth is the smallest distance between two labelled rows: wide with few labels (representative),
    narrow with many (uncertain). Copies among the labelled rows do not count; without two distinct
    labelled rows the bandwidth is 1. The margin is taken after temperature scaling, where the authors fit
    the temperature on a fifth of the labels and here leave-one-out predictions of all of them serve.

    Source: Bae, Oliveira & Sutherland 2025, Uncertainty herding: one active learning
    method for all label budgets.

    Args:
        name: Name in tables and configs.
        calibrated: Whether to scale by a temperature, where the learner is linear.
    """

    name: str = "uncertainty-herding"
    calibrated: bool = True

    def score(self, view: PoolView) -> Tensor:
        """Gain of the mean uncertainty-weighted coverage by each row ``(E, P)``."""
        return _share(view, self._coverage(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        return self._coverage(view).take(n)

    def _coverage(self, view: PoolView) -> Coverage:
        similarity, _, mask = view.labelled_geometry
        apart = 2.0 - 2.0 * similarity
        pairs = (mask[:, :, None] * mask[:, None, :] > 0) & (apart > SAME)
        pairs.diagonal(dim1=1, dim2=2).fill_(False)
        # Without labels there is no pair.
        square = pad(torch.where(pairs, apart, torch.inf).flatten(1), (0, 1), value=torch.inf).amin(1)
        # The score of the margin strategy is minus the margin. A linear learner alone leaves rows out.
        calibrated = self.calibrated and view.linear
        unsure = 1.0 + CalibratedUncertainty().score(view) if calibrated else 1.0 - view.margin
        return Coverage(view, _rbf(torch.where(square.isinf(), 1.0, 1.0 / square)), unsure)


def _share(view: PoolView, coverage: Coverage) -> Tensor:
    return view.level(coverage.gain / torch.where(coverage.total > 0, coverage.total, 1.0)[:, None])


def _rbf(sharpness: Tensor) -> Kernel:
    """``exp(-sharpness |x - y|^2)`` with a sharpness for each episode ``(E,)``."""

    def kernel(similarity: Tensor, episodes: Tensor) -> Tensor:
        # -|x - y|^2 / 2, which rounding must not make positive.
        return similarity.sub_(1.0).clamp_(max=0.0).mul_(2.0 * sharpness[episodes, None, None]).exp_()

    return kernel


def _cosine(similarity: Tensor, _: Tensor) -> Tensor:
    return similarity.clamp_(min=0.0)


def ball_similarity(view: PoolView, purity: float) -> Tensor:
    """Similarity ``(E,)`` above which rows are in one ball, for balls of the largest radius that is pure.

    Args:
        view: The pools.
        purity: Least share of balls without a row of another k-means cluster.

    Returns:
        ``1 - delta^2 / 2``; -2 where k-means finds one cluster only.
    """
    rows = (view.available | view.labelled) & view.available.any(1, keepdim=True)
    clusters = k_means(view, rows, torch.from_numpy(view.progress.n_classes).to(view.device))
    bounds = torch.full((view.n_episodes,), -2.0, device=view.device)
    step = max(1, _BLOCK // view.width)
    for episode in torch.nonzero(rows.any(1))[:, 0].tolist():
        members = torch.nonzero(rows[episode])[:, 0]
        anchors = members
        if members.numel() > _ANCHORS:
            drawn = view.generator(episode).choice(members.numel(), _ANCHORS, replace=False)
            anchors = members[torch.from_numpy(np.sort(drawn)).to(view.device)]
        embeddings, assignment = view.embeddings[episode], clusters.assignment[episode]
        enemies = []
        for some in torch.split(anchors, step):
            similarity = embeddings[some] @ embeddings.T  # (B, P)
            foreign = rows[episode] & (assignment != assignment[some, None])
            enemies.append(torch.where(foreign, similarity, -2.0).amax(1))
        falling = torch.cat(enemies).sort(descending=True).values
        # So many balls may be impure; the next one ends just before its nearest enemy.
        allowed = min(int((1.0 - purity) * falling.numel() + 1e-9), falling.numel() - 1)
        bounds[episode] = falling[allowed]
    # The enemy itself must stay outside whichever way its similarity is rounded.
    return torch.where(bounds > -1.5, bounds + SAME, bounds)
