"""Disagreement of a committee: rows on which models that agree on the labels differ.

The committees themselves (dropped-out or resampled linear heads) are in ``learners.committee``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.committees import Committee, bootstrap_committee, dropout_committee
from react_rl.acquisition.wide.chunks import WIDE, column_slices
from react_rl.acquisition.wide.narrow import SMALLEST, surprise
from react_rl.acquisition.wide.screening import leaders, rounded_products, rounds_quickly
from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import Capability
from react_rl.simulation.view import PoolView

Disagreement = Callable[[Tensor, Tensor | None], Tensor]
"""From finite class scores (logits) ``(E, M, C, P)`` of M members to disagreements ``(E, P)``. With a spare
array of the same shape it is quick: sums are taken in another order, and both arrays overwritten."""


def mutual_information(scores: Tensor, spare: Tensor | None = None) -> Tensor:
    """Information about the model that the label would carry, ``H(mean_m p_m) - mean_m H(p_m)`` in nats.

    Source: Houlsby et al. 2011, Bayesian active learning for classification (BALD), eq. 2; with dropout:
    Gal et al. 2017, Deep Bayesian active learning with image data.
    """
    if spare is not None:
        return _spread(scores, spare)
    p = torch.softmax(scores, 2)
    information: Tensor = torch.special.entr(p.mean(1)).sum(1) - torch.special.entr(p).sum(2).mean(1)
    return information


def divergence_to_mean(scores: Tensor, spare: Tensor | None = None) -> Tensor:
    """Mean Kullback-Leibler divergence of a member to the committee's mean, ``mean_m KL(p_m || mean p)``.

    Written out it is ``H(mean p) - mean_m H(p_m)``: with the same committee the same number as BALD.

    Source: McCallum & Nigam 1998, Employing EM and pool-based active learning for text classification.
    """
    if spare is not None:
        return _spread(scores, spare)
    p = torch.softmax(scores, 2)
    mean = p.mean(1, keepdim=True)
    # A mean of the smallest numbers may be rounded to 0.
    cross = torch.special.xlogy(p, mean.clamp_min(SMALLEST))
    divergence: Tensor = (torch.special.xlogy(p, p) - cross).sum(2)
    return divergence.mean(1)


def _exponentials(scores: Tensor, into: Tensor) -> Tensor:
    """Write ``exp(s - max_c s)``; return its sums over the classes ``(E, M, P)``. Mutates both."""
    torch.exp(scores.sub_(scores.amax(2, keepdim=True)), out=into)
    return into.sum(2)


def _spread(scores: Tensor, spare: Tensor) -> Tensor:
    """``H(mean_m p_m) - mean_m H(p_m)``, by ``H(p) = log Z - sum_c p_c s_c`` for ``p = exp(s) / Z``.

    So logarithms are taken of the M sums Z and of the mean only. Mutates both.
    """
    total = _exponentials(scores, spare)
    inverse = total.reciprocal()
    within = total.log_().sub_(scores.mul_(spare).sum(2).mul_(inverse)).mean(1)
    mean = spare.mul_(inverse[:, :, None]).mean(1)
    return surprise(mean).sum(1).sub_(within)


def vote_shares(scores: Tensor, quick: bool = False) -> Tensor:
    """Share of the members that vote for each class, ``(E, C, P)``; of equal classes the first gets the vote.

    Args:
        scores: ``(E, M, C, P)`` scores or probabilities of the classes.
        quick: Whether ``scores`` may be overwritten.
    """
    members, largest = scores.shape[1], scores.amax(2, keepdim=True)
    # Comparing in place gives numbers, several times quicker than truth values.
    winners = scores.eq_(largest) if quick else (scores == largest).to(scores.dtype)
    votes = winners.sum(1)
    if not bool((votes.sum(1) <= members).all()):
        votes = torch.zeros_like(votes)
        for winner in winners.max(2).indices.unbind(1):
            votes.scatter_add_(1, winner[:, None], torch.ones_like(votes[:, :1]))
    return votes.div_(members)


def variation_ratio(scores: Tensor, spare: Tensor | None = None) -> Tensor:
    """Share of the members that do not vote for the most voted class, ``1 - max_c v_c``.

    Source: Freeman 1965, Elementary applied statistics; with ensembles: Beluch et al. 2018, The power of
    ensembles for active learning. (Gal et al. 2017 use ``1 - max_c`` of the mean probability instead.)
    """
    return 1.0 - vote_shares(scores, spare is not None).amax(1)


def vote_entropy(scores: Tensor, spare: Tensor | None = None) -> Tensor:
    """Entropy of the votes in nats, ``-sum_c v_c log v_c``.

    Source: Dagan & Engelson 1995, Committee-based sampling for training probabilistic classifiers (who
    divide by the constant log min(M, C)).
    """
    if spare is not None:
        return surprise(vote_shares(scores, quick=True)).sum(1)
    entropy: Tensor = torch.special.entr(vote_shares(scores)).sum(1)
    return entropy


def deviation(scores: Tensor, spare: Tensor | None = None) -> Tensor:
    """Standard deviation over the members, ``sum_c sqrt(E_m p_mc^2 - (E_m p_mc)^2)``.

    The mean over the classes is this divided by the constant C.

    Source: Kampffmeyer et al. 2016; Gal et al. 2017, Deep Bayesian active learning, section 4, "mean STD".
    """
    if spare is not None:
        total = _exponentials(scores, spare)
        p = spare.mul_(total.reciprocal_()[:, :, None])
        # Two passes like ``std``, but both read memory in order.
        return p.sub_(p.mean(1, keepdim=True)).square_().mean(1).sqrt_().sum(1)
    return torch.softmax(scores, 2).std(1, correction=0).sum(1)


DISAGREEMENTS: Final[dict[str, Disagreement]] = {
    "mutual-information": mutual_information,
    "divergence": divergence_to_mean,
    "variation-ratio": variation_ratio,
    "vote-entropy": vote_entropy,
    "deviation": deviation,
}
"""Disagreements by the name that ``QueryByCommittee`` takes."""

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
