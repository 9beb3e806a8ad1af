"""Networks that score candidate rows, whatever their order and number, for pick-candidate policies.

Each is a features extractor of Stable-Baselines3 that gives the scores of the actions and, behind them,
numbers that describe the state, from which the value is estimated. Equal candidates get equal scores, and
scores move with the candidates when these are put in another order.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble

FORBIDDEN = -1e8
"""Score of a candidate that does not exist."""


class CandidateNetwork(BaseFeaturesExtractor):
    """From a dict observation to the scores of A actions and H numbers of the state, ``(B, A + H)``.

    Attributes:
        scores_by: Name of the linear layer whose output the scores are, if there is one.

    Args:
        observation_space: Space with ``context``, ``candidates`` and ``mask``.
        stop: Whether the last action stops; its score follows from the state.
        hidden: H.
    """

    OF_STATE: Final = ("row.", "context.", "state.", "stop.")
    """How the names of weights begin that no score of a candidate depends on."""

    scores_by: ClassVar[str] = ""

    def __init__(self, observation_space: spaces.Dict, stop: bool = False, hidden: int = 48) -> None:
        shapes = {key: space.shape or () for key, space in observation_space.spaces.items()}
        (self.n_context,), (self.n_candidates, self.n_features) = shapes["context"], shapes["candidates"]
        self.n_actions = self.n_candidates + stop
        super().__init__(observation_space, self.n_actions + hidden)
        self.stop = nn.Linear(hidden, 1) if stop else None
        self.row = nn.Linear(self.n_features, hidden)
        self.context = nn.Linear(self.n_context, hidden)
        self.state = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.Tanh())

    @abstractmethod
    def score(self, rows: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Scores ``(B, K)`` of candidates ``(B, K, F)`` in contexts ``(B, G)``.

        Args:
            rows: The candidates.
            context: What they share.
            mask: ``(B, K)`` 1 where there is a candidate, 0 elsewhere. Rows look at those with a 1 alone.
                In imitation those with a 0 are the ones that are scored, beside rows that stand for the pool.
        """

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Scores of the actions and numbers of the state, ``(B, A + H)``."""
        rows, context = observations["candidates"].float(), observations["context"].float()
        mask = observations["mask"].float()
        scores = self.score(rows, context, mask).masked_fill(mask == 0, FORBIDDEN)
        state = self.state(pooled(self.row(rows).relu(), mask) + self.context(context))
        parts = [scores, state] if self.stop is None else [scores, self.stop(state), state]
        return torch.cat(parts, 1)


def pooled(rows: Tensor, mask: Tensor) -> Tensor:
    """Mean ``(B, H)`` of the rows ``(B, K, H)`` that there are."""
    return (rows * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp_min(1.0)


class SharedScorer(CandidateNetwork):
    """Each candidate is scored by itself: weights that follow the context, plus a small MLP.

    The network that imitation trains: the mean of several ``RowScorer``.

    Args:
        observation_space: Space with ``context``, ``candidates`` and ``mask``.
        stop: Whether the last action stops.
        hidden: Units of each hidden layer.
        members: Scorers whose mean is taken.
    """

    def __init__(
        self, observation_space: spaces.Dict, stop: bool = False, hidden: int = 48, members: int = 1
    ) -> None:
        super().__init__(observation_space, stop, hidden)
        self.scorer = ScorerEnsemble(
            [RowScorer(self.n_features, self.n_context, hidden) for _ in range(members)]
        )

    def score(self, rows: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Scores ``(B, K)``, each from its own row and the context."""
        scores: Tensor = self.scorer(rows, context)
        return scores


class DeepSets(CandidateNetwork):
    """Each candidate is scored beside the mean of all.

    Source: Zaheer et al. 2017, Deep sets, eq. 4 and section 3.
    """

    scores_by: ClassVar[str] = "rho.2"

    def __init__(self, observation_space: spaces.Dict, stop: bool = False, hidden: int = 48) -> None:
        super().__init__(observation_space, stop, hidden)
        self.phi = nn.Sequential(nn.Linear(self.n_features + self.n_context, hidden), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def score(self, rows: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Scores ``(B, K)``, each from its own row, the context and the mean of all rows."""
        inner = self.phi(torch.cat([rows, context[:, None].expand(-1, rows.shape[1], -1)], 2))
        mean = pooled(inner, mask)[:, None].expand_as(inner)
        scores: Tensor = self.rho(torch.cat([inner, mean], 2))[:, :, 0]
        return scores


class Attention(CandidateNetwork):
    """Candidates look at each other before they are scored: one transformer layer without positions.

    Source: Vaswani et al. 2017; Lee et al. 2019, Set transformer, section 3.1.

    Args:
        observation_space: Space with ``context``, ``candidates`` and ``mask``.
        stop: Whether the last action stops.
        hidden: H, a multiple of ``heads``.
        heads: Attention heads.
    """

    scores_by: ClassVar[str] = "last"

    def __init__(
        self, observation_space: spaces.Dict, stop: bool = False, hidden: int = 48, heads: int = 4
    ) -> None:
        super().__init__(observation_space, stop, hidden)
        self.inner = nn.Linear(self.n_features + self.n_context, hidden)
        self.layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout=0.0, batch_first=True)
        self.last = nn.Linear(hidden, 1)

    def score(self, rows: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Scores ``(B, K)``, each from all rows and the context."""
        inner = self.inner(torch.cat([rows, context[:, None].expand(-1, rows.shape[1], -1)], 2))
        # Where nothing can be bought, rows of zeros look at each other: no softmax is empty.
        hidden = (mask == 0) & (mask.sum(1, keepdim=True) > 0)
        scores: Tensor = self.last(self.layer(inner, src_key_padding_mask=hidden))[:, :, 0]
        return scores
