"""What a search changes of a row scorer: weights of a few directions in its features, gated by the context.

An adjustment is one more member of the scorer's ensemble, without an MLP, so that a policy that was adjusted
is saved, loaded and played like the one that it began from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import BATCH, KNOWN_CONTEXT, ScorerStrategy
from react_rl.errors import ReActError, unknown

BLENDS: Final = {"mixture": MIXTURE}
"""Directions that are no single feature."""

GATES: Final = (
    "number of classes, log scale",
    "labels for each class, log scale",
    BATCH,
    "labelled nearest neighbours of one class, above chance",
    "mean density of the pool",
)
"""Numbers of the context that weights may follow."""

_FLAT: Final = 1e-3
"""Least deviation of a number of the context."""


def direction(name: str, features: Sequence[str]) -> Tensor:
    """Weights ``(F,)`` of norm 1 of a feature, or of a blend of them.

    Raises:
        ReActError: The scorer does not see what the direction is made of.
    """
    weights = BLENDS.get(name, {name: 1.0})
    lacking = [one for one in weights if one not in features]
    if lacking:
        raise unknown("direction of a search", name, [*features, *BLENDS])
    found = torch.tensor([weights.get(feature, 0.0) for feature in features])
    found /= found.norm()
    return found


@dataclass(frozen=True)
class Space:
    """What is searched.

    Args:
        features: Features that the scorer sees.
        context: What it sees of each pool: that of the policy it begins from, further gates after it.
        directions: ``(D, F)``.
        gates: Positions in the context of the B - 1 numbers that weights follow.
        centre: ``(B - 1,)`` typical values of these.
        spread: ``(B - 1,)`` their deviations.
        scale: Size of the weights, in scores of the policy.
    """

    features: tuple[str, ...]
    context: tuple[str, ...]
    directions: Tensor
    gates: tuple[int, ...]
    centre: Tensor
    spread: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Directions, and one more than gates: what a point of the space has numbers for."""
        return len(self.directions), len(self.gates) + 1

    def on(self, device: torch.device) -> Space:
        """The space with its numbers on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("directions", "centre", "spread")}
        return replace(self, **moved)

    def seen(self, context: Tensor) -> Tensor:
        """1 and the gates between -1 and 1 ``(E, B)``, of contexts ``(E, G)``."""
        gates = ((context[:, list(self.gates)] - self.centre) / self.spread).tanh()
        return torch.cat([torch.ones_like(context[:, :1]), gates], 1)


def space_around(
    policy: ScorerStrategy, directions: Sequence[str], gates: Sequence[str], context: Tensor, scale: float
) -> Space:
    """The space around a policy.

    Args:
        policy: Where the search begins.
        directions: Names of directions.
        gates: Names of numbers of the context.
        context: Contexts ``(N, K)`` of the policy's episodes, all of ``KNOWN_CONTEXT``.
        scale: Deviation of its scores over a pool.

    Raises:
        ReActError: A direction or gate is unknown.
    """
    for gate in gates:
        if gate not in KNOWN_CONTEXT:
            raise unknown("gate of a search", gate, KNOWN_CONTEXT)
    own = (*policy.context, *(gate for gate in gates if gate not in policy.context))
    columns = [KNOWN_CONTEXT.index(gate) for gate in gates]
    return Space(
        policy.features,
        own,
        torch.stack([direction(name, policy.features) for name in directions]),
        tuple(own.index(gate) for gate in gates),
        context[:, columns].mean(0),
        context[:, columns].std(0).clamp_min(_FLAT),
        scale,
    )


class Adjusted(nn.Module):
    """A scorer's scores plus those of adjustments, an own one for each episode.

    Args:
        base: The scorer.
        space: Where the adjustments are.
        points: ``(E, D, B)``.
    """

    def __init__(self, base: ScorerEnsemble, space: Space, points: Tensor) -> None:
        super().__init__()
        self.base, self.space = base, space
        self.register_buffer("points", points.to(next(base.parameters()).device))

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(E, R)`` of rows ``(E, R, F)`` in contexts ``(E, G)``."""
        return self.prepared()(rows, context)

    def prepared(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The function that ``forward`` computes, for many calls."""
        points, width = self.get_buffer("points") * self.space.scale, self.base.n_context
        score, space = self.base.prepared(), self.space.on(points.device)

        def adjusted(rows: Tensor, context: Tensor) -> Tensor:
            gated = torch.bmm(points, space.seen(context)[:, :, None])[:, :, 0]  # (E, D)
            weights = gated @ space.directions  # (E, F)
            return score(rows, context[:, :width]) + torch.bmm(rows, weights[:, :, None])[:, :, 0]

        return adjusted


def merged(base: ScorerEnsemble, space: Space, point: Tensor) -> ScorerEnsemble:
    """The scorer with an adjustment ``(D, B)`` as one more member; its picks are those of ``Adjusted``.

    Scores are those of ``Adjusted`` times M / (M + 1), with M members before.

    Raises:
        ReActError: The network has fewer hidden units than there are gates.
    """
    members = [one for one in base.members if isinstance(one, RowScorer)]
    many, hidden, gates = len(members), base.hidden, len(space.gates)
    if gates > hidden:
        raise ReActError(
            f"A scorer of {hidden} hidden units holds no {gates} gates; name at most {hidden} in "
            "adjustment.gates."
        )
    weights = many * space.scale * point.T @ space.directions  # (B, F)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, though none of them stays
        made = [RowScorer(len(space.features), len(space.context), hidden) for _ in range(many + 1)]
    with torch.no_grad():
        for member, old in zip(made, members, strict=False):
            state = old.state_dict()
            for name in ("gate.0.weight", "context.weight"):
                lacking = len(space.context) - state[name].shape[1]
                state[name] = torch.nn.functional.pad(state[name], (0, lacking))
            member.load_state_dict(state)
        for values in made[-1].parameters():
            values.zero_()
        first, last = made[-1].gate_layers
        made[-1].weights.copy_(weights[0])
        units = range(gates)
        first.weight[units, list(space.gates)] = 1.0 / space.spread
        first.bias[:gates] = -space.centre / space.spread
        last.weight[:, :gates] = weights[1:].T
    return ScorerEnsemble(made).eval()
