"""Features that stay while a batch is picked: what the model, the labels and the text say of a row.

All are ``(E, P)`` tensors, larger where a row is more wanted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from react_rl.simulation.view import PoolView


def margin(view: PoolView) -> Tensor:
    """Minus the difference of the two largest class probabilities."""
    return -view.margin


def entropy(view: PoolView) -> Tensor:
    """Entropy of the class probabilities in nats."""
    return view.entropy


def relative_entropy(view: PoolView) -> Tensor:
    """Entropy of the class probabilities over its largest value, log C."""
    return view.entropy / _log_classes(view)


def least_confidence(view: PoolView) -> Tensor:
    """One minus the largest class probability."""
    return 1.0 - view.confidence


def second_probability(view: PoolView) -> Tensor:
    """The second largest class probability."""
    return view.confidence - view.margin


def third_probability(view: PoolView) -> Tensor:
    """The third largest class probability; 0 where there are two classes."""
    probabilities = view.probabilities
    n_classes = probabilities.shape[1]
    if n_classes < 3:
        return torch.zeros_like(view.confidence)
    if n_classes > 16:
        return probabilities.topk(3, dim=1).values[:, 2]
    # Three running maxima over the class axis read memory in order, which topk does not.
    first = second = third = torch.zeros_like(probabilities[:, 0])
    for other in probabilities.unbind(1):
        third = torch.maximum(third, torch.minimum(second, other))
        second = torch.maximum(second, torch.minimum(first, other))
        first = torch.maximum(first, other)
    return third


def gini(view: PoolView) -> Tensor:
    """Probability that two labels drawn from the prediction differ, ``1 - sum_c p_c^2``."""
    return 1.0 - view.probabilities.square().sum(1)


def expected_gradient(view: PoolView) -> Tensor:
    """Expected norm of the head's gradient, ``sum_c p_c |p - e_c| |x|``; embeddings have norm 1.

    ``|p - e_c|^2 = |p|^2 - 2 p_c + 1``; the intercept is left out.
    """
    p = view.probabilities
    squared = p.square().sum(1, keepdim=True) - 2.0 * p + 1.0
    length: Tensor = (p * squared.clamp_min(0.0).sqrt()).sum(1)
    return length


def mentions(view: PoolView) -> Tensor:
    """Entities that the model finds in the sentence; 0 in tasks without tags."""
    return view.tokens.entities if view.has_tokens else torch.zeros_like(view.density)


def peak_entropy(view: PoolView) -> Tensor:
    """Largest entropy of a token's tags in nats; 0 in tasks without tags."""
    return view.tokens.largest_entropy if view.has_tokens else torch.zeros_like(view.density)


def density(view: PoolView) -> Tensor:
    """Mean cosine similarity to the nearest neighbours in the corpus."""
    return view.density


def balance(view: PoolView) -> Tensor:
    """One minus the share of the row's predicted class among the bought labels; 0 without classes."""
    if not view.has_classes:
        return torch.zeros_like(view.density)
    return 1.0 - _shares(view).gather(1, view.predicted)


def rarity(view: PoolView) -> Tensor:
    """Expected rarity of the row's class among the bought labels, ``sum_c p_c (1 - share_c)``."""
    return 1.0 - (view.probabilities * _shares(view)[:, :, None]).sum(1)


def vote_entropy(view: PoolView, votes: Tensor) -> Tensor:
    """Entropy of the labelled neighbours' votes ``(E, C, P)`` over log C."""
    entropy: Tensor = torch.special.entr(votes).sum(1)
    return entropy / _log_classes(view)


def disagreement(view: PoolView, votes: Tensor) -> Tensor:
    """Total variation distance between the labelled neighbours' votes ``(E, C, P)`` and the prediction."""
    return 0.5 * (votes - view.probabilities).abs_().sum(1)


def cheapness(view: PoolView) -> Tensor:
    """Minus the cost of the row's label, in cost units."""
    return -view.cost.float()


def brevity(view: PoolView) -> Tensor:
    """Minus the logarithm of the number of words of the text."""
    return -view.words.float().log()


def _shares(view: PoolView) -> Tensor:
    """Share of each class among the bought labels ``(E, C)``."""
    counts = view.class_counts
    return counts / counts.sum(1, keepdim=True).clamp_min(1.0)


def _log_classes(view: PoolView) -> Tensor:
    """Logarithm of the number of classes ``(E, 1)``, of two at least."""
    classes = torch.from_numpy(view.progress.n_classes).to(view.device, torch.float32)
    return classes.clamp_min(2.0).log()[:, None]
