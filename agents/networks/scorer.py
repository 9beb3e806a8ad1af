"""Networks that give each row of a pool a score: one shared function of the row's features and the context.

Rows do not see each other here, so scores move with the rows when these are put in another order; what a row
is among others is said by its features, which are standardised over the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from react_rl.products import IMAGES, convolved

_TOGETHER: Final = 1 << 14
"""Rows whose hidden units are computed together: few enough to stay in the processor's cache."""


class RowScorer(nn.Module):
    """``score(x, c) = x . (w + gate(c)) + mlp(x, c)``: weights that follow the context, plus a small MLP.

    Args:
        n_features: F, features of a row.
        n_context: G, numbers that all rows of a pool share.
        hidden: Units of each hidden layer.
    """

    def __init__(self, n_features: int, n_context: int, hidden: int = 48) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_features))
        self.gate = nn.Sequential(nn.Linear(n_context, hidden), nn.Tanh(), nn.Linear(hidden, n_features))
        self.rows = nn.Linear(n_features, hidden)
        self.context = nn.Linear(n_context, hidden, bias=False)
        self.mlp = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        last = self.gate_layers[1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @property
    def gate_layers(self) -> tuple[nn.Linear, nn.Linear]:
        """The two layers of the gate."""
        first, last = self.gate[0], self.gate[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        return first, last

    @property
    def layers(self) -> tuple[nn.Linear, nn.Linear]:
        """The hidden and the last layer of the MLP."""
        hidden, last = self.mlp[1], self.mlp[3]
        assert isinstance(hidden, nn.Linear)
        assert isinstance(last, nn.Linear)
        return hidden, last

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)``."""
        weights = self.weights + self.gate(context)
        linear = torch.bmm(rows, weights[:, :, None])[:, :, 0]
        hidden = self.rows(rows) + self.context(context)[:, None]
        scores: Tensor = linear + self.mlp(hidden)[:, :, 0]
        return scores


class ScorerEnsemble(nn.Module):
    """The mean of M scorers, computed side by side.

    Args:
        members: The scorers, of one shape.
    """

    def __init__(self, members: Sequence[RowScorer]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def n_context(self) -> int:
        """G, numbers of the context."""
        return self._first.gate_layers[0].in_features

    @property
    def hidden(self) -> int:
        """Units of each hidden layer of a member."""
        return self._first.gate_layers[0].out_features

    @property
    def _first(self) -> RowScorer:
        member = self.members[0]
        assert isinstance(member, RowScorer)
        return member

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)``."""
        return self.prepared()(rows, context)

    def prepared(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that ``forward`` computes, with weights put side by side once for many calls."""
        members = [member for member in self.members if isinstance(member, RowScorer)]
        many, gates = len(members), [one.gate_layers for one in members]
        # Gates and shifts of all members in one product with the context, (2 M H, G).
        joint = torch.cat((*[gate.weight for gate, _ in gates], *[one.context.weight for one in members]))
        start = torch.cat((*[gate.bias for gate, _ in gates], *[one.rows.bias for one in members]))
        fixed = [one.weights + layer.bias for one, (_, layer) in zip(members, gates, strict=True)]
        plain = torch.stack(fixed).mean(0)  # (F,)
        gated = torch.cat([layer.weight for _, layer in gates], 1).T / many  # (M H, F)
        # (H, F), (H, H), (H,), (H,) of each member.
        inner, last = zip(*[one.layers for one in members], strict=True)
        parts = [
            (one.rows.weight, layer.weight, layer.bias) for one, layer in zip(members, inner, strict=True)
        ]
        thirds = [layer.weight[0] / many for layer in last]
        # An adjustment (``agents.adjustment``) is a member whose MLP says nothing.
        speaking = [place for place, third in enumerate(thirds) if third.any()]
        constant = torch.stack([layer.bias for layer in last]).mean()

        def score(rows: Tensor, context: Tensor) -> Tensor:
            seen = torch.addmm(start, context, joint.T)
            hidden, shift = seen.chunk(2, 1)
            weights = torch.addmm(plain, hidden.tanh(), gated)
            # Features of rows are often columns in memory, and are read as such.
            scores = torch.bmm(weights[:, None], rows.transpose(1, 2))[:, 0] + constant
            shifts = shift[:, None].chunk(many, 2)  # (B, 1, H) each
            step = max(1, _TOGETHER // max(rows.shape[1], 1))
            for begin in range(0, len(rows), step):
                some, own = slice(begin, begin + step), rows[begin : begin + step].contiguous()
                for place in speaking:
                    first, second, bias = parts[place]
                    units = _affine(own, first).add_(shifts[place][some]).relu_()
                    units = _affine(units, second, bias).relu_()
                    scores[some] += torch.mv(units.flatten(0, 1), thirds[place]).view(own.shape[:2])
            return scores

        return score


def _affine(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows ``(B, R, i)`` times weights ``(o, i)``, plus a bias ``(o,)``: ``(B, R, o)``."""
    if not rows.is_cpu or len(rows) < IMAGES:
        return functional.linear(rows, weight, bias)
    return convolved(rows, weight, bias)
