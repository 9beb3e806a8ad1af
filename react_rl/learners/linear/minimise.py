"""L-BFGS for E convex losses of linear scores, side by side. What the loss is, the caller says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

_MEMORY: Final = 8
"""Steps that the curvature is estimated from."""

_HALVINGS: Final = 12
"""How often a step is halved before an episode stands still."""

_DESCENT: Final = 1e-4
"""Share of the promised descent that a step must bring (Armijo)."""


def minimise(
    weights: Tensor,
    inputs: Tensor,
    loss: Callable[[Tensor], Tensor],
    residual: Callable[[Tensor], Tensor],
    l2: float | Tensor,
    tolerance: float,
    max_steps: int,
) -> Tensor:
    """Minimise  loss(X W^T) + l2/2 |W|^2  of each episode, from where its weights stand.

    Steps are along scores that are computed once, so searching for a length costs no product. An episode that
    has converged stands still, so that its result does not depend on its neighbours.

    Args:
        weights: ``(E, C, F)`` where to begin.
        inputs: X ``(E, T, F)``.
        loss: From scores ``(E, T, C)`` to the loss ``(E,)``.
        residual: Its gradient by the scores ``(E, T, C)``.
        l2: Weight of the squared norm, or of each squared weight ``(E, C, F)``.
        tolerance: Largest change of a score in a step at which an episode has converged.
        max_steps: Most steps.

    Returns:
        The weights ``(E, C, F)``.

    Source: Liu & Nocedal 1989, On the limited memory BFGS method for large scale optimization.
    """
    across = inputs.transpose(1, 2)
    moving = torch.ones(len(weights), dtype=torch.bool, device=weights.device)
    scores = torch.bmm(inputs, weights.transpose(1, 2))

    def slope(at: Tensor, of: Tensor) -> Tensor:
        return torch.bmm(across, residual(of)).transpose(1, 2) + l2 * at

    def value(at: Tensor, of: Tensor) -> Tensor:
        if isinstance(l2, Tensor):
            return loss(of) + (l2 * at.square()).sum((1, 2)) / 2
        return loss(of) + l2 / 2 * at.square().sum((1, 2))

    gradient, now = slope(weights, scores), value(weights, scores)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(max_steps):
        direction = -_precondition(gradient, pairs)
        along = torch.bmm(inputs, direction.transpose(1, 2))
        promised = _dot(gradient, direction)
        # The first step has no idea of scale: it moves no score by more than 1.
        length = torch.ones_like(promised)
        if not pairs:
            length = (1.0 / along.abs().amax((1, 2)).clamp_min(1e-12)).clamp_max(1.0)
        length = torch.where(moving, length, 0.0)
        for _ in range(_HALVINGS):
            step = length[:, None, None]
            new = value(weights + step * direction, scores + step * along)
            enough = new <= now + _DESCENT * length * promised
            if bool((enough | ~moving).all()):
                break
            length = torch.where(enough, length, length / 2.0)
        tried, length = length, torch.where(enough & moving, length, 0.0)
        step = length[:, None, None]
        move = step * direction
        weights, scores = weights + move, scores + step * along
        before, gradient = gradient, slope(weights, scores)
        # As a rule the last length that was tried is the one.
        now = new if torch.equal(tried, length) else value(weights, scores)
        pairs = [*pairs[1 - _MEMORY :], _pair(move, gradient - before)]
        moving = moving & (length > 0) & ((step * along).abs().amax((1, 2)) > tolerance)
        if not moving.any():
            break
    return weights


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2))


def _pair(move: Tensor, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A step, the change of the gradient along it, and 1 over their product; 0 where it says nothing."""
    product = _dot(move, change)
    return move, change, torch.where(product > 1e-10, 1.0 / product.clamp_min(1e-10), 0.0)


def _precondition(gradient: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Two loops over the last steps: the gradient times an estimate of the inverse Hessian."""
    found, weights = gradient, []
    for move, change, inverse in reversed(pairs):
        weight = inverse * _dot(move, found)
        found = found - weight[:, None, None] * change
        weights.append(weight)
    if pairs:
        move, change, inverse = pairs[-1]
        scale = torch.where(inverse > 0, 1.0 / (inverse * _dot(change, change)).clamp_min(1e-12), 1.0)
        found = found * scale[:, None, None]
    for (move, change, inverse), weight in zip(pairs, reversed(weights), strict=True):
        again = inverse * _dot(change, found)
        found = found + (weight - again)[:, None, None] * move
    return found
