"""Strategies that are fixed weights over the acquisition features: k-center, typicality, mixture.

A policy in the weigh-scores action space is the same thing with weights that change from round to round,
so the mixture is the honest rival of a learned weighting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_weighted, weighted_score
from react_rl.acquisition.features import feature_named
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

FEATURE: Final = "feature:"
"""How the name of a strategy of one feature begins: ``feature:margin``."""

WEIGHTS: Final = "weights:"
"""How the name of a strategy of weighted features begins: ``weights:margin=0.7,novelty=1``."""

MIXTURE: Final = {"margin": 0.7, "density": 1.0, "novelty": 1.0, "balance": 0.5}
"""Weights tuned once on twenty corpora (48 paired seeds, 10 initial labels and 16 rounds of 5)."""


TUNED: Final = {
    **{"entropy": 0.47, "least_confidence": 0.54, "gini": 0.35, "herding": 1.99},
    **{"variance_reduction": 0.52, "vote_entropy": 0.85},
}
"""Weights found by random search over all features (``experiments.studies.tuned_mixture``) on dev rows of
TREC-6, Subj, CR, SMS spam, Financial PhraseBank, DBpedia, AG News, IMDB and six generated tasks."""


@dataclass(frozen=True)
class WeightedFeatures:
    """Take rows greedily by fixed weights over standardised features, novelty updated after each pick.

    With ``novelty`` alone this is k-center greedy (Sener & Savarese 2018, Active learning for
    convolutional neural networks: a core-set approach, algorithm 1; on unit vectors the farthest row in
    cosine is the farthest in Euclidean distance). With ``density`` and ``novelty`` it is in the spirit of
    TypiClust (Hacohen et al. 2022): typical rows, far from what is labelled.

    Args:
        name: Name in tables and configs.
        weights: Weight of each feature by name.

    Raises:
        ReActError: A feature is unknown, or no weight differs from zero.
    """

    name: str = "mixture"
    weights: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))

    def __post_init__(self) -> None:
        for feature in self.weights:
            feature_named(feature)
        if not any(self.weights.values()):
            raise ReActError(f"Strategy {self.name!r} needs at least one feature with a weight other than 0.")

    def _weights(self, view: PoolView) -> Tensor:
        weights = torch.tensor(list(self.weights.values()), dtype=torch.float32, device=view.device)
        return weights.expand(view.n_episodes, -1)

    def score(self, view: PoolView) -> Tensor:
        """Weighted sum of standardised features at the round's start ``(E, P)``."""
        return weighted_score(view, tuple(self.weights), self._weights(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        return take_weighted(view, tuple(self.weights), self._weights(view), n)


def parse_weights(name: str) -> dict[str, float]:
    """Weight of each feature in a name that begins with ``WEIGHTS``.

    Raises:
        ReActError: It is not of the form ``weights:FEATURE=NUMBER,...``, or a feature comes twice.
    """
    weights: dict[str, float] = {}
    for part in name.removeprefix(WEIGHTS).split(","):
        feature, equals, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not equals or not feature.strip() or not math.isfinite(weight):
            raise ReActError(
                f"Strategy {name!r} has the part {part!r}; write {WEIGHTS}FEATURE=NUMBER,... as in "
                f"{WEIGHTS}margin=0.7,novelty=1."
            )
        if feature.strip() in weights:
            raise ReActError(f"Strategy {name!r} weighs {feature.strip()!r} twice; weigh it once.")
        weights[feature.strip()] = weight
    return weights


def name_of_weights(weights: Mapping[str, float]) -> str:
    """The name under which a config can play fixed weights, rounded to three significant digits."""
    return WEIGHTS + ",".join(f"{feature}={weight:.3g}" for feature, weight in weights.items())


def k_center() -> WeightedFeatures:
    """Farthest from labelled and picked rows, greedily."""
    return WeightedFeatures("k-center", {"novelty": 1.0})


def typicality() -> WeightedFeatures:
    """Dense regions far from labelled and picked rows."""
    return WeightedFeatures("typicality", {"density": 1.0, "novelty": 1.0})


def tuned_mixture() -> WeightedFeatures:
    """The mixture with weights that a random search found, all features being open to it."""
    return WeightedFeatures("tuned-mixture", TUNED)
