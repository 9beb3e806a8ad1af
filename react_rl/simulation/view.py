"""What strategies, observations and reports may see of E running episodes.

Arrays have the episode axis in front, are computed when first asked for and at most once a round.
There is no label in here that was not bought. P is the pool width; positions along it are *columns*,
private to one view: what leaves a strategy are row ids of the corpus.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.copies import CopyPairs
from react_rl.errors import ReActError
from react_rl.learners.capabilities import (
    CAPABILITIES,
    HasFeatures,
    HasMembers,
    LinearMap,
    SamplesDropout,
    ScoresClasses,
    TriesBatches,
)
from react_rl.learners.protocol import Learner
from react_rl.seeding import Streams
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.progress import Progress
from react_rl.simulation.purchases import PENNY
from react_rl.simulation.trials import Judge, try_batches
from react_rl.tasks.classification import ClassSignals
from react_rl.tasks.protocol import RowSignals, Scores, Task
from react_rl.tasks.questions import SpanSignals
from react_rl.tasks.tagging import TokenSignals

if TYPE_CHECKING:
    from react_rl.learners.linear.settings import SoftmaxSettings
    from react_rl.simulation.geometry import Geometry
    from react_rl.simulation.ledger import Ledger
from react_rl.simulation.notebook import Notebook

T = TypeVar("T")


class PoolView:
    """The pools of E episodes in the current round; arrays share memory with the engine until the next one.

    Args:
        ids: ``(E, P)`` int64 row ids, ascending; columns past an episode's pool carry the largest int64.
        available: ``(E, P)`` bool: unlabelled rows that the episode can still pay for.
        labelled: ``(E, P)`` bool.
        cost: ``(E, P)`` float64 cost units.
        density: ``(E, P)`` float32, mean similarity of each row to its nearest neighbours in the corpus.
        task: What is learned.
        learner: The learners, read only.
        ledger: What was bought, read only.
        geometry: Similarities between columns.
        streams: The episodes' random streams; strategies draw from ``strategy`` only.
        progress: Budget and dev metric.
        scored: ``(E, P)`` bool, rows that the learner scores in this round; None for all.
        notebooks: What strategies remember of each episode.
    """

    def __init__(
        self,
        ids: Tensor,
        available: Tensor,
        labelled: Tensor,
        cost: Tensor,
        density: Tensor,
        task: Task,
        learner: Learner,
        ledger: Ledger,
        geometry: Geometry,
        streams: Sequence[Streams | None],
        progress: Progress,
        scored: Tensor | None = None,
        notebooks: Sequence[Notebook] = (),
    ) -> None:
        self.ids = ids
        self.available = available
        self.labelled = labelled
        self.cost = cost
        self.density = density
        self.progress = progress
        self.task = task
        self._learner = learner
        self._ledger = ledger
        self._scored = scored
        self._geometry = geometry
        self._streams = streams
        self._notebooks = notebooks
        self.picks = ids[:, :0]  # (E, j) columns bought since the round's start, -1 for none
        self._start: PoolView | None = None

    @property
    def start(self) -> PoolView:
        """The view at the round's start, before the first pick."""
        return self._start or self

    @property
    def n_episodes(self) -> int:
        """E."""
        return self.ids.shape[0]

    @property
    def width(self) -> int:
        """P, the width of the widest pool."""
        return self.ids.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the arrays."""
        return self.ids.device

    @cached_property
    def in_pool(self) -> Tensor:
        """Columns that hold a row of the episode's pool ``(E, P)`` bool."""
        return self.ids < torch.iinfo(self.ids.dtype).max

    @cached_property
    def n_available(self) -> Tensor:
        """Rows that can be bought, ``(E,)`` int64."""
        return self.available.sum(1)

    @property
    def copy_groups(self) -> Tensor | None:
        """First column with the same embedding, for each column ``(E, P)``; None without copies."""
        return self._geometry.copy_groups(self.width)

    @property
    def copy_members(self) -> Tensor | None:
        """Columns that have a copy ``(3, M)``: episode, column, number of the group; None without copies."""
        return self._geometry.copy_members(self.width)

    @cached_property
    def _copies(self) -> CopyPairs | None:
        members = self.copy_members
        if members is None:
            return None
        free = self.available[members[0], members[1]]
        found = self._geometry.last_pairs
        if found is None or not found.still_hold(members, free):
            found = self._geometry.last_pairs = CopyPairs(members, free, self.width)
        return found

    @property
    def copy_pairs(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Episode, column and first available copy (often itself) of M columns; None without copies."""
        return None if self._copies is None else self._copies.pairs

    def level(self, values: Tensor) -> Tensor:
        """Give copies one value: products round equal rows differently, depending on where they are.

        Args:
            values: ``(E, ..., P)``.

        Returns:
            The same shape; ``values`` itself where no two rows are equal.
        """
        copies = self._copies
        if copies is None:
            return values
        # Where there is one episode, a gather is quickest.
        if self.n_episodes == 1 and values.dim() <= 3 and values.stride(-1) == 1:
            return values.gather(-1, copies.source.expand(values.shape))
        episode, column, first = copies.pairs
        levelled = values.clone()
        levelled.movedim(-1, 1)[episode, column] = values.movedim(-1, 1)[episode, first]
        return levelled

    @cached_property
    def scores(self) -> Scores:
        """The learner's scores of the pool, as the task reads them."""
        scores = self._learner.logits_of(slice(0, self.width), self._scored)
        return self.task.level_scores(scores, self.level)

    @cached_property
    def signals(self) -> RowSignals:
        """What the scores say of each row; ``confidence``, ``margin`` and ``entropy`` whatever the task."""
        return self.task.signals(self.scores, self.level, self.width)

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes, and so class probabilities and counts."""
        return self.task.has_classes

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

    @cached_property
    def confidence(self) -> Tensor:
        """Largest class probability ``(E, P)``; what the task makes of it where there are no classes."""
        return self.signals.confidence

    @cached_property
    def margin(self) -> Tensor:
        """Difference between the two largest class probabilities ``(E, P)``; small means uncertain."""
        return self.signals.margin

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of the class probabilities in nats ``(E, P)``."""
        return self.signals.entropy

    @cached_property
    def predicted(self) -> Tensor:
        """Most probable class ``(E, P)`` int64."""
        # Along a middle axis torch's max is several times faster than its argmax.
        return self.logits.max(1).indices

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
    def embeddings(self) -> Tensor:
        """Unit-norm embeddings ``(E, P, D)`` float32; columns past a pool hold some other row's.

        Often a gather of P rows for each episode: ask for it only where similarities do not suffice. To be
        read only.
        """
        return self._geometry.embeddings(self.width)

    @cached_property
    def surprisal(self) -> Tensor:
        """Unit-norm surprisal vectors ``(E, P, S)`` float32; columns past a pool hold some other row's.

        Raises:
            ReActError: They were not computed, because nothing asked for them or the model cannot.
        """
        return self._geometry.surprisal(self.width)

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

    def suppose(self, columns: Tensor, answers: Tensor, judge: Judge) -> Tensor:
        """Values ``(E, K)`` of the models that supposed labels would bring, on copies of the learner.

        Args:
            columns: K batches of columns ``(E, K, b)``.
            answers: What their labels are supposed to be ``(E, K, b)``, -1 for none.
            judge: From scores ``(E k, C, P)`` of k models of each episode, and the columns ``(E, k, b)`` that
                they learned besides, to values ``(E k,)``.

        Raises:
            ReActError: The learner cannot be copied.
        """
        if not isinstance(self._learner, TriesBatches):
            raise ReActError(f"Supposing labels needs {CAPABILITIES['trials']}.")

        def of_pool(logits: Tensor, tried: Tensor) -> Tensor:
            return judge(logits[:, :, : self.width], tried)

        values = try_batches(self._learner, self._ledger, columns, answers, self._geometry.rows, of_pool)
        return torch.from_numpy(values).to(self.device, torch.float32)

    def similarity_of_pick(self, columns: Tensor) -> Tensor:
        """Cosine similarity of one picked column of each episode ``(E,)`` to the pool, ``(E, P)``."""
        return self.level(self._geometry.pick(columns)[:, : self.width])

    @property
    def pool_similarity(self) -> Tensor | None:
        """Cosine similarities between all rows ``(E, P, P)``, to be read only; None where too many."""
        return self._geometry.pool_similarity(self.width)

    @property
    def words(self) -> Tensor:
        """Words of each text ``(E, P)`` int64."""
        return self._geometry.words(self.width)

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What depends on the pools alone, never on labels: computed once for all rounds of the episodes."""
        return self._geometry.kept(name, compute)

    def only(self, episodes: npt.NDArray[np.bool_]) -> PoolView:
        """The same view, where nothing is bought and no number drawn outside ``episodes`` ``(E,)``."""
        other = self._another()
        other.available = self.available & torch.from_numpy(episodes).to(self.device)[:, None]
        other._streams = [s if keep else None for s, keep in zip(self._streams, episodes, strict=True)]
        return other

    def after(self, picks: Tensor) -> PoolView:
        """The same round once ``picks`` ``(E, j)`` (columns, -1: none) are bought, their labels unknown."""
        other, taken = self._another(), chosen_columns(picks, self.width)
        spent = self.progress.spent + torch.where(taken, self.cost, 0.0).sum(1).cpu().numpy()
        left = torch.from_numpy(self.progress.budget - spent).to(self.device)
        other.available = self.available & ~taken & (self.cost <= left[:, None] + PENNY)
        other.labelled = self.labelled | taken
        other.progress = replace(self.progress, spent=spent)
        other.picks, other._start = torch.cat([self.picks, picks], 1), self.start
        return other

    def within(self, rows: Tensor) -> PoolView:
        """The same view, where only ``rows`` ``(E, P)`` can be bought."""
        other = self._another()
        other.available = self.available & rows
        return other

    def _another(self) -> PoolView:
        """A copy without what depends on which rows are available."""
        other = copy.copy(self)
        for name in ("n_available", "_copies"):
            other.__dict__.pop(name, None)
        return other

    def random(self) -> Tensor:
        """Uniform numbers ``(E, P)`` float64, each episode's from its own strategy stream."""
        numbers = np.zeros(self.ids.shape)
        for row, streams in zip(numbers, self._streams, strict=True):
            if streams is not None:
                row[:] = streams.strategy.random(self.width)
        return torch.from_numpy(numbers).to(self.device)

    def random_of_pick(self) -> Tensor:
        """Uniform numbers ``(E, P)`` float64 that follow from episode, round and pick: always the same."""
        picks, numbers = (self.picks >= 0).sum(1).tolist(), np.zeros(self.ids.shape)
        for row, streams, *moment in zip(numbers, self._streams, self.progress.rounds, picks, strict=True):
            if streams is not None:
                row[:] = streams.at(*map(int, moment)).random(self.width)
        return torch.from_numpy(numbers).to(self.device)

    def generator(self, episode: int) -> np.random.Generator:
        """The strategy stream of one episode."""
        streams = self._streams[episode]
        assert streams is not None, "an episode outside the view draws no numbers"
        return streams.strategy

    def notebook(self, episode: int) -> Notebook:
        """What strategies have written down about an episode since it began; theirs to write on."""
        return self._notebooks[episode]
