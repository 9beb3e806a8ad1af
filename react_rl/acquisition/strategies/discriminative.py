"""Discriminative active learning: rows that a classifier can distinguish from the labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import to_ids, top_columns
from react_rl.errors import ReActError
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.view import PoolView

_PAIRS: Final = 8
"""Changes of the gradient that a step remembers."""

_CACHED: Final = 1 << 19
"""Numbers of the embeddings that are read at once: few enough to stay in the processor's cache."""

_NARROW: Final = 512
"""Rows of each episode that are read at once in any case."""

_WIDE: Final = 20_000
"""Rows from which on the discriminator learns from a sample of the unlabelled ones."""

_SAMPLE: Final = 4096
"""Unlabelled rows of that sample."""

_TINY: Final = 1e-30
"""Keeps a division finite."""


@dataclass(frozen=True)
class DiscriminativeSampling:
    """The rows that a logistic discriminator is surest to be unlabelled.

    A logistic regression on the embeddings tells unlabelled (t = 1) from labelled (t = -1) rows,
    ``min_w sum_i v_i log(1 + exp(-t_i w.x_i)) + l2/2 |w|^2`` with half of the weight v on each side and
    x carrying a 1 for the intercept. The batch is taken in up to ``sub_batches`` parts; after each one
    its rows move to the labelled side and the discriminator is refitted from where it stood. In pools of
    20,000 rows and more it learns from about 4,096 of the unlabelled rows, and judges all.

    Source: Gissin & Shalev-Shwartz 2019, Discriminative active learning, algorithm 1 (with a linear
    discriminator on frozen embeddings instead of a three-layer network).

    Args:
        name: Name in tables and configs.
        sub_batches: Most parts of a batch.
        l2: Weight of the squared norm.
        max_steps: Most steps of one fit.
        tolerance: A fit ends when no entry of the gradient exceeds this.

    Raises:
        ReActError: A setting is out of range.
    """

    name: str = "dal"
    sub_batches: int = 10
    l2: float = 0.01
    max_steps: int = 100
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if self.sub_batches < 1 or self.max_steps < 1:
            raise ReActError(
                f"sub_batches {self.sub_batches} and max_steps {self.max_steps} must be at least 1."
            )
        if not self.l2 > 0:
            raise ReActError(f"l2 is {self.l2}; the discriminator needs a weight above 0.")

    def score(self, view: PoolView) -> Tensor:
        """Log-odds of being unlabelled ``(E, P)``."""
        return self._judge(view, view.available, view.labelled, None)[0]

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows least like the labelled ones, part by part."""
        free, taken = view.available.clone(), view.labelled.clone()
        point, parts = None, []
        n_parts = min(n, self.sub_batches)
        for part in range(n_parts):
            size = n // n_parts + (part < n % n_parts)
            odds, point = self._judge(view, free, taken, point)
            columns = top_columns(view, torch.where(free, odds, -torch.inf), size)
            parts.append(columns)
            chosen = chosen_columns(columns, view.width)
            free, taken = free & ~chosen, taken | chosen
        return to_ids(view, torch.cat(parts, 1))

    def _judge(
        self, view: PoolView, unlabelled: Tensor, labelled: Tensor, start: _Point | None
    ) -> tuple[Tensor, _Point]:
        """Log-odds ``(E, P)``, the same for copies, and where the fit ended."""
        x = view.embeddings
        if view.width < _WIDE:
            odds, point = self._fit(x, unlabelled, labelled, start)
        else:
            # The columns of a pool come in no order, so evenly spaced ones are a sample.
            spaced = torch.arange(0, view.width, max(1, view.width // _SAMPLE), device=x.device)
            spaced = spaced.expand(x.shape[0], -1)
            own = labelled.to(torch.int8).topk(int(labelled.sum(1).max()), dim=1).indices
            others, mine = unlabelled.gather(1, spaced), labelled.gather(1, own)
            columns = torch.cat([spaced, own], 1)[:, :, None].expand(-1, -1, x.shape[2])
            _, point = self._fit(
                x.gather(1, columns),
                torch.cat([others, torch.zeros_like(mine)], 1),
                torch.cat([torch.zeros_like(others), mine], 1),
                start,
            )
            odds = torch.matmul(x, point.weights[:, :-1, None])[:, :, 0] + point.weights[:, -1:]
        return view.level(odds), point

    def _fit(
        self, x: Tensor, unlabelled: Tensor, labelled: Tensor, start: _Point | None
    ) -> tuple[Tensor, _Point]:
        """Log-odds of rows ``(E, N, D)`` and where the fit ended.

        Quasi-Newton steps from the last ``_PAIRS`` changes of the gradient (Nocedal 1980, L-BFGS). The loss
        is convex along a step, so a step on which the slope does not turn steeply upwards is taken as it
        is; otherwise a plain gradient step is safe, because the curvature is at most 1/4 |x|^2 + l2.
        """
        side = unlabelled.to(x.dtype) - labelled.to(x.dtype)
        half = 0.5 / torch.stack([unlabelled.sum(1), labelled.sum(1)]).clamp_min(1)
        share = unlabelled * half[0, :, None] - labelled * half[1, :, None]  # (E, N), with its sign
        shape = (x.shape[0], x.shape[2] + 1)
        if start is None:
            nothing = torch.zeros(shape[0], _PAIRS, shape[1], device=x.device)
            start = _Point(torch.zeros(shape, device=x.device), nothing, nothing)
        weights, moves, turns = start.weights, start.moves, start.turns
        odds, gradient = _slope(x, side, share, weights, self.l2)
        running = torch.ones(shape[0], 1, dtype=torch.bool, device=x.device)
        for _ in range(self.max_steps):
            # An episode that rests stands still, so that its result does not depend on its neighbours.
            running = running & (gradient.abs().amax(1, keepdim=True) > self.tolerance)
            if not running.any():
                break
            step = _quasi_newton(gradient, moves, turns, 1.0 / (0.5 + self.l2))
            step = torch.where(running, step, 0.0)
            found, changed = _slope(x, side, share, weights - step, self.l2)
            bad = (changed * step).sum(1) < -0.8 * (gradient * step).sum(1)
            if bad.any():
                step = torch.where(bad[:, None] & running, gradient / (0.5 + self.l2), step)
                found, changed = _slope(x, side, share, weights - step, self.l2)
            moves = torch.where(running[:, :, None], _appended(moves, -step), moves)
            turns = torch.where(running[:, :, None], _appended(turns, changed - gradient), turns)
            weights, odds, gradient = weights - step, found, changed
        return odds, _Point(weights, moves, turns)


@dataclass(frozen=True)
class _Point:
    """Where a fit stands.

    Args:
        weights: ``(E, D + 1)``.
        moves: Last changes of the weights ``(E, m, D + 1)``.
        turns: Changes of the gradient that came with them.
    """

    weights: Tensor
    moves: Tensor
    turns: Tensor


def _slope(x: Tensor, side: Tensor, share: Tensor, weights: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Log-odds ``w.x + b`` of rows ``(E, P, D)`` and the gradient of the loss ``(E, D + 1)``."""
    odds = torch.empty(side.shape, device=x.device)
    gradient = l2 * weights
    # One reading of the rows serves both products.
    width = max(_NARROW, _CACHED // (x.shape[0] * x.shape[2]))
    for start in range(0, x.shape[1], width):
        part = slice(start, start + width)
        rows = x[:, part]
        here = torch.bmm(rows, weights[:, :-1, None])[:, :, 0] + weights[:, -1:]
        push = torch.sigmoid(-side[:, part] * here).mul_(share[:, part])
        gradient[:, :-1] -= torch.bmm(push[:, None, :], rows)[:, 0]
        gradient[:, -1] -= push.sum(1)
        odds[:, part] = here
    return odds, gradient


def _quasi_newton(gradient: Tensor, moves: Tensor, turns: Tensor, base: float) -> Tensor:
    """The inverse Hessian that the pairs imply, times the gradient ``(E, D + 1)``; L-BFGS's two loops.

    Pairs of zeros say nothing. Without any pair the inverse Hessian is ``base``, later the ratio of the last
    pair.
    """
    agreement = (moves * turns).sum(2)  # (E, m), above 0 for a convex loss
    known = agreement > 0
    inverse = torch.where(known, 1.0 / agreement.clamp_min(_TINY), 0.0)
    step, shares = gradient, []
    for pair in range(moves.shape[1] - 1, -1, -1):
        shares.append(inverse[:, pair] * (moves[:, pair] * step).sum(1))
        step = step - shares[-1][:, None] * turns[:, pair]
    length = turns[:, -1].square().sum(1)
    step = torch.where(known[:, -1], agreement[:, -1] / length.clamp_min(_TINY), base)[:, None] * step
    for pair in range(moves.shape[1]):
        back = inverse[:, pair] * (turns[:, pair] * step).sum(1)
        step = step + (shares.pop() - back)[:, None] * moves[:, pair]
    return step


def _appended(pairs: Tensor, new: Tensor) -> Tensor:
    return torch.cat([pairs[:, 1:], new[:, None]], 1)
