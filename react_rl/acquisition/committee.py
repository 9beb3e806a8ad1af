"""Disagreement of a committee: rows on which models that agree on the labels differ.

The committees themselves (dropped-out or resampled linear heads) are in ``learners.committee``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.chunks import WIDE, column_slices
from react_rl.acquisition.selection import take_top
from react_rl.errors import ReActError, unknown
from react_rl.learners.committee import Committee, bootstrap_committee, dropout_committee
from react_rl.simulation.view import PoolView

Disagreement = Callable[[Tensor, bool], Tensor]
"""From class probabilities ``(E, M, C, P)`` of M members to scores ``(E, P)``; and whether logarithms may be
off by the last bit, which makes them several times quicker."""

_SMALLEST: Final = 1e-38
"""Stands for a probability of 0 where logarithms are taken; times 0 it is 0."""


def _surprise(p: Tensor, quick: bool) -> Tensor:
    """``-p log p``."""
    return p.clamp_min(_SMALLEST).log_().mul_(p).neg_() if quick else torch.special.entr(p)


def mutual_information(p: Tensor, quick: bool = False) -> Tensor:
    """Information about the model that the label would carry, ``H(mean_m p_m) - mean_m H(p_m)`` in nats.

    Source: Houlsby et al. 2011, Bayesian active learning for classification (BALD), eq. 2; with dropout:
    Gal et al. 2017, Deep Bayesian active learning with image data.
    """
    information: Tensor = _surprise(p.mean(1), quick).sum(1) - _surprise(p, quick).sum(2).mean(1)
    return information


def divergence_to_mean(p: Tensor, quick: bool = False) -> Tensor:
    """Mean Kullback-Leibler divergence of a member to the committee's mean, ``mean_m KL(p_m || mean p)``.

    Written out it is ``H(mean p) - mean_m H(p_m)``: with the same committee the same number as BALD.

    Source: McCallum & Nigam 1998, Employing EM and pool-based active learning for text classification.
    """
    mean = p.mean(1, keepdim=True)
    if quick:
        ratio = p.clamp_min(_SMALLEST).log_().sub_(mean.clamp_min(_SMALLEST).log_())
        return ratio.mul_(p).sum(2).mean(1)
    divergence: Tensor = (torch.special.xlogy(p, p) - torch.special.xlogy(p, mean)).sum(2)
    return divergence.mean(1)


def vote_shares(p: Tensor) -> Tensor:
    """Share of the members that vote for each class, ``(E, C, P)``; of equal classes one gets the vote."""
    winners = (p == p.amax(2, keepdim=True)).to(p.dtype).sum(1)
    if bool((winners.sum(1) <= p.shape[1]).all()):
        return winners.div_(p.shape[1])
    votes = torch.zeros_like(p[:, 0])
    for winner in p.max(2).indices.unbind(1):
        votes.scatter_add_(1, winner[:, None], torch.ones_like(votes[:, :1]))
    return votes / p.shape[1]


def variation_ratio(p: Tensor, quick: bool = False) -> Tensor:
    """Share of the members that do not vote for the most voted class, ``1 - max_c v_c``.

    Source: Freeman 1965, Elementary applied statistics; with ensembles: Beluch et al. 2018, The power of
    ensembles for active learning. (Gal et al. 2017 use ``1 - max_c`` of the mean probability instead.)
    """
    return 1.0 - vote_shares(p).amax(1)


def vote_entropy(p: Tensor, quick: bool = False) -> Tensor:
    """Entropy of the votes in nats, ``-sum_c v_c log v_c``.

    Source: Dagan & Engelson 1995, Committee-based sampling for training probabilistic classifiers (who
    divide by the constant log min(M, C)).
    """
    entropy: Tensor = torch.special.entr(vote_shares(p)).sum(1)
    return entropy


def deviation(p: Tensor, quick: bool = False) -> Tensor:
    """Standard deviation over the members, ``sum_c sqrt(E_m p_mc^2 - (E_m p_mc)^2)``.

    The mean over the classes is this divided by the constant C.

    Source: Kampffmeyer et al. 2016; Gal et al. 2017, Deep Bayesian active learning, section 4, "mean STD".
    """
    if quick:
        # Two passes like ``std``, but both read memory in order.
        return (p - p.mean(1, keepdim=True)).square_().mean(1).sqrt_().sum(1)
    return p.std(1, correction=0).sum(1)


DISAGREEMENTS: Final[dict[str, Disagreement]] = {
    "mutual-information": mutual_information,
    "divergence": divergence_to_mean,
    "variation-ratio": variation_ratio,
    "vote-entropy": vote_entropy,
    "deviation": deviation,
}
"""Disagreements by the name that ``QueryByCommittee`` takes."""


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

    def score(self, view: PoolView) -> Tensor:
        """Disagreement ``(E, P)``."""
        heads = make_committee(view, self.committee, self.members, self.rate)
        return committee_scores(view, heads, DISAGREEMENTS[self.disagreement])

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest disagreement."""
        return take_top(view, self.score(view), n)


def check_committee(committee: str, members: int, rate: float) -> None:
    """Raise ReActError unless a committee can be made of these settings."""
    if committee not in ("bootstrap", "dropout"):
        raise unknown("committee", committee, ("bootstrap", "dropout"))
    if members < 1:
        raise ReActError(f"A committee of {members} members cannot vote; use at least 1.")
    if not 0 < rate < 1:
        raise ReActError(f"Dropout rate {rate} must lie between 0 and 1, both excluded.")


def make_committee(view: PoolView, committee: str, members: int, rate: float) -> Committee:
    """Draw this round's committee."""
    if committee == "dropout":
        return dropout_committee(view, members, rate)
    return bootstrap_committee(view, members)


def committee_scores(view: PoolView, committee: Committee, disagreement: Disagreement) -> Tensor:
    """Disagreement on every row ``(E, P)``, the pool walked in pieces; wide pools with quick logarithms."""
    scores = torch.empty(view.ids.shape, device=view.device)
    for columns in column_slices(view, 2 * committee.members * committee.n_classes):
        scores[:, columns] = disagreement(committee.probabilities(columns), view.width >= WIDE)
    return scores
