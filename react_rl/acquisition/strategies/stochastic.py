"""Stochastic batches: noise on the scores keeps a batch from being n copies of one idea."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.contract import QueryStrategy
from react_rl.errors import ReActError, unknown
from react_rl.simulation.view import PoolView

_KINDS: Final = ("power", "softmax", "softrank")

_SMALLEST: Final = 1e-30
"""Stands for a score of 0 where logarithms are taken."""


@dataclass(frozen=True)
class StochasticBatch:
    """Perturb another strategy's scores with Gumbel noise and take the top rows.

    With scores s, ranks r (1 is the best; equal scores share a rank) and G ~ Gumbel(0, 1) for each row, a
    batch takes the largest

    - power: ``log s + G / beta``, i.e. rows drawn without replacement in proportion to s^beta;
    - softmax: ``s + G / beta``, in proportion to exp(beta s);
    - softrank: ``-log r + G / beta``, in proportion to r^-beta.

    Source: Kirsch et al. 2023, Stochastic batch acquisition: a simple baseline for deep active learning,
    table 1; the Gumbel top-k trick: Kool et al. 2019.

    Args:
        name: Name in tables and configs.
        base: Strategy whose scores are perturbed.
        kind: power, softmax or softrank.
        beta: Coldness: large values keep the base's order, 0 would be random.
        shift: Added to the base's scores first; power needs scores that are not negative (1 for margin,
            whose scores run from -1 to 0).

    Raises:
        ReActError: The kind is unknown or beta not above 0.
    """

    name: str
    base: QueryStrategy
    kind: Literal["power", "softmax", "softrank"] = "power"
    beta: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise unknown("kind of stochastic batch", self.kind, _KINDS)
        if not self.beta > 0:
            raise ReActError(f"beta {self.beta} must be above 0; for random batches use strategy 'random'.")

    def score(self, view: PoolView) -> Tensor:
        """Perturbed scores ``(E, P)`` float64; every call draws new noise."""
        scores = self.base.score(view).double() + self.shift
        if self.kind == "power":
            scores = scores.clamp_min(_SMALLEST).log()
        elif self.kind == "softrank":
            scores = -_ranks(view, scores).log()
        uniform = view.random().clamp_min(_SMALLEST)
        return scores - (-uniform.log()).clamp_min(_SMALLEST).log() / self.beta

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest perturbed scores."""
        return take_top(view, self.score(view), n)


def _ranks(view: PoolView, scores: Tensor) -> Tensor:
    """One plus the number of available rows with a larger score, ``(E, P)`` float64."""
    ascending = torch.where(view.available, scores, -torch.inf).sort(1).values
    above = scores.shape[1] - torch.searchsorted(ascending, scores.contiguous(), right=True)
    return 1.0 + above.double()
