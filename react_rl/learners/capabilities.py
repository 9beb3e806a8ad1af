"""What a learner can do beyond learning and scoring: small protocols, and names by which needs are declared.

The registry says which kind of learner offers what; strategies, references and features declare what they
need, and ``missing`` compares the two before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.protocol import LabelledRows, Learner, Purchase, ScoresColumns
from react_rl.learners.recipes.settings import Recipe

Capability = Literal["linear", "dropout", "committee", "trials", "recipes", "classes", "tokens", "spans"]

CAPABILITIES: Final[dict[Capability, str]] = {
    "linear": "a linear map of the embeddings; set learner.kind to softmax",
    "dropout": "hidden units to drop; set learner.mlp.dropout or learner.finetune.dropout above 0",
    "committee": "several heads; an MLP has one of its own only with learner.mlp.members of 2 or more",
    "trials": "batches to be tried out on copies of the learner; set learner.kind to softmax, tagger or span",
    "recipes": "recipes that episodes can choose; set learner.kind to softmax, tagger or finetune",
    "classes": "a corpus of classification, where the model gives every row class probabilities",
    "tokens": "a corpus of tagging, where tokens have tag probabilities; use the learner tagger or finetune",
    "spans": "a corpus of question answering, where words have scores as borders; use the learner span or "
    "finetune",
}
"""Each capability in words that say what to do where it is missing."""

SAID_OF_ROWS: Final[dict[str, Capability]] = {
    "classification": "classes",
    "tagging": "tokens",
    "question-answering": "spans",
}
"""What any learner of a task says of rows, by the name of the task."""


@runtime_checkable
class LinearMap(Protocol):
    """Scores are a linear map of the embeddings, kept as weights of the labelled rows."""

    @property
    def settings(self) -> SoftmaxSettings:
        """Regularisation."""
        ...

    def primal(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, D)`` and intercepts ``(E, C)`` for embeddings of the slots ``(E, n, D)``."""
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """A last layer on vectors of its own."""

    def features_of(self, columns: slice) -> Tensor:
        """What the last layer sees of a range of columns ``(E, ., H)`` float32."""
        ...

    def head(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, H)`` and intercepts ``(E, C)`` of the last layer."""
        ...


@runtime_checkable
class SamplesDropout(Protocol):
    """Hidden units that can be dropped at prediction."""

    def dropout_logits(self, columns: slice, samples: int) -> Tensor:
        """Scores of Monte Carlo samples ``(E, S, C, .)`` of a range of columns."""
        ...


@runtime_checkable
class HasMembers(Protocol):
    """An ensemble whose members' units are one after the other in its features."""

    @property
    def members(self) -> int:
        """M."""
        ...


class ScoresClasses(Protocol):
    """Scores classes, of the labelled rows as well."""

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` as they stand."""
        ...

    def fitted_logits(self) -> Tensor:
        """Current scores of the labelled rows themselves, ``(E, C, n)``."""
        ...


@runtime_checkable
class OffersCandidates(Protocol):
    """Scores only some rows of a pool in a round, because scoring is expensive."""

    def candidates(self, available: Tensor) -> Tensor | None:
        """Of the rows ``(E, P)`` that can be bought, those that are scored in this round; None for all."""
        ...


class Copies(ScoresColumns, Protocol):
    """Scratch copies of learners, on which batches are tried out."""

    def update(self, bought: Purchase) -> None:
        """Learn from rows that were just noted in their ledger, in place."""
        ...


@runtime_checkable
class TriesBatches(Protocol):
    """Can be copied so cheaply that batches are tried out on the copies."""

    @property
    def copies_read_ledger(self) -> bool:
        """Whether the copies look at the ledger; otherwise it need not be copied with them."""
        ...

    def replicate(self, labelled: LabelledRows, times: int) -> Copies:
        """Scratch learners of E * times episodes, side by side.

        Args:
            labelled: The ledger with its episodes copied likewise; where the copies do not read it, any.
            times: Copies of each episode.
        """
        ...


@runtime_checkable
class ChoosesRecipe(Protocol):
    """Lets each episode follow a recipe of its own, and change it between rounds."""

    @property
    def recipes(self) -> Sequence[Recipe]:
        """Recipe of each episode."""
        ...

    def choose(self, recipes: Sequence[Recipe | None]) -> None:
        """Set the recipe of each episode from now on; None leaves it as it is."""
        ...


@runtime_checkable
class LearnsInPhases(Protocol):
    """Wants to know when a phase ends and another begins, and which rows have come by then."""

    def enter_phase(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """Begin a phase in some episodes.

        Args:
            episodes: Which; before their first purchase their first phase, later the next one.
            arrived: ``(R, W)`` bool, columns of this phase and those before it.
        """
        ...


def choose_recipes(
    learner: Learner, recipes: Sequence[Recipe | None], episodes: npt.NDArray[np.bool_] | None = None
) -> None:
    """Set how each episode is trained and read from now on; None leaves it as it is. Mutates.

    Args:
        learner: The learner of the episodes.
        recipes: One for each.
        episodes: ``(E,)`` the episodes that this is about; None for all.

    Raises:
        ReActError: The learner knows no recipes, or not this one.
    """
    if not isinstance(learner, ChoosesRecipe):
        raise ReActError(f"Changing how an episode is trained needs {CAPABILITIES['recipes']}.")
    if episodes is not None:
        recipes = [one if due else None for one, due in zip(recipes, episodes, strict=True)]
    learner.choose(recipes)


def missing(needs: Iterable[Capability], offers: frozenset[Capability]) -> list[Capability]:
    """What is needed and not offered, in alphabetical order."""
    return sorted(set(needs) - offers)
