"""The loss of a piece of a batch: one pass or two, of the texts themselves or of their mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from react_rl.learners.finetune.backbone.between import Between
from react_rl.learners.finetune.backbone.nudging import Nudge
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.mixing import Pairs
from react_rl.learners.recipes.phases import distillation


@dataclass(frozen=True, eq=False)
class BatchPiece:
    """A piece of a batch of R episodes, ready to be scored.

    Args:
        network: The transformer.
        working: ``(R, ...)`` by name, the weights that it reads.
        lesson: What the batch is from.
        settings: How to train.
        texts: Texts of the piece.
        start: Place of their first row in the batch.
        targets: ``(R, B, K)`` int64 of the scored vectors of B examples, -1 where there is none.
        share: ``(R, B, K)`` weight of each of them in the loss of its batch.
        keys: ``(R,)`` int32 keys of the dropout masks, one for each pass.
        pairs: What vectors are mixed with; None for nothing.
        teacher: ``(R, B, C)`` scores of the model before the phase; None where nobody asks for them.
    """

    network: Network
    working: dict[str, Tensor]
    lesson: Lesson
    settings: FineTuneSettings
    texts: Texts
    start: int
    targets: Tensor
    share: Tensor
    keys: Sequence[Tensor]
    pairs: Pairs | None = None
    teacher: Tensor | None = None

    def loss(self, nudge: Nudge | None) -> Tensor:
        """Loss of each episode ``(R,)``, its part of the batch's.

        Args:
            nudge: Moves the vectors that enter the trained layers.
        """
        scores = [self._scores(units, nudge) for units in self.keys]
        each = [self._losses(one) for one in scores]
        if len(scores) == 1:
            return (each[0] * self.share).flatten(1).sum(1)
        apart = self.lesson.head.divergence(scores[0], scores[1], self.targets)
        both = (each[0] + each[1]) / 2.0 + self.settings.r_drop / 4.0 * apart
        return (both * self.share).flatten(1).sum(1)

    def _losses(self, scores: Tensor) -> Tensor:
        """Losses ``(R, B, K)`` of scores ``(R, B, K, C)``."""

        def against(targets: Tensor) -> Tensor:
            head, mask = self.lesson.head, self.lesson.class_mask
            return head.loss(scores, targets.view(self.targets.shape), mask, self.settings.label_smoothing)

        if self.teacher is not None:
            return against(self.targets) + self.settings.continual.distillation * self._drift(scores)
        if self.pairs is None:
            return against(self.targets)
        mixed = self.pairs.loss(lambda targets: against(targets).flatten(1), self.targets.flatten(1))
        return mixed.view(self.targets.shape)

    def _drift(self, scores: Tensor) -> Tensor:
        """How far scores ``(R, B, K, C)`` are from those of the model before the phase, ``(R, B, K)``."""
        held = self.lesson.held
        assert held.classes is not None, "a teacher comes with what it knows"
        assert self.teacher is not None, "asked for only with a teacher"
        classes, heat = held.classes[:, None, None], self.settings.continual.temperature
        return distillation(scores, self.teacher[:, :, None], classes, heat)[0]

    def _scores(self, units: Tensor, nudge: Nudge | None) -> Tensor:
        """Scores ``(R, B, K, C)`` of one pass, with units dropped by these keys."""
        network, lesson, pairs, layer = self.network, self.lesson, self.pairs, self.settings.mixup.layer
        between = None if pairs is None or layer is None else Between(layer, pairs.mixed_states)
        with network.mount(self.working, lesson.vocabulary, units, nudge, between):
            vectors = network.features(self.texts, self.start)
            if pairs is not None and between is None:
                rows = vectors.view(len(self.targets), -1, vectors.shape[-1])
                vectors = pairs.mixed(rows).view(vectors.shape)
            scores = network.classify(vectors, lesson.class_mask)
        return scores.view(*self.targets.shape, scores.shape[2])
