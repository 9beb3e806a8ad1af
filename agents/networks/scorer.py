"""Networks that give each row of a pool a score: one shared function of the row's features and the context.

Rows do not see each other here, so scores move with the rows when these are put in another order; what a row
is among others is said by its features, which are standardised over the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

_TOGETHER: Final = 2048
"""Rows whose hidden units are computed together: few enough to stay in a core's own cache."""


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
        last = self.gate[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

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

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)``."""
        members = [member for member in self.members if isinstance(member, RowScorer)]
        weights = torch.stack([one.weights + one.gate(context) for one in members]).mean(0)
        scores = torch.bmm(rows, weights[:, :, None])[:, :, 0]
        # (B, 1, H), (F, H), (H, H), (H,) of each member; products are quicker with contiguous factors.
        shifts = [(one.context(context) + one.rows.bias)[:, None] for one in members]
        firsts = [one.rows.weight.T.contiguous() for one in members]
        inner, last = zip(*[one.layers for one in members], strict=True)
        seconds = [layer.weight.T.contiguous() for layer in inner]
        biases = [layer.bias for layer in inner]
        thirds = [layer.weight[0] / len(members) for layer in last]
        step = max(1, _TOGETHER // max(rows.shape[1], 1))
        for start in range(0, len(rows), step):
            seen, some = rows[start : start + step], slice(start, start + step)
            for shift, first, second, bias, third in zip(
                shifts, firsts, seconds, biases, thirds, strict=True
            ):
                hidden = torch.baddbmm(shift[some], seen, first.expand(len(seen), -1, -1)).relu_()
                hidden = torch.addmm(bias, hidden.flatten(0, 1), second).relu_()
                scores[some] += torch.mv(hidden, third).view(seen.shape[:2])
        return scores + torch.stack([layer.bias for layer in last]).mean()
