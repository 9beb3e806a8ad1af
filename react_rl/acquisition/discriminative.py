"""Discriminative active learning: rows that a classifier tells apart from the labelled ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from react_rl.acquisition.selection import to_ids, top_columns
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class DiscriminativeSampling:
    """The rows that a logistic discriminator is surest to be unlabelled.

    A logistic regression on the embeddings tells unlabelled (t = 1) from labelled (t = -1) rows,
    ``min_w sum_i v_i log(1 + exp(-t_i w.x_i)) + l2/2 |w|^2`` with half of the weight v on each side and
    x carrying a 1 for the intercept. The batch is taken in up to ``sub_batches`` parts; after each one
    its rows move to the labelled side and the discriminator is refitted from where it stood.

    Source: Gissin & Shalev-Shwartz 2019, Discriminative active learning, algorithm 1 (with a linear
    discriminator on frozen embeddings instead of a three-layer network).

    Args:
        name: Name in tables and configs.
        sub_batches: Most parts of a batch.
        l2: Weight of the squared norm.
        max_steps: Most gradient steps of one fit.
        tolerance: A fit ends when no entry of the gradient exceeds this.

    Raises:
        ReActError: A setting is out of range.
    """

    name: str = "dal"
    sub_batches: int = 10
    l2: float = 0.01
    max_steps: int = 100
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.sub_batches < 1 or self.max_steps < 1:
            raise ReActError(
                f"sub_batches {self.sub_batches} and max_steps {self.max_steps} must be at least 1."
            )
        if not self.l2 > 0:
            raise ReActError(f"l2 is {self.l2}; the discriminator needs a weight above 0.")

    def score(self, view: PoolView) -> Tensor:
        """Log-odds of being unlabelled ``(E, P)``."""
        return self._fit(view, view.available, view.labelled, None)[0]

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows least like the labelled ones, part by part."""
        free, taken = view.available.clone(), view.labelled.clone()
        weights, parts = None, []
        n_parts = min(n, self.sub_batches)
        for part in range(n_parts):
            size = n // n_parts + (part < n % n_parts)
            odds, weights = self._fit(view, free, taken, weights)
            columns = top_columns(view, torch.where(free, odds, -torch.inf), size)
            parts.append(columns)
            chosen = torch.zeros(view.n_episodes, view.width + 1, dtype=torch.bool, device=view.device)
            chosen.scatter_(1, torch.where(columns >= 0, columns, view.width), True)
            free, taken = free & ~chosen[:, :-1], taken | chosen[:, :-1]
        return to_ids(view, torch.cat(parts, 1))

    def _fit(
        self, view: PoolView, unlabelled: Tensor, labelled: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Log-odds ``(E, P)``, rounded so that copies tie, and weights ``(E, D + 1)``.

        Accelerated gradient steps (Nesterov 2004, section 2.2.1) for an l2-strongly convex loss whose
        curvature is at most 1/4 |x|^2 + l2 = 1/2 + l2.
        """
        x = view.embeddings
        side = unlabelled.to(x.dtype) - labelled.to(x.dtype)
        half = 0.5 / torch.stack([unlabelled.sum(1), labelled.sum(1)]).clamp_min(1)
        share = unlabelled * half[0, :, None] + labelled * half[1, :, None]  # (E, P)
        if weights is None:
            weights = torch.zeros(x.shape[0], x.shape[2] + 1, device=view.device)
        curvature = 0.5 + self.l2
        root = (self.l2 / curvature) ** 0.5
        momentum = (1.0 - root) / (1.0 + root)
        ahead = weights
        running = torch.ones(x.shape[0], 1, dtype=torch.bool, device=view.device)
        for _ in range(self.max_steps):
            push = -share * side * torch.sigmoid(-side * _odds(x, ahead))
            slope = torch.bmm(push[:, None, :], x)[:, 0]
            gradient = torch.cat([slope, push.sum(1, keepdim=True)], 1) + self.l2 * ahead
            # An episode that rests stands still, so that its result does not depend on its neighbours.
            running = running & (gradient.abs().amax(1, keepdim=True) > self.tolerance)
            if not running.any():
                break
            moved = torch.where(running, ahead - gradient / curvature, weights)
            ahead = torch.where(running, moved + momentum * (moved - weights), ahead)
            weights = moved
        return _odds(x, ahead).round(decimals=6), ahead


def _odds(x: Tensor, weights: Tensor) -> Tensor:
    """``w.x + b`` of rows ``(E, P, D)`` for weights ``(E, D + 1)``."""
    return torch.bmm(x, weights[:, :-1, None])[:, :, 0] + weights[:, -1:]
