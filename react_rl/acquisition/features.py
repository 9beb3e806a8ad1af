"""Acquisition features: what can be said of each unlabelled row. Larger means more wanted.

Mixtures and the weigh-scores action space standardise and weigh these; adding one is a function and a
line in ``FEATURES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor

from react_rl.simulation.view import PoolView

Feature = Callable[[PoolView], Tensor]

NOVELTY: Final = "novelty"
"""The one feature that changes while a batch is picked."""


def margin(view: PoolView) -> Tensor:
    """Minus the difference of the two largest class probabilities ``(E, P)``."""
    return -view.margin


def entropy(view: PoolView) -> Tensor:
    """Entropy of the class probabilities in nats ``(E, P)``."""
    return view.entropy


def least_confidence(view: PoolView) -> Tensor:
    """One minus the largest class probability ``(E, P)``."""
    return 1.0 - view.confidence


def density(view: PoolView) -> Tensor:
    """Mean cosine similarity to the nearest neighbours in the corpus ``(E, P)``."""
    return view.density


def novelty(view: PoolView) -> Tensor:
    """Minus the largest cosine similarity to a labelled row ``(E, P)``."""
    return -view.nearest_labelled


def balance(view: PoolView) -> Tensor:
    """One minus the share of the row's predicted class among the bought labels ``(E, P)``."""
    counts = view.class_counts
    share = counts / counts.sum(1, keepdim=True).clamp_min(1.0)
    return 1.0 - share.gather(1, view.predicted)


FEATURES: Final[dict[str, Feature]] = {
    "margin": margin,
    "entropy": entropy,
    "least_confidence": least_confidence,
    "density": density,
    NOVELTY: novelty,
    "balance": balance,
}
