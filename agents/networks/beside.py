"""Candidate networks over the rows of a pool: each row is scored beside some rows that stand for the pool.

How many rows there are and which of them compete for a pick then says nothing about a score, so that a
network fitted to a few candidates scores whole pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from react_rl.agents.networks.candidates import CandidateNetwork
from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble
from react_rl.errors import ReActError, first_line

STANDING: Final = 64
"""Rows that stand for a pool when a policy is played."""

_TOGETHER: Final = 128
"""Rows that are scored together: attention compares each pair of them."""

Scores = Callable[[Tensor, Tensor], Tensor]
"""From features ``(E, R, F)`` and context ``(E, G)`` to scores ``(E, R)``."""


@runtime_checkable
class SeesPool(Protocol):
    """A network whose scores depend on what else is in the pool."""

    def beside(self, rows: Tensor, free: Tensor) -> Scores:
        """The function that scores rows of pools.

        Args:
            rows: ``(E, P, F)`` features of the pools' rows.
            free: ``(E, P)`` bool, those that can be bought.
        """
        ...


def within_pool(network: Scores, rows: Tensor, free: Tensor) -> Scores:
    """The function that scores rows of the pools ``(E, P, F)``, of which some are free ``(E, P)``."""
    return network.beside(rows, free) if isinstance(network, SeesPool) else network


def spread_columns(free: Tensor, count: int) -> Tensor:
    """Columns ``(E, count)`` of free rows ``(E, P)``, evenly spread over them.

    Where they are fewer some come again; an episode without free rows gets its first column.
    """
    places = torch.arange(count, device=free.device) * free.sum(1, keepdim=True) // count
    return _free_first(free).gather(1, places)


def drawn_columns(free: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Columns ``(E, count)`` of free rows ``(E, P)``, drawn with replacement; any where none is free."""
    drawn = torch.from_numpy(rng.random((len(free), count))).to(free.device)
    return _free_first(free).gather(1, (drawn * free.sum(1, keepdim=True)).long())


def _free_first(free: Tensor) -> Tensor:
    """Columns ``(E, P)``, those of free rows before the others, each in their order."""
    return torch.argsort((~free).byte(), dim=1, stable=True)


class PoolScorer(nn.Module):
    """A candidate network that scores rows beside others, which alone are what it looks at.

    Args:
        network: The network.
        name: Its name in the registry, or ``module:Name``.
        hidden: Units of each of its hidden layers.
    """

    def __init__(self, network: CandidateNetwork, name: str, hidden: int) -> None:
        super().__init__()
        self.network, self.name, self.hidden = network, name, hidden

    def forward(self, rows: Tensor, context: Tensor, beside: Tensor) -> Tensor:
        """Scores ``(B, R)`` of rows ``(B, R, F)`` in contexts ``(B, G)`` beside rows ``(B, M, F)``."""
        many = rows.shape[1]
        mask = torch.ones(rows.shape[0], many + beside.shape[1], device=rows.device)
        mask[:, :many] = 0.0
        return self.network.score(torch.cat([rows, beside], 1), context, mask)[:, :many]


class PoolEnsemble(nn.Module):
    """The mean of several pool scorers.

    Args:
        members: The scorers, of one kind and shape.
    """

    def __init__(self, members: Sequence[PoolScorer]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.name, self.hidden = members[0].name, members[0].hidden

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(E, R)`` of whole pools ``(E, R, F)`` in contexts ``(E, G)``, all rows being free."""
        return self.beside(rows, torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device))(
            rows, context
        )

    def beside(self, rows: Tensor, free: Tensor) -> Scores:
        """The function that scores rows of the pools ``(E, P, F)``, of which some are free ``(E, P)``."""
        columns = spread_columns(free, STANDING)
        standing = rows.gather(1, columns[:, :, None].expand(-1, -1, rows.shape[2]))

        def score(rows: Tensor, context: Tensor) -> Tensor:
            parts = [
                torch.stack([member(part, context, standing) for member in self.members]).mean(0)
                for part in torch.split(rows, _TOGETHER, 1)
            ]
            return torch.cat(parts, 1)

        return score


def ensemble(members: Sequence[RowScorer | PoolScorer]) -> ScorerEnsemble | PoolEnsemble:
    """The mean of several networks of one kind."""
    alone = [one for one in members if isinstance(one, RowScorer)]
    return (
        ScorerEnsemble(alone)
        if alone
        else PoolEnsemble([one for one in members if isinstance(one, PoolScorer)])
    )


def pool_scorer(
    kind: type[CandidateNetwork], name: str, features: int, context: int, hidden: int
) -> PoolScorer:
    """A pool scorer with fresh weights.

    Args:
        kind: Class of the network.
        name: Its name, for the message.
        features: F, features of a row.
        context: G, numbers that all rows of a pool share.
        hidden: Units of each hidden layer.

    Raises:
        ReActError: The network cannot be made in this size.
    """
    seen = spaces.Dict(
        {
            "context": spaces.Box(-np.inf, np.inf, (context,)),
            "candidates": spaces.Box(-np.inf, np.inf, (1, features)),
            "mask": spaces.MultiBinary(1),
        }
    )
    # A network of one's own raises what it likes.
    try:
        return PoolScorer(kind(seen, False, hidden), name, hidden)
    except Exception as error:
        raise ReActError(
            f"Network {name!r} cannot be made with {hidden} hidden units ({first_line(error)}); "
            "try another number, such as 48."
        ) from error
