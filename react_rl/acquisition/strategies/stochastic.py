"""Stochastic batches: chance keeps a batch from being n copies of one idea."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.drawing import draw_column, uniform_numbers
from react_rl.acquisition.batching.selection import take_top, to_ids, top_columns
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
        return scores + _gumbel(view) / self.beta

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest perturbed scores."""
        return take_top(view, self.score(view), n)


def _gumbel(view: PoolView) -> Tensor:
    """Gumbel noise ``(E, P)`` float64."""
    uniform = view.random().clamp_min(_SMALLEST)
    return -(-uniform.log()).clamp_min(_SMALLEST).log()


@dataclass(frozen=True)
class Falcun:
    """Rows drawn by uncertainty and by how differently from the batch so far they are predicted.

    With uncertainty ``u = 1 - margin`` and d the smallest L1 distance of the row's probabilities to those of
    a row of this batch (u at most, and before the first pick), brought to 0 to 1 over the rows left, a pick
    is drawn with probability proportional to ``(u + d)^gamma``. No distance between embeddings is taken.

    Source: Gilhuber et al. 2024, FALCUN: a simple and efficient deep active learning strategy, algorithm
    1, with gamma 10.

    Args:
        name: Name in tables and configs.
        gamma: 0 draws evenly, large values take the largest.

    Raises:
        ReActError: ``gamma`` is negative.
    """

    name: str = "falcun"
    gamma: float = 10.0

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ReActError(f"gamma {self.gamma} would draw what is certain; use 0 or more.")

    def score(self, view: PoolView) -> Tensor:
        """Logarithm of the weight of each row as the first pick, with Gumbel noise ``(E, P)`` float64."""
        unsure = self._unsure(view)
        weight = self._weights(unsure, unsure, view.available)
        return weight.clamp_min(_SMALLEST).log() + _gumbel(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Draw ``n`` rows."""
        unsure, free = self._unsure(view), view.available
        distance, p = unsure, view.probabilities
        column = top_columns(view, self.score(view), 1)[:, 0]
        numbers = uniform_numbers(view, n - 1)
        picks = [column]
        for number in numbers.unbind(1):
            chosen = column.clamp_min(0)[:, None]
            free = free.scatter(1, chosen, False)
            own = p.gather(2, chosen[:, None].expand(-1, p.shape[1], -1))
            distance = torch.minimum(distance, (p - own).abs().sum(1).double())
            column = draw_column(self._weights(unsure, distance, free), free, number)
            picks.append(column)
        return to_ids(view, torch.stack(picks, 1))

    def _unsure(self, view: PoolView) -> Tensor:
        return 1.0 - view.margin.double()

    def _weights(self, unsure: Tensor, distance: Tensor, free: Tensor) -> Tensor:
        """``(u + d)^gamma`` in units of the largest ``(E, P)``; 0 where a row is not free."""
        least = torch.where(free, distance, torch.inf).amin(1, keepdim=True)
        most = torch.where(free, distance, -torch.inf).amax(1, keepdim=True)
        spread = torch.where(most > least, most - least, 1.0)
        worth = torch.where(free, unsure + (distance - least) / spread, 0.0)
        scaled = worth / worth.amax(1, keepdim=True).clamp_min(_SMALLEST)
        return torch.where(free, scaled**self.gamma, 0.0)


def _ranks(view: PoolView, scores: Tensor) -> Tensor:
    """One plus the number of available rows with a larger score, ``(E, P)`` float64."""
    ascending = torch.where(view.available, scores, -torch.inf).sort(1).values
    above = scores.shape[1] - torch.searchsorted(ascending, scores.contiguous(), right=True)
    return 1.0 + above.double()
