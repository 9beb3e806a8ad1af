"""Measures of how far the members of a committee disagree on a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.wide.narrow import SMALLEST, surprise

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
