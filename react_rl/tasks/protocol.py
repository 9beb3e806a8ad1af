"""What engine, oracle and view ask of a task. They hold its targets and scores without looking inside.

A target is a row of int64 numbers of one shape: a class for classification, the tags of a sentence for
tagging. Its first number is -1 where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.metrics.classification import Metric

Scores = Any
"""What a learner gives for columns, and the task that it learns can read."""

Ids = npt.NDArray[np.int64]
Level = Callable[[Tensor], Tensor]
"""Gives equal rows equal values ``(E, ..., P)``; see ``PoolView.level``."""


Scored = Literal["texts", "words", "answers"]
"""What gets a vector that a trained network scores: each text, each word of a sentence, or each word of a
context behind a question."""


@dataclass(frozen=True, eq=False)
class ScoredVectors:
    """What the U scored vectors of n columns of E episodes belong to.

    Args:
        column: ``(E, U)`` int64, which of the n columns each one belongs to, ascending; n for none.
        place: ``(E, U)`` int64, its place in the column's row.
        rows: ``(E, n)`` row ids of the columns, -1 for none.
        corpora: The corpus of each episode.
        repeated: ``(E, U)`` bool, whether a vector is that of the one before it, as words of one piece have
            the same; None where none is.
    """

    column: Tensor
    place: Tensor
    rows: Ids
    corpora: Sequence[Corpus]
    repeated: Tensor | None = None


class AnnotatorSettings(Protocol):
    """How right an annotator is; ``EpisodeOptions`` says it."""

    @property
    def label_noise(self) -> float | Literal["crowd"]:
        """Rate of wrong answers."""
        ...

    @property
    def confusion(self) -> Literal["similar"] | dict[str, dict[str, float]] | None:
        """Which wrong answers are given."""
        ...

    @property
    def classes(self) -> tuple[int, int] | None:
        """Smallest and largest number of classes of an episode."""
        ...


class Annotator(Protocol):
    """Answers that may be wrong, on one corpus."""

    def answer(self, rows: Ids, truth: Ids, classes: Ids, rng: np.random.Generator) -> Ids:
        """Draw the answers to rows.

        Args:
            rows: ``(P,)`` row ids.
            truth: ``(P, ...)`` their true targets.
            classes: ``(C,)`` classes that take part, ascending.
            rng: What the draw is taken from.

        Returns:
            ``(P, ...)`` targets.
        """
        ...


class RowSignals(Protocol):
    """How sure a model is of each row, ``(E, P)`` float32; what query strategies of any task read."""

    @property
    def confidence(self) -> Tensor:
        """How probable the best answer is, per decision that it takes."""
        ...

    @property
    def margin(self) -> Tensor:
        """How far it is ahead of the second; small means uncertain."""
        ...

    @property
    def entropy(self) -> Tensor:
        """Entropy of the answer in nats, per decision that it takes."""
        ...


class Head(Protocol):
    """What a network that is trained for the task scores, and what its scores are taught by."""

    @property
    def scored(self) -> Scored:
        """What gets a vector that is scored; see ``Scored``."""
        ...

    @property
    def weighs_classes(self) -> bool:
        """Whether a rare class can weigh more in the loss."""
        ...

    @property
    def stops_by_metric(self) -> bool:
        """Whether early stopping goes by the task's first metric, and by the dev loss where that is equal."""
        ...

    def shares(self, targets: Tensor, importance: Tensor) -> Tensor:
        """Weight ``(R, B, K)`` of each vector's loss in the loss of its episode.

        Args:
            targets: ``(R, B, K)`` int64 of K vectors of B examples of R episodes, -1 where there is none.
            importance: ``(R, C)`` float32 weight of each class.
        """
        ...

    def loss(self, scores: Tensor, targets: Tensor, class_mask: Tensor, smoothing: float) -> Tensor:
        """Loss of each scored vector ``(R, B, K)``.

        Args:
            scores: ``(R, B, K, C)`` float32.
            targets: ``(R, B, K)`` int64, -1 where there is no vector.
            class_mask: ``(R, C)`` bool, classes that take part.
            smoothing: Share of each target that is spread over all others.
        """
        ...

    def divergence(self, one: Tensor, other: Tensor, targets: Tensor) -> Tensor:
        """How far the predictions of two passes ``(R, B, K, C)`` are apart, ``(R, B, K)``; see ``heads``."""
        ...

    def dev_loss(
        self, scores: Tensor, column: Tensor, place: Tensor, truth: Tensor, repeated: Tensor | None = None
    ) -> Tensor:
        """Loss on the dev rows of one episode.

        Args:
            scores: ``(C, U)`` of their vectors.
            column: ``(U,)`` int64, which row each vector belongs to.
            place: ``(U,)`` int64, its place in the row.
            truth: ``(n, ...)`` targets of the rows.
            repeated: ``(U,)`` bool; see ``ScoredVectors``. None where no vector is that of the one before it.
        """
        ...


class Task(Protocol):
    """What a target is, how answers err, how models are judged, and what they say of a row."""

    @property
    def name(self) -> str:
        """As corpora and configs call it."""
        ...

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes: then learners give logits, and signals are ``ClassSignals``."""
        ...

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What models can be judged by."""
        ...

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """What they are judged by unless something else is asked for; the first one is tabled."""
        ...

    def shape(self, corpora: Sequence[Corpus]) -> tuple[int, ...]:
        """Shape of a target, the same for all of these corpora."""
        ...

    def check(self, corpus: Corpus, settings: AnnotatorSettings) -> None:
        """Check that episodes with such an annotator can be drawn from ``corpus``.

        Raises:
            ReActError: They cannot.
        """
        ...

    def strata(self, corpus: Corpus) -> Ids:
        """Groups ``(N,)`` whose shares stratified draws keep."""
        ...

    def strata_names(self, corpus: Corpus) -> tuple[str, ...]:
        """Names of these groups, for tables and figures."""
        ...

    def targets(self, corpus: Corpus, rows: Ids, classes: Ids, shape: tuple[int, ...]) -> Ids:
        """Targets of rows ``(n, *shape)`` in an episode of ``classes``; -1 where one is of none of them."""
        ...

    def written(self, corpus: Corpus, row: int, target: Ids, classes: Ids) -> str:
        """How a target ``(*shape)`` reads in a table; nothing where there is none.

        Args:
            corpus: The corpus.
            row: Row id.
            target: The target, as somebody gave it.
            classes: Classes of the episode that it was given in.
        """
        ...

    def kinds(self, targets: Tensor) -> Tensor:
        """Class that the ledger counts a target ``(..., *shape)`` as, ``(...)``; -1 where there is none."""
        ...

    def n_kinds(self, most_classes: int) -> int:
        """How many such classes there are."""
        ...

    def annotator(self, corpus: Corpus, embeddings: Tensor, settings: AnnotatorSettings) -> Annotator | None:
        """Who answers wrongly; None where nobody does."""
        ...

    def judge(
        self, names: Sequence[str], scores: Scores, truth: Tensor, class_mask: Tensor
    ) -> dict[str, Tensor]:
        """Metrics by name, ``(E,)`` each.

        Args:
            names: Which.
            scores: A learner's scores of n columns.
            truth: ``(E, n, *shape)`` or ``(1, n, *shape)`` their targets, -1 in columns that are no row.
            class_mask: ``(E, C)`` bool, classes that take part.
        """
        ...

    def soft_score(self, scores: Scores, truth: Tensor) -> Tensor:
        """How right models are, as a smooth number ``(E k,)`` from 0 to 1, larger is better.

        A metric has a step where this has a slope, and one bought row moves it by less than its noise. What
        look-ahead experts maximise; each task says which one it is and why.

        Args:
            scores: Scores of n columns by k models of each of E episodes, side by side.
            truth: ``(E, n, *shape)`` targets of the columns, -1 in those that are no row.
        """
        ...

    def signals(self, scores: Scores, level: Level, width: int) -> RowSignals:
        """What the scores of the first ``width`` columns say of them.

        Args:
            scores: A learner's scores.
            level: Makes values ``(E, ..., P)`` of equal rows equal: whatever is said of rows goes through it.
            width: P.
        """
        ...


@runtime_checkable
class TrainsNetworks(Task, Protocol):
    """A task whose networks score vectors by class, so that fine-tuning can learn it."""

    @property
    def head(self) -> Head:
        """What trained networks score, and their loss."""
        ...

    def n_outputs(self, corpora: Sequence[Corpus], most_classes: int) -> int:
        """C, the classes that each scored vector is one of, where episodes have so many at most."""
        ...

    def scores_of(self, logits: Tensor, vectors: ScoredVectors) -> Scores:
        """Scores of n columns as the task reads them.

        Args:
            logits: ``(E, C, U)`` float32 of the scored vectors, column after column.
            vectors: What they belong to.
        """
        ...
