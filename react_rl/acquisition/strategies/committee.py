"""Disagreement of a committee: rows on which models that agree on the labels differ.

The committees themselves (dropped-out or resampled linear heads) are in ``committees``, how far they disagree
in ``disagreements``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.committees import Committee, bootstrap_committee, dropout_committee
from react_rl.acquisition.disagreements import DISAGREEMENTS, Disagreement
from react_rl.acquisition.wide.chunks import WIDE, column_slices
from react_rl.acquisition.wide.screening import leaders, rounded_products, rounds_quickly
from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import Capability
from react_rl.simulation.view import PoolView

_AT_ONCE: Final = 4096
"""Rows of a wide pool whose scores are computed again at once."""

_OF_VOTES: Final = ("variation-ratio", "vote-entropy")
"""Those that jump where a vote goes another way."""


@dataclass(frozen=True)
class QueryByCommittee:
    """Rows on which a committee disagrees most (Seung et al. 1992, Query by committee).

    Args:
        name: Name in tables and configs.
        disagreement: A name from ``DISAGREEMENTS``.
        committee: ``bootstrap`` (heads refitted with random row weights around random priors) or
            ``dropout`` (masked inputs).
        members: M.
        rate: Share of dimensions that dropout drops. One half, because a linear head over hundreds of
            dimensions averages out the small rates that hidden layers use.

    Raises:
        ReActError: There is no such disagreement or committee, or no member.
    """

    name: str = "bald"
    disagreement: str = "mutual-information"
    committee: Literal["bootstrap", "dropout"] = "bootstrap"
    members: int = 10
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.disagreement not in DISAGREEMENTS:
            raise unknown("disagreement", self.disagreement, DISAGREEMENTS)
        check_committee(self.committee, self.members, self.rate)

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner; see ``learners.capabilities``."""
        return frozenset({"dropout" if self.committee == "dropout" else "committee"})

    def score(self, view: PoolView) -> Tensor:
        """Disagreement ``(E, P)``."""
        heads = make_committee(view, self.committee, self.members, self.rate)
        return committee_scores(view, heads, DISAGREEMENTS[self.disagreement])

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest disagreement."""
        heads = make_committee(view, self.committee, self.members, self.rate)
        return take_top(view, leading_scores(view, heads, self.disagreement, n), n)


def check_committee(committee: str, members: int, rate: float) -> None:
    """Raise ReActError unless a committee can be made of these settings."""
    if committee not in ("bootstrap", "dropout"):
        raise unknown("committee", committee, ("bootstrap", "dropout"))
    if members < 1:
        raise ReActError(f"A committee of {members} members cannot vote; use at least 1.")
    if not 0 < rate < 1:
        raise ReActError(f"Dropout rate {rate} must be between 0 and 1, both excluded.")


def make_committee(view: PoolView, committee: str, members: int, rate: float) -> Committee:
    """Draw this round's committee."""
    if committee == "dropout":
        return dropout_committee(view, members, rate)
    return bootstrap_committee(view, members)


def committee_scores(view: PoolView, committee: Committee, disagreement: Disagreement) -> Tensor:
    """Disagreement on every row ``(E, P)``, the pool walked in pieces; wide pools the quick way."""
    scores = torch.empty(view.ids.shape, device=view.device)
    heads = committee.members * committee.n_classes
    # Wide pools reuse two arrays: getting new memory for each piece costs as much as the work on it.
    store: Tensor | None = None
    for columns in column_slices(view, 2 * heads):
        if view.width < WIDE:
            scores[:, columns] = disagreement(committee.logits(columns), None)
            continue
        numbers = view.n_episodes * heads * (columns.stop - columns.start)
        if store is None:
            store = torch.empty(2, numbers, device=view.device)  # the first piece is the widest
        logits = committee.logits(columns, store[0, :numbers])
        scores[:, columns] = disagreement(logits, store[1, :numbers].view_as(logits))
    return view.level(scores)


def leading_scores(view: PoolView, committee: Committee, disagreement: str, n: int) -> Tensor:
    """Scores ``(E, P)`` for choosing ``n`` rows; where the pool is wide, minus infinity for rows far behind.

    Args:
        view: The pools.
        committee: Their committees.
        disagreement: A name from ``DISAGREEMENTS``.
        n: Rows that will be chosen.
    """
    measure = DISAGREEMENTS[disagreement]
    if view.width < WIDE or disagreement in _OF_VOTES or not rounds_quickly(view.device):
        return committee_scores(view, committee, measure)
    with rounded_products(view.device):
        rough = torch.where(view.available, committee_scores(view, committee, measure), -torch.inf)
    for episode, scores in enumerate(rough):
        own = committee.of_episode(episode)

        def exact(columns: Tensor, own: Committee = own) -> Tensor:
            parts = torch.split(columns, _AT_ONCE)
            return torch.cat([measure(own.logits(part[None]), None)[0] for part in parts])

        scores.copy_(leaders(scores, n, exact))
    return view.level(rough)
