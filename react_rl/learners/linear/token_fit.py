"""Softmax regressions of many episodes on labelled tokens, by conjugate gradients.

Minimises  sum_t cross_entropy(W x_t, y_t) + l2/2 |W|^2. Where the axes of x are the principal ones, the
Hessian is near  n w spread + l2  along each, w the mean of p (1 - p): gradients are divided by that.
Directions follow Polak & Ribière (never back: Powell's max(0, .)), and a step ends where the slope does.
Source: Nocedal & Wright 2006, Numerical Optimization, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.byte_products import times_states

_TINY: Final = 1e-30

_STEEP: Final = 0.1
"""A step whose slope at the end is this much of that at its start gives way to one that surely descends."""


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """What E models are fitted to.

    Args:
        states: ``(E, n, D)`` int8 or float32.
        scale: ``(E, n)``; an input is a state times its scale, and the bias behind it.
        bias: The constant.
        tags: ``(E, n)`` int64, -1 for none.
        mask: ``(E, C, 1)``, far below 0 for tags that an episode lacks.
        spread: ``(E, 1, D + 1)`` mean square of inputs along each axis.
    """

    states: Tensor
    scale: Tensor
    bias: float
    tags: Tensor
    mask: Tensor
    spread: Tensor

    def scores(self, weights: Tensor) -> Tensor:
        """Inputs times weights ``(E, C, D + 1)``: ``(E, C, n)``."""
        found = times_states(weights[:, :, :-1], self.states, across=True).mul_(self.scale[:, None])
        return found.add_(weights[:, :, -1:], alpha=self.bias)

    def pull(self, values: Tensor) -> Tensor:
        """Sum over tokens of inputs times values ``(E, C, n)``: ``(E, C, D + 1)``."""
        found = times_states(values * self.scale[:, None], self.states, across=False)
        return torch.cat([found, values.sum(2, keepdim=True) * self.bias], 2)


@dataclass(frozen=True, eq=False)
class BranchedTokens:
    """What K models are fitted to that share most of their tokens: those of one model, and some of their own.

    Args:
        shared: Of one model, n tokens.
        own: Of K models, m tokens.
    """

    shared: LabelledTokens
    own: LabelledTokens

    @property
    def mask(self) -> Tensor:
        """See ``LabelledTokens``."""
        return self.own.mask

    @property
    def spread(self) -> Tensor:
        """See ``LabelledTokens``."""
        return self.own.spread

    @cached_property
    def tags(self) -> Tensor:
        """``(K, n + m)`` int64, -1 for none."""
        return torch.cat([self.shared.tags.expand(len(self.own.tags), -1), self.own.tags], 1)

    def scores(self, weights: Tensor) -> Tensor:
        """Inputs times weights ``(K, C, D + 1)``: ``(K, C, n + m)``."""
        common = self.shared.scores(weights.flatten(0, 1)[None])
        return torch.cat([common.view(*weights.shape[:2], -1), self.own.scores(weights)], 2)

    def pull(self, values: Tensor) -> Tensor:
        """Sum over tokens of inputs times values ``(K, C, n + m)``: ``(K, C, D + 1)``."""
        n = self.shared.tags.shape[1]
        common = self.shared.pull(values[:, :, :n].flatten(0, 1)[None])
        return common.view(*values.shape[:2], -1) + self.own.pull(values[:, :, n:])


@dataclass(frozen=True)
class TokenLoss:
    """What a model is fitted by.

    Args:
        l2: Weight of the squared norm.
        smoothing: Share of each tag that is spread over all tags of the episode.
    """

    l2: float
    smoothing: float = 0.0


def refit(
    weights: Tensor, data: LabelledTokens | BranchedTokens, loss: TokenLoss, tolerance: float, most: int
) -> tuple[Tensor, int]:
    """Go on from where the models stand.

    Args:
        weights: ``(E, C, D + 1)``.
        data: Labelled tokens.
        loss: What to minimise.
        tolerance: A model is done when a step changes no score of a labelled token by more than this.
        most: Most steps.

    Returns:
        Weights ``(E, C, D + 1)`` and the number of steps.
    """
    live = (data.tags >= 0).to(weights)[:, None, :]
    tags = torch.arange(weights.shape[1], device=weights.device)[:, None]
    target = (data.tags[:, None, :] == tags).to(weights)
    n, classes = live.sum(2, keepdim=True), (data.mask > -1.0).sum(1, keepdim=True)
    l2 = loss.l2
    if loss.smoothing > 0.0:
        target = target.mul_(1.0 - loss.smoothing) + (data.mask > -1.0) * (loss.smoothing / classes)
    fitted = data.scores(weights)
    probability = torch.softmax(fitted + data.mask, 1)
    moving = torch.ones_like(n, dtype=torch.bool)
    direction = old = None
    for step in range(most):
        wrong = (probability - target).mul_(live)
        gradient = data.pull(wrong).add_(weights, alpha=l2)
        doubt = (probability.addcmul(probability, probability, value=-1.0) * live).sum((1, 2), keepdim=True)
        scaled = gradient / (doubt / classes * data.spread).add_(l2)
        if direction is None or old is None:
            direction = -scaled
        else:
            turned = gradient - old
            share = _dot(scaled, turned) / _nonzero(_dot(direction, turned))
            direction = direction * share.clamp_min_(0.0) - scaled
            direction = torch.where(_dot(gradient, direction) < 0, direction, -scaled)
        move = data.scores(direction).mul_(live)
        length, probability = _length(
            _Line(fitted, move, probability, target, data.mask, weights, direction, l2), moving
        )
        # A model that is done stands still, so that its result does not depend on its neighbours.
        weights = weights + length * direction
        fitted = fitted + length * move
        old = gradient
        moving = moving & ((length * move).abs_().amax((1, 2), keepdim=True) > tolerance)
        if not moving.any():
            return weights, step + 1
    return weights, most


@dataclass(frozen=True, eq=False)
class _Line:
    """Models ``(E, C, D + 1)``, their scores and probabilities ``(E, C, n)``, and where they are to go."""

    fitted: Tensor
    move: Tensor
    probability: Tensor
    target: Tensor
    mask: Tensor
    weights: Tensor
    direction: Tensor
    l2: float

    def probability_at(self, length: Tensor) -> Tensor:
        return torch.softmax(torch.addcmul(self.fitted, self.move, length).add_(self.mask), 1)


def _length(line: _Line, moving: Tensor) -> tuple[Tensor, Tensor]:
    """How far to go ``(E, 1, 1)``, and the probabilities there.

    The step is Newton's. Where it goes past the lowest point, the slopes at both ends say how far back.
    """
    square = _dot(line.direction, line.direction) * line.l2
    # What does not change along the line: the pull of the penalty and of the true tags.
    constant = _dot(line.weights, line.direction) * line.l2 - _dot(line.target, line.move)
    weighted = line.probability * line.move
    curvature = _dot(weighted, line.move) - weighted.sum(1).square_().sum(1)[:, None, None] + square
    slope = weighted.sum((1, 2), keepdim=True) + constant
    length = torch.where(moving, -slope / curvature.clamp_min(_TINY), 0.0)

    def slope_at(length: Tensor, probability: Tensor) -> Tensor:
        return _dot(probability, line.move) + constant + length * square

    probability = line.probability_at(length)
    end = slope_at(length, probability)
    past = end > 0
    if not past.any():
        return length, probability
    length = torch.where(past, length * slope / (slope - end).clamp_max(-_TINY), length)
    probability = line.probability_at(length)
    steep = moving & (slope_at(length, probability) > -_STEEP * slope)
    if steep.any():
        # The curvature of the softmax is at most a quarter of the squared range of the moves.
        reach = (line.move.amax(1) - line.move.amin(1)).square_().sum(1)[:, None, None] / 4.0
        length = torch.where(steep, -slope / (reach + square).clamp_min(_TINY), length)
        probability = line.probability_at(length)
    return length, probability


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products ``(E, 1, 1)``."""
    found: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return found[:, None, None]


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values.abs() < _TINY, _TINY, values)
