"""Networks that give each row of a pool a score: one shared function of the row's features and the context.

Rows do not see each other here, so scores move with the rows when these are put in another order; what a row
is among others is said by its features, which are standardised over the pool.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)``."""
        weights = self.weights + self.gate(context)
        linear = torch.bmm(rows, weights[:, :, None])[:, :, 0]
        hidden = self.rows(rows) + self.context(context)[:, None]
        scores: Tensor = linear + self.mlp(hidden)[:, :, 0]
        return scores


class ScorerEnsemble(nn.Module):
    """The mean of several scorers.

    Args:
        members: The scorers, of one shape.
    """

    def __init__(self, members: Sequence[RowScorer]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)``."""
        return torch.stack([member(rows, context) for member in self.members]).mean(0)
