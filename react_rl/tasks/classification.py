"""Text classification: a target is a class, scores are logits ``(E, C, .)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.metrics.classification import CLASS_METRICS, Metric
from react_rl.tasks.heads import ClassHead
from react_rl.tasks.noise import check_noise, noise_of
from react_rl.tasks.protocol import Annotator, AnnotatorSettings, Ids, Level, ScoredVectors

SHARPNESS: Final = 10.0
"""Factor on the logits of soft accuracies: a regularised head is less sure than it is right."""

_FEW: Final = 600
"""Numbers for each class past the first below which one operation is quicker than several for each class."""

_FEW_ELSEWHERE: Final = 1 << 14
"""Numbers below which it is on a GPU, where every operation waits for its start."""


def top_two(values: Tensor) -> tuple[Tensor, Tensor]:
    """The largest and the second value along axis 1 of ``(E, C, n)``, C of two at least."""
    few = _FEW * (values.shape[1] - 1) if values.is_cpu else _FEW_ELSEWHERE
    if values.shape[1] > 16 or values.numel() < few:
        best = values.topk(2, dim=1).values
        return best[:, 0], best[:, 1]
    # A running pair of maxima over the class axis reads memory in order, which topk does not.
    first, other, *others = values.unbind(1)
    first, second = torch.maximum(first, other), torch.minimum(first, other)
    for other in others:
        second = torch.maximum(second, torch.minimum(first, other))
        first = torch.maximum(first, other)
    return first, second


class ClassSignals:
    """What class probabilities say of rows.

    Args:
        scores: Logits ``(E, C, P)``, those of equal rows up to rounding.
        level: Makes values of equal rows equal.
    """

    def __init__(self, scores: Tensor, level: Level) -> None:
        self._scores = scores
        self._level = level

    @cached_property
    def logits(self) -> Tensor:
        """The logits ``(E, C, P)``, equal ones for equal rows."""
        return self._level(self._scores)

    # Columns do not mix, and a copy takes over another column: what only goes into numbers that are levelled
    # need not be levelled itself.

    @cached_property
    def _chances(self) -> Tensor:
        return torch.softmax(self._scores, 1)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities ``(E, C, P)``."""
        return self._level(self._chances)

    @cached_property
    def _top_two(self) -> tuple[Tensor, Tensor]:
        if self._chances.shape[1] == 1:
            return self._chances[:, 0], torch.zeros_like(self._chances[:, 0])
        return top_two(self._chances)

    @cached_property
    def confidence(self) -> Tensor:
        """Largest class probability ``(E, P)``."""
        return self._level(self._top_two[0])

    @cached_property
    def margin(self) -> Tensor:
        """Difference between the two largest class probabilities ``(E, P)``."""
        return self._level(self._top_two[0] - self._top_two[1])

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of the class probabilities in nats ``(E, P)``."""
        return self._level(torch.special.entr(self._chances).sum(1))


class Classification:
    """One class for each text. Errors name another class."""

    name: Final = "classification"
    has_classes: Final = True
    head: Final = ClassHead("texts")
    metrics: Mapping[str, Metric] = CLASS_METRICS
    default_metrics: tuple[str, ...] = ("accuracy", "macro_f1")

    def shape(self, corpora: Sequence[Corpus]) -> tuple[int, ...]:
        """A single number."""
        return ()

    def check(self, corpus: Corpus, settings: AnnotatorSettings) -> None:
        """Check that the annotator can be had; see ``check_noise``."""
        check_noise(corpus, settings)

    def strata(self, corpus: Corpus) -> Ids:
        """Its classes."""
        return corpus.targets

    def n_outputs(self, corpora: Sequence[Corpus], most_classes: int) -> int:
        """As many as there are classes."""
        return most_classes

    def strata_names(self, corpus: Corpus) -> tuple[str, ...]:
        """Its label names."""
        return corpus.label_names

    def targets(self, corpus: Corpus, rows: Ids, classes: Ids, shape: tuple[int, ...]) -> Ids:
        """Positions in ``classes``, -1 for rows of others."""
        own = corpus.targets[rows]
        place = np.searchsorted(classes, own).clip(max=classes.size - 1)
        return np.where(classes[place] == own, place, -1)

    def written(self, corpus: Corpus, row: int, target: Ids, classes: Ids) -> str:
        """The name of the class."""
        return "" if target < 0 else corpus.label_names[classes[target]]

    def kinds(self, targets: Tensor) -> Tensor:
        """The classes themselves."""
        return targets

    def n_kinds(self, most_classes: int) -> int:
        """As many as there are classes."""
        return most_classes

    def annotator(self, corpus: Corpus, embeddings: Tensor, settings: AnnotatorSettings) -> Annotator | None:
        """See ``noise_of``."""
        return noise_of(corpus, embeddings, settings)

    def judge(
        self, names: Sequence[str], scores: Tensor, truth: Tensor, class_mask: Tensor
    ) -> dict[str, Tensor]:
        """Metrics of logits ``(E, C, n)``."""
        labels = truth.expand(scores.shape[0], -1)
        return {name: CLASS_METRICS[name].function(scores, labels, class_mask) for name in names}

    def soft_score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Soft accuracy: the mean probability of the right class at temperature 1/10."""
        labels = truth.repeat_interleave(len(scores) // len(truth), 0)
        chances = torch.softmax(scores * SHARPNESS, 1)
        right = chances.gather(1, labels.clamp_min(0)[:, None])[:, 0]
        judged = labels >= 0
        return (right * judged).sum(1) / judged.sum(1)

    def scores_of(self, logits: Tensor, vectors: ScoredVectors) -> Tensor:
        """The logits: every column has one vector."""
        return logits

    def signals(self, scores: Tensor, level: Level, width: int) -> ClassSignals:
        """What the class probabilities say."""
        return ClassSignals(scores, level)
