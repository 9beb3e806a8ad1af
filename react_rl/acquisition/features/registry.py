"""The list of acquisition features: named columns with a number for each row, larger where more wanted.

Mixtures, the weigh-scores action space and row scorers standardise and weigh these; ``feature:NAME`` is a
strategy that takes the rows where one is largest. Adding one is a function and a line in ``FEATURES``; one's
own is named ``module:Name``. All who read a feature ask ``feature_named``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.features import kernel, rows
from react_rl.acquisition.features.flips import flips
from react_rl.acquisition.features.growth import Growth
from react_rl.acquisition.features.landmarks import EVEN, UNSURE
from react_rl.errors import ReActError, unknown
from react_rl.own_code import FEATURE, announced, is_outside, load_outside
from react_rl.simulation.view import PoolView

NOVELTY: Final = "novelty"

NEEDS: Final = ("predictions", "classes", "tokens", "similarities", "labels", "costs", "texts")
"""What features may look at: how sure the learner is, its class probabilities, tag probabilities of tokens
(such features are 0 where there are none), the embeddings' similarities, bought labels, prices, the texts
themselves."""


@dataclass(frozen=True)
class Feature:
    """One number for each row.

    Args:
        of: From the labelled rows and the picks of the batch so far to the numbers ``(E, R)``; those of
            copies may differ by rounding, which ``levelled`` puts right.
        summary: One line for people.
        needs: What it looks at, words from ``NEEDS``.
        cost: Work for one episode; P pool rows, C classes, D dimensions, L labelled rows.
        source: The paper.
        moves: Whether it changes while a batch is picked.
        heavy: Whether it costs much more than a pass over the predictions, so that few rows of a large pool
            get it.
        remembers: Whether it compares this round with those in which it was asked for before.
    """

    of: Callable[[Growth], Tensor]
    summary: str
    needs: frozenset[str]
    cost: str = "O(P)"
    source: str = "-"
    moves: bool = False
    heavy: bool = False
    remembers: bool = False

    def __call__(self, view: PoolView) -> Tensor:
        """The numbers ``(E, P)`` at the round's start."""
        return self.levelled(Growth(view))

    @property
    def shared(self) -> bool:
        """Whether copies have one number; they may differ in price and text."""
        return not {"costs", "texts"} & self.needs

    def levelled(self, growth: Growth) -> Tensor:
        """The numbers ``(E, R)``, the same for copies."""
        values = self.of(growth)
        return growth.level(values) if self.shared else values


def _of_view(
    function: Callable[[PoolView], Tensor],
    summary: str,
    needs: str,
    cost: str = "O(P)",
    source: str = "-",
) -> Feature:
    def of(growth: Growth) -> Tensor:
        return growth.own(function(growth.view))

    return Feature(of, summary, frozenset(needs.split()), cost, source)


def _moving(
    function: Callable[[Growth], Tensor],
    summary: str,
    needs: str,
    cost: str,
    source: str = "-",
    heavy: bool = True,
) -> Feature:
    return Feature(function, summary, frozenset(needs.split()), cost, source, moves=True, heavy=heavy)


def _novelty(growth: Growth) -> Tensor:
    return -growth.nearest


def _wide_novelty(growth: Growth) -> Tensor:
    return -torch.log(growth.mass + kernel.FAINT)


def _herding(growth: Growth) -> Tensor:
    return growth.coverage.gain(EVEN)


def _unsure_herding(growth: Growth) -> Tensor:
    return growth.coverage.gain(UNSURE)


def _variance(growth: Growth) -> Tensor:
    return growth.posterior.variance


def _even_reduction(growth: Growth) -> Tensor:
    return growth.posterior.reductions[:, EVEN]


def _unsure_reduction(growth: Growth) -> Tensor:
    return growth.posterior.reductions[:, UNSURE]


def _variance_reduction(growth: Growth) -> Tensor:
    return growth.posterior.reductions[:, UNSURE] * growth.gini


def _expected_change(growth: Growth) -> Tensor:
    return growth.posterior.changes * growth.gini


def _cluster_gap(growth: Growth) -> Tensor:
    return growth.own(growth.clusters.gaps)


def _bald(growth: Growth) -> Tensor:
    return growth.own(growth.information)


def _flips(growth: Growth) -> Tensor:
    return growth.own(flips(growth.view))


def _crowding(growth: Growth) -> Tensor:
    return growth.own(kernel.crowding(growth.landmarks))


def _vote_entropy(growth: Growth) -> Tensor:
    return growth.own(rows.vote_entropy(growth.view, growth.votes))


def _disagreement(growth: Growth) -> Tensor:
    return growth.own(rows.disagreement(growth.view, growth.votes))


_HERDING: Final = "Bae et al. 2024"
_VARIANCE: Final = "Cohn et al. 1996"

FEATURES: Final[dict[str, Feature]] = {
    "margin": _of_view(
        rows.margin,
        "minus the gap of the two top probabilities",
        "predictions",
        "O(P C)",
        "Scheffer et al. 2001",
    ),
    "entropy": _of_view(
        rows.entropy, "entropy of the prediction in nats", "predictions", "O(P C)", "Dagan & Engelson 1995"
    ),
    "relative_entropy": _of_view(rows.relative_entropy, "entropy over log C", "predictions", "O(P C)"),
    "least_confidence": _of_view(
        rows.least_confidence, "one minus the top probability", "predictions", "O(P C)", "Lewis & Gale 1994"
    ),
    "second_probability": _of_view(
        rows.second_probability, "second largest probability", "predictions", "O(P C)"
    ),
    "third_probability": _of_view(
        rows.third_probability, "third largest probability", "predictions classes", "O(P C)"
    ),
    "gini": _of_view(
        rows.gini, "chance that two labels from the prediction differ", "predictions classes", "O(P C)"
    ),
    "expected_gradient": _of_view(
        rows.expected_gradient,
        "expected norm of the head's gradient",
        "predictions classes",
        "O(P C)",
        "Settles & Craven 2008",
    ),
    "mentions": _of_view(
        rows.mentions, "entities that the model finds in the sentence", "tokens", source="Kohl et al. 2024"
    ),
    "peak_entropy": _of_view(
        rows.peak_entropy, "largest entropy of a token", "tokens", source="Marcheggiani & Artières 2014"
    ),
    "density": _of_view(
        rows.density,
        "mean similarity to the nearest rows of the corpus",
        "similarities",
        source="Hacohen et al. 2022",
    ),
    "crowding": Feature(
        _crowding,
        "mean kernel to the rows of the pool",
        frozenset({"similarities"}),
        "O(P^2)",
        "Parzen 1962",
        heavy=True,
    ),
    NOVELTY: _moving(
        _novelty,
        "minus the similarity to the nearest labelled row",
        "similarities",
        "O(P L)",
        "Sener & Savarese 2018",
        heavy=False,
    ),
    "wide_novelty": _moving(
        _wide_novelty, "minus the log of the kernel's sum over labelled rows", "similarities", "O(P L)"
    ),
    "herding": _moving(_herding, "gain of the mean coverage of the pool", "similarities", "O(P^2)", _HERDING),
    "unsure_herding": _moving(
        _unsure_herding,
        "the same, rows counting by 1 - margin",
        "similarities predictions",
        "O(P^2)",
        "Bae et al. 2025",
    ),
    "variance": _moving(
        _variance, "posterior variance of the row's score", "similarities", "O(P L^2)", _VARIANCE
    ),
    "even_reduction": _moving(
        _even_reduction,
        "mean variance that a label takes off the pool",
        "similarities",
        "O(P^2 L)",
        _VARIANCE,
    ),
    "unsure_reduction": _moving(
        _unsure_reduction,
        "the same, rows counting by 1 - margin",
        "similarities predictions",
        "O(P^2 L)",
        _VARIANCE,
    ),
    "variance_reduction": _moving(
        _variance_reduction,
        "the same, times the row's gini",
        "similarities predictions classes",
        "O(P^2 L)",
        _VARIANCE,
    ),
    "expected_change": _moving(
        _expected_change,
        "expected squared change of the pool's scores by the label, rows counting by 1 - margin",
        "similarities predictions classes",
        "O(P^2 L)",
        "Freytag et al. 2014",
    ),
    "cluster_gap": _moving(
        _cluster_gap,
        "share of the pool in the row's cluster minus the share of the labels there",
        "similarities",
        "O(P K D), once",
        "after Hacohen et al. 2022",
    ),
    "bald": Feature(
        _bald,
        "information about ten heads that the label carries",
        frozenset({"similarities", "predictions", "classes", "labels"}),
        "O(M (P C D + L^3))",
        "Houlsby et al. 2011",
        heavy=True,
    ),
    "flips": Feature(
        _flips,
        "changes of the predicted class from round to round",
        frozenset({"predictions", "classes"}),
        source="after Bengar et al. 2021",
        remembers=True,
    ),
    "balance": _of_view(
        rows.balance, "one minus the label share of the predicted class", "predictions labels", "O(P C)"
    ),
    "rarity": _of_view(
        rows.rarity,
        "expected rarity of the row's class among the labels",
        "predictions classes labels",
        "O(P C)",
    ),
    "vote_entropy": Feature(
        _vote_entropy,
        "entropy of the labelled neighbours' votes over log C",
        frozenset({"similarities", "classes", "labels"}),
        "O(P L C)",
        heavy=True,
    ),
    "disagreement": Feature(
        _disagreement,
        "distance between the prediction and the labelled neighbours' votes",
        frozenset({"similarities", "labels", "predictions", "classes"}),
        "O(P L C)",
        "after Margatina et al. 2021",
        heavy=True,
    ),
    "cheapness": _of_view(rows.cheapness, "minus the cost of the label", "costs"),
    "brevity": _of_view(rows.brevity, "minus the log of the words of the text", "texts"),
}
"""The features by name."""

_PACKAGED: Final = dict(FEATURES)


def is_packaged_feature(name: str) -> bool:
    """Whether a feature comes with the package, and nobody has put another in its place."""
    return name in _PACKAGED and FEATURES.get(name) is _PACKAGED[name]


def code_of_feature(name: str) -> object:
    """The function behind a feature.

    Raises:
        ReActError: There is no such feature.
    """
    if name in FEATURES or not is_outside(name, FEATURE):
        return feature_named(name).of
    found = load_outside(name, FEATURE)
    return found.of if isinstance(found, Feature) else found


def feature_named(name: str) -> Feature:
    """The feature called ``name``: a registered one, one that a package announces, or ``module:Name``.

    What is named outside the package is a ``Feature``, or a function from a view to numbers ``(E, P)``.

    Raises:
        ReActError: There is no such feature, or what is named is none.
    """
    if name in FEATURES:
        return FEATURES[name]
    if not is_outside(name, FEATURE):
        raise unknown("feature", name, [*FEATURES, *announced(FEATURE.group)], "features")
    found = load_outside(name, FEATURE)
    if isinstance(found, Feature):
        return found
    if isinstance(found, type) or not callable(found):
        raise ReActError(
            f"Feature {name!r} is of type {type(found).__name__}; it must be a function from a view to "
            "numbers (E, P), or a Feature."
        )

    def checked(view: PoolView) -> Tensor:
        values: Tensor = found(view)
        if not isinstance(values, Tensor) or values.shape != view.ids.shape:
            shape = tuple(getattr(values, "shape", ()))
            raise ReActError(
                f"Feature {name!r} gave {type(values).__name__} of shape {shape}; it must give a tensor of "
                f"shape {tuple(view.ids.shape)}, a number for each row."
            )
        return values

    summary = (found.__doc__ or "own").strip().splitlines()[0].rstrip(".")
    return _of_view(checked, summary, " ".join(NEEDS))
