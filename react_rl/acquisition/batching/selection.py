"""From scores to row ids: top rows with random ties, standardised features, greedy weighted batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.features import NOVELTY, Growth, feature_named
from react_rl.acquisition.features.landmarks import ALL
from react_rl.acquisition.wide.chunks import WIDE
from react_rl.acquisition.wide.frontier import Frontier, Worth
from react_rl.simulation.purchases import all_of, any_of
from react_rl.simulation.view import PoolView

_DRAWN = 1 << 13
"""Random numbers of a wide pool that are drawn at once."""

_SHORT = 1024
"""Rows of a large pool that stay in the race once a batch of up to half as many is begun."""

_FLAT = 1e-6
"""A feature whose standard deviation over the pool is below this says nothing about the rows."""


def top_columns(view: PoolView, scores: Tensor, n: int) -> Tensor:
    """Columns of the ``n`` largest scores among the available rows, ``(E, n)``; -1 where there are fewer.

    Rows with equal scores are ordered at random from the episode's strategy stream.
    """
    width = view.width
    scores = torch.where(view.available, scores, -torch.inf)
    count = min(n + 1, width)
    values, columns = scores.topk(count, dim=1)
    best = values.cpu().numpy()
    tied = best[:, 1:] == best[:, :-1]
    tied_episodes = np.flatnonzero((tied & (best[:, 1:] > -np.inf)).any(1)).tolist() if any_of(tied) else ()
    for episode in tied_episodes:
        shuffled = torch.from_numpy(view.generator(episode).permutation(width)).to(view.device)
        # Only what is not below the last of the best has to be sorted.
        shuffled = shuffled[scores[episode, shuffled] >= values[episode, -1]]
        order = scores[episode, shuffled].argsort(descending=True, stable=True)
        columns[episode] = shuffled[order[:count]]
    columns = columns[:, :n]
    if not all_of(best[:, : columns.shape[1]] > -np.inf):
        # Ties change which rows are taken, never the values.
        columns = torch.where(values[:, :n] > -torch.inf, columns, -1)
    if columns.shape[1] < n:
        columns = torch.nn.functional.pad(columns, (0, n - columns.shape[1]), value=-1)
    return columns


def to_ids(view: PoolView, columns: Tensor) -> Tensor:
    """Row ids of columns ``(E, n)``; -1 stays -1."""
    if columns.numel() > 0 and int(columns.min()) >= 0:
        return view.ids.gather(1, columns)
    return torch.where(columns >= 0, view.ids.gather(1, columns.clamp_min(0)), -1)


def take_top(view: PoolView, scores: Tensor, n: int) -> Tensor:
    """Row ids ``(E, n)`` of the ``n`` largest scores ``(E, P)`` among the available rows."""
    return to_ids(view, top_columns(view, scores, n))


def take_random(view: PoolView, n: int) -> Tensor:
    """Row ids ``(E, n)`` of the ``n`` largest of ``view.random()``; a wide pool need not hold it whole."""
    # So many of a pool's numbers are above the bound on average that fewer than n hardly ever do.
    bound = 1.0 - 4.0 * (n + 16) / max(view.width, 1)
    free = view.available.cpu().numpy()  # (E, P); numpy ends its search at the first row that is free
    if view.width < WIDE or bound <= 0.0 or not all(where.any() for where in free):
        return take_top(view, view.random(), n)
    streams = [view.generator(episode) for episode in range(view.n_episodes)]
    before = [stream.bit_generator.state for stream in streams]
    columns = [_near_one(stream, where, n, bound) for stream, where in zip(streams, free, strict=True)]
    found = [some for some in columns if some is not None]
    if len(found) < view.n_episodes:
        for stream, state in zip(streams, before, strict=True):
            stream.bit_generator.state = state
        return take_top(view, view.random(), n)
    return to_ids(view, torch.from_numpy(np.stack(found)).to(view.device))


def _near_one(
    stream: np.random.Generator, free: npt.NDArray[np.bool_], n: int, bound: float
) -> npt.NDArray[np.int64] | None:
    """Columns ``(n,)`` of the largest numbers of an episode; None unless more than n are above ``bound``.

    Args:
        stream: The episode's, which gives every column a number.
        free: ``(P,)`` which columns count.
        n: Columns wanted.
        bound: What numbers have to reach.
    """
    places, numbers = [], []
    store = np.empty(_DRAWN)
    for start in range(0, free.size, _DRAWN):
        drawn = stream.random(out=store[: free.size - start])
        (near,) = (drawn >= bound).nonzero()
        places.append(near + start)
        numbers.append(drawn[near])
    column, number = np.concatenate(places), np.concatenate(numbers)
    counted = free[column]
    column, number = column[counted], number[counted]
    order = (-number).argsort()[: n + 1]
    best = number[order]
    if best.size <= n or (best[1:] == best[:-1]).any():
        return None
    return column[order[:n]]


def standardise(view: PoolView, values: Tensor) -> Tensor:
    """Shift and scale ``(E, P)`` to mean 0 and deviation 1 over the available rows of each episode.

    A feature that is the same for all rows of an episode becomes 0 there.
    """
    mean, deviation = moments(view, values)
    return (values - mean) / deviation


def moments(view: PoolView, values: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and deviation of ``(E, ..., P)`` over some rows, ``(E, ..., 1)``.

    The deviation is infinite where all are equal.

    Args:
        view: The pools.
        values: What they are of.
        counted: The rows ``(E, P)`` bool; None for the available ones.
    """
    middle = [1] * (values.dim() - 2)
    rows, many = (view.available, view.n_available) if counted is None else (counted, counted.sum(1))
    weight = rows.to(values.dtype).view(view.n_episodes, *middle, view.width)
    count = many.clamp_min(1).to(values.dtype).view(view.n_episodes, *middle, 1)
    mean = (values * weight).sum(-1, keepdim=True) / count
    variance = (values - mean).square_().mul_(weight).sum(-1, keepdim=True) / count
    deviation = variance.sqrt()
    return mean, torch.where(deviation > _FLAT, deviation, torch.inf)


def weighted_score(view: PoolView, features: Sequence[str], weights: Tensor) -> Tensor:
    """Sum of standardised features ``(E, P)``, each weighted by its column of ``weights`` ``(E, F)``."""
    total = torch.zeros(view.ids.shape, device=view.device)
    for f, name in enumerate(features):
        total += weights[:, f, None] * standardise(view, feature_named(name)(view))
    return total


def take_weighted(view: PoolView, features: Sequence[str], weights: Tensor, n: int) -> Tensor:
    """Take a batch greedily by weighted standardised features; those that move are updated after each pick.

    Novelty is the distance to the nearest labelled *or just picked* row, so a batch spreads by itself, and so
    it is with herding and variances. All are standardised with the moments of the round's start. From pools
    of more than 2,048 rows, features other than novelty are kept up to date for the best 1,024 rows only, or
    for twice as many as are wanted where that is more.

    Args:
        view: The pools.
        features: Names of features, F of them.
        weights: ``(E, F)`` float32.
        n: Rows wanted.

    Returns:
        ``(E, n)`` row ids, -1 where a pool holds fewer available rows.
    """
    known = [feature_named(name) for name in features]
    moving = [f for f, feature in enumerate(known) if feature.moves]
    fixed = [f for f in range(len(features)) if f not in moving]
    score = weighted_score(view, [features[f] for f in fixed], weights[:, fixed])
    if not moving:
        return take_top(view, score, n)
    growth = Growth(view)
    terms = [_Moving(growth, known[f].levelled, weights[:, f, None]) for f in moving]
    novel = len(moving) == 1 and features[moving[0]] == NOVELTY
    if view.width >= WIDE and novel and bool((terms[0].weight >= 0).all()):
        scale = (terms[0].mean, terms[0].deviation)
        columns = _take_lazily(view, view.nearest_labelled, score, terms[0].weight, scale, n)
        return to_ids(view, columns)
    free, rows = view.available, None
    if view.width > ALL and not novel:
        first = torch.where(free, _wanted(score, terms), -torch.inf)
        rows = first.topk(min(max(_SHORT, 2 * n), view.width), dim=1).indices.sort(1).values
        growth.narrow(rows)
        score, free = score.gather(1, rows), free.gather(1, rows)
    picks = []
    for pick in range(n):
        column = best_column(view, _wanted(score, terms), free)
        chosen = column.clamp_min(0)
        free = free.scatter(1, chosen[:, None], False)
        if rows is not None:
            chosen = rows.gather(1, chosen[:, None])[:, 0]
        picks.append(torch.where(column >= 0, chosen, -1))
        # An episode without free rows picks nothing more, so what its row 0 does to the features is idle.
        growth.add(chosen, last=pick == n - 1)
    return to_ids(view, torch.stack(picks, 1))


class _Moving:
    """A feature that changes while a batch is picked, standardised with the moments of the round's start."""

    def __init__(self, growth: Growth, of: Callable[[Growth], Tensor], weight: Tensor) -> None:
        self._growth, self._of = growth, of
        self.weight = weight
        self.mean, deviation = moments(growth.view, of(growth))
        # Rows equally far from the labelled ones stop being so with the first pick.
        self.deviation = torch.where(deviation.isinf(), 1.0, deviation)

    def value(self) -> Tensor:
        return self.weight * ((self._of(self._growth) - self.mean) / self.deviation)


def _wanted(score: Tensor, terms: Sequence[_Moving]) -> Tensor:
    """The score of the features that stay, plus those that move."""
    for term in terms:
        score = score + term.value()
    return score


def _take_lazily(
    view: PoolView, nearest: Tensor, score: Tensor, weight: Tensor, scale: tuple[Tensor, Tensor], n: int
) -> Tensor:
    """The columns ``(E, n)`` that ``take_weighted`` picks, for weights of novelty that are not negative."""
    picks = torch.full((view.n_episodes, n), -1)
    for episode in range(view.n_episodes):
        worth = _worth(score[episode], weight[episode], *(moment[episode] for moment in scale))
        frontier = Frontier(view, episode, nearest[episode], worth)
        picks[episode] = torch.tensor([frontier.pick() for _ in range(n)])
    return picks.to(view.device)


def _worth(score: Tensor, weight: Tensor, mean: Tensor, deviation: Tensor) -> Worth:
    """What columns of one episode are worth, novelty included."""

    def worth(columns: Tensor, similar: Tensor) -> Tensor:
        return score[columns] + weight * ((-similar - mean) / deviation)

    return worth


def best_column(view: PoolView, scores: Tensor, free: Tensor) -> Tensor:
    """Column of the largest score among the free rows of each episode ``(E,)``, -1 where none is free."""
    scores = torch.where(free, scores, -torch.inf)
    best, column = scores.max(1)
    found, equal = best > -torch.inf, scores == best[:, None]
    column = torch.where(found, column, -1)
    if int(equal.count_nonzero()) > len(scores):
        for episode in torch.nonzero((equal.sum(1) > 1) & found)[:, 0].tolist():
            tied = torch.nonzero(scores[episode] == best[episode])[:, 0]
            column[episode] = tied[int(view.generator(episode).integers(tied.numel()))]
    return column
