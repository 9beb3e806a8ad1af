"""What strategies, observations and reports may see of E running episodes.

Arrays have the episode axis in front, are computed when first asked for and at most once a round.
There is no label in here that was not bought. P is the pool width; positions along it are *columns*,
private to one view: what leaves a strategy are row ids of the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self, cast

import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.capabilities import (
    SAID_OF_ROWS,
    HasFeatures,
    HasMembers,
    LinearMap,
    SamplesDropout,
    ScoresClasses,
)
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.protocol import ScoresColumns
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.classification import predicted_class
from react_rl.seeding import Streams
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.ledger import Ledger
from react_rl.simulation.notebook import Notebook
from react_rl.simulation.pool_rows import PoolRows, as_they_are
from react_rl.simulation.progress import Progress
from react_rl.simulation.proxies import Proxies
from react_rl.simulation.trials import Judge, Trials
from react_rl.tasks.classification import ClassSignals
from react_rl.tasks.protocol import RowSignals, Scores, Task
from react_rl.tasks.questions import SpanSignals
from react_rl.tasks.tagging import TokenSignals


class PoolView(PoolRows):
    """The pools of E episodes and what their present models say of the rows.

    Args:
        ids: See ``PoolRows``, as for all that is not said here.
        available: See ``PoolRows``.
        labelled: See ``PoolRows``.
        cost: See ``PoolRows``.
        density: See ``PoolRows``.
        task: What is learned.
        learner: The learners, read only.
        ledger: What was bought, read only.
        geometry: See ``PoolRows``.
        streams: See ``PoolRows``.
        progress: See ``PoolRows``.
        scored: ``(E, P)`` bool, rows that the learner scores in this round; None for all.
        notebooks: See ``PoolRows``.
        proxies: Other learners that have learned from the same labels; None where nobody looks through them.
    """

    def __init__(
        self,
        ids: Tensor,
        available: Tensor,
        labelled: Tensor,
        cost: Tensor,
        density: Tensor,
        task: Task,
        learner: ScoresColumns,
        ledger: Ledger,
        geometry: Geometry,
        streams: Sequence[Streams | None],
        progress: Progress,
        scored: Tensor | None = None,
        notebooks: Sequence[Notebook] = (),
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__(ids, available, labelled, cost, density, geometry, streams, progress, notebooks)
        self.task = task
        self._learner = learner
        self._ledger = ledger
        self._scored = scored
        self._proxies = proxies
        self._others: dict[LearnerSettings, ScoresColumns] = {}

    @cached_property
    def scores(self) -> Scores:
        """The learner's scores of the pool, those of equal rows up to rounding; ``signals`` reads them."""
        return self._learner.logits_of(slice(0, self.width), self._scored)

    @cached_property
    def signals(self) -> RowSignals:
        """What the scores say of each row; ``confidence``, ``margin`` and ``entropy`` whatever the task."""
        # Signals that held the view would be held by it: the memory of every round would wait for the garbage
        # collector.
        level = as_they_are if self._copies is None else self._copies.level
        return self.task.signals(self.scores, level, self.width)

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes, and so class probabilities and counts."""
        return self.task.has_classes

    @property
    def has_tokens(self) -> bool:
        """Whether rows have tokens with tags, and so ``tokens``."""
        return SAID_OF_ROWS.get(self.task.name) == "tokens"

    @property
    def tokens(self) -> TokenSignals:
        """What token scores say of each sentence.

        Raises:
            ReActError: The task is not tagging.
        """
        if not isinstance(self.signals, TokenSignals):
            raise ReActError(f"Token probabilities are asked for, but the task is {self.task.name}.")
        return self.signals

    @property
    def spans(self) -> SpanSignals:
        """What scores of answers' borders say of each question.

        Raises:
            ReActError: The task is not question answering.
        """
        if not isinstance(self.signals, SpanSignals):
            raise ReActError(f"Spans of answers are asked for, but the task is {self.task.name}.")
        return self.signals

    @property
    def _classes(self) -> ClassSignals:
        if not isinstance(self.signals, ClassSignals):
            raise ReActError(f"Class probabilities are asked for, but the task is {self.task.name}.")
        return self.signals

    @cached_property
    def logits(self) -> Tensor:
        """The learner's scores ``(E, C, P)`` float32; classes outside an episode near -1e30."""
        return self._classes.logits

    @cached_property
    def probabilities(self) -> Tensor:
        """The learner's class probabilities ``(E, C, P)``."""
        return self._classes.probabilities

    @property
    def confidence(self) -> Tensor:
        """Largest class probability ``(E, P)``; what the task makes of it where there are no classes."""
        return self.signals.confidence

    @property
    def margin(self) -> Tensor:
        """Difference between the two largest class probabilities ``(E, P)``; small means uncertain."""
        return self.signals.margin

    @property
    def entropy(self) -> Tensor:
        """Entropy of the class probabilities in nats ``(E, P)``."""
        return self.signals.entropy

    @cached_property
    def predicted(self) -> Tensor:
        """Most probable class ``(E, P)`` int64."""
        return predicted_class(self.logits)

    @cached_property
    def nearest_labelled(self) -> Tensor:
        """Largest cosine similarity of each row to a labelled row ``(E, P)``; -2 without labels."""
        return self.level(self._ledger.nearest_labelled(self.width))

    @cached_property
    def class_counts(self) -> Tensor:
        """Bought labels of each class ``(E, C)`` float32."""
        return self._ledger.class_counts()

    @cached_property
    def labelled_geometry(self) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities ``(E, n, n)``, one-hot labels ``(E, C, n)``, mask ``(E, n)`` of labelled rows."""
        return self._ledger.labelled_similarity()

    @cached_property
    def fitted_logits(self) -> Tensor:
        """The learner's scores of the labelled rows ``(E, C, n)``, in the order of ``labelled_geometry``."""
        return cast(ScoresClasses, self._learner).fitted_logits()

    @cached_property
    def labelled_columns(self) -> tuple[Tensor, Tensor]:
        """Pool columns of the labelled rows ``(E, n)`` int64 and their mask ``(E, n)``, slots in order."""
        return self._ledger.slot_columns(), self._ledger.slot_mask()

    @cached_property
    def similarity_to_labelled(self) -> Tensor:
        """Cosine similarity of the labelled rows to all rows ``(E, n, P)``; -2 in slots without a row."""
        return self.level(self._ledger.slot_rows(self.width))

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, D)`` and intercepts ``(E, C)`` of a linear learner, or of the last layer."""
        if isinstance(self._learner, HasFeatures):
            return self._learner.head()
        assert isinstance(self._learner, LinearMap), "a learner has features of its own or is linear"
        columns, _ = self.labelled_columns
        index = columns[:, :, None].expand(-1, -1, self.embeddings.shape[2])
        return self._learner.primal(self.embeddings.gather(1, index))

    @property
    def linear(self) -> bool:
        """Whether the learner is a linear map of the embeddings."""
        return self.linear_settings is not None

    @property
    def linear_settings(self) -> SoftmaxSettings | None:
        """Regularisation of a learner that is a linear map of the embeddings; None of any other."""
        return self._learner.settings if isinstance(self._learner, LinearMap) else None

    @property
    def ensemble(self) -> int | None:
        """Members M of a learner that is an ensemble, whose units are one after the other in ``features``."""
        return self._learner.members if isinstance(self._learner, HasMembers) else None

    @cached_property
    def features(self) -> Tensor:
        """What the learner's last layer sees of each row ``(E, P, H)``: embeddings, or own vectors."""
        if isinstance(self._learner, HasFeatures):
            return self._learner.features_of(slice(0, self.width))
        return self.embeddings

    def dropout_logits(self, samples: int) -> Tensor:
        """Scores of Monte Carlo dropout samples of a learner with hidden layers ``(E, M, C, P)``.

        Raises:
            ReActError: The learner has no hidden layers.
        """
        if not isinstance(self._learner, SamplesDropout):
            raise ReActError(
                "Dropout of hidden units needs a learner that has some; set learner.kind to mlp or finetune."
            )
        return self._learner.dropout_logits(slice(0, self.width), samples)

    def through(self, settings: LearnerSettings) -> Self:
        """The same round as other learners see it, which have learned from the same labels.

        Args:
            settings: Their settings; they are taught once in a round.
        """
        return self._seen_by(self._proxy(settings))

    def _proxy(self, settings: LearnerSettings) -> ScoresColumns:
        if settings not in self._others:
            assert self._proxies is not None, "an engine's view has proxies"
            n_classes = torch.from_numpy(self.progress.n_classes)
            self._others[settings] = self._proxies.taught(settings, n_classes)
        return self._others[settings]

    def _seen_by(self, learner: ScoresColumns) -> Self:
        """The same view with what another learner says in place of what this one does."""
        other = self._another()
        for name in [
            name for name in vars(other) if isinstance(getattr(type(self), name, None), cached_property)
        ]:
            del vars(other)[name]
        other._learner, other._scored = learner, None
        other._start = None if self._start is None else self._start._seen_by(learner)
        return other

    def suppose(self, columns: Tensor, answers: Tensor, judge: Judge) -> Tensor:
        """Values ``(E, K)`` of the models that supposed labels would bring, on copies of the learner.

        Args:
            columns: K batches of columns ``(E, K, b)``.
            answers: What their targets are supposed to be ``(E, K, b, ...)``, -1 for none.
            judge: From scores of the pool by k models of each episode, in classification ``(E k, C, P)``, and
                the columns ``(E, k, b)`` that they learned besides, to values ``(E k,)``.

        Raises:
            ReActError: The learner cannot be copied.
        """
        trials = Trials(self.task, self._learner, self._ledger, self._geometry)
        values = trials.values(columns, answers, judge, slice(0, self.width))
        return torch.from_numpy(values).to(self.device, torch.float32)
