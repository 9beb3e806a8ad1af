"""The pools of some episodes cut down to some of their columns, for work that must not grow with the pool.

What a strategy computes on it costs what it costs on a pool of that size. And wide pools in pieces: new
memory for all of a wide pool costs more than what is computed there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Any, Final, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.wide.chunks import WIDE, column_slices
from react_rl.encoders.copies import copy_members
from react_rl.learners.protocol import ScoresColumns
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.geometry import HELD
from react_rl.simulation.progress import DevMetric, Progress
from react_rl.simulation.trials import Judge
from react_rl.simulation.view import PoolView
from react_rl.tasks.protocol import RowSignals
from react_rl.tasks.questions import SpanSignals
from react_rl.tasks.tagging import TokenSignals

T = TypeVar("T")

SMALLEST: Final = 1e-37
"""Stands for a probability of 0 where logarithms are taken quickly; times 0 it is 0. Below 1.2e-38 numbers
are no longer normal, and processors slow with them."""


def surprise(p: Tensor) -> Tensor:
    """``-p log p``, quickly: logarithms may be off by the last bit."""
    return p.clamp_min(SMALLEST).log_().mul_(p).neg_()


class NarrowView(PoolView):
    """Some columns of some episodes of another view; the random streams are the same.

    Args:
        view: The view to cut down.
        episodes: ``(F,)`` int64 positions of the episodes.
        columns: ``(F, S)`` int64 columns of each, ascending. Labelled rows have to be among them: they are
            what learners and similarities refer to.
    """

    def __init__(self, view: PoolView, episodes: Tensor, columns: Tensor) -> None:
        at = (episodes[:, None], columns)
        super().__init__(
            view.ids[at], view.available[at], view.labelled[at], view.cost[at], view.density[at], view.task,
            view._learner, view._ledger, view._geometry, [view._streams[e] for e in episodes.tolist()],
            _progress_of(view.progress, episodes.cpu().numpy()),
            notebooks=[view.notebook(e) for e in episodes.tolist()],
        )  # fmt: skip
        self._whole, self._episodes, self._columns = view, episodes, columns
        self._at = at
        self._kept: dict[str, Any] = {}

    @cached_property
    def copy_groups(self) -> Tensor | None:
        """For each row what its copies share ``(F, S)``; None without copies."""
        groups = self._whole.copy_groups
        return None if groups is None else groups[self._at]

    @property
    def copy_members(self) -> Tensor | None:
        """Rows that have a copy among the S, ``(3, M)``; None without copies."""
        return None if self.copy_groups is None else copy_members(self.copy_groups)

    @cached_property
    def signals(self) -> RowSignals:
        """What the learner says of the S rows."""
        return super().signals if self.has_classes else _PartOfSignals(self._whole.signals, self._at)

    @property
    def tokens(self) -> TokenSignals:
        """What token scores say of each of the S sentences."""
        assert self._whole.tokens is self._whole.signals  # raises where the task has none
        return cast(TokenSignals, self.signals)

    @property
    def spans(self) -> SpanSignals:
        """What scores of answers' borders say of each of the S questions."""
        assert self._whole.spans is self._whole.signals  # raises where the task has none
        return cast(SpanSignals, self.signals)

    @cached_property
    def scores(self) -> Tensor:
        """The learner's logits ``(F, C, S)``."""
        return self._whole.logits[self._at[0], :, self._columns].transpose(1, 2).contiguous()

    @cached_property
    def nearest_labelled(self) -> Tensor:
        """Largest cosine similarity of each row to a labelled row ``(F, S)``."""
        return self._whole.nearest_labelled[self._at]

    @cached_property
    def class_counts(self) -> Tensor:
        """Bought labels of each class ``(F, C)``."""
        return self._whole.class_counts[self._episodes]

    @cached_property
    def labelled_geometry(self) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities ``(F, n, n)``, one-hot labels ``(F, C, n)``, mask ``(F, n)`` of labelled rows."""
        similarity, onehot, mask = self._whole.labelled_geometry
        return similarity[self._episodes], onehot[self._episodes], mask[self._episodes]

    @cached_property
    def fitted_logits(self) -> Tensor:
        """The learner's scores of the labelled rows ``(F, C, n)``."""
        return self._whole.fitted_logits[self._episodes]

    @cached_property
    def embeddings(self) -> Tensor:
        """Unit-norm embeddings ``(F, S, D)``."""
        return self._whole.embeddings[self._at]

    @cached_property
    def surprisal(self) -> Tensor:
        """Unit-norm surprisal vectors ``(F, S, T)`` of the rows, T tokens each."""
        return self._whole.surprisal[self._at]

    @cached_property
    def pool_similarity(self) -> Tensor | None:
        """Cosine similarities between the S rows ``(F, S, S)``; None where they are too many."""
        if len(self._episodes) * self.width**2 > HELD:
            return None
        return torch.bmm(self.embeddings, self.embeddings.transpose(1, 2))

    @cached_property
    def words(self) -> Tensor:
        """Words of the texts ``(F, S)``."""
        return self._whole.words[self._at]

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What depends on these rows alone, computed once for this view."""
        if name not in self._kept:
            self._kept[name] = compute()
        found: T = self._kept[name]
        return found

    @cached_property
    def labelled_columns(self) -> tuple[Tensor, Tensor]:
        """Places of the labelled rows among the S columns ``(F, n)`` and their mask ``(F, n)``."""
        columns, mask = self._whole.labelled_columns
        place = torch.zeros(len(self._episodes), self._whole.width, dtype=torch.int64, device=self.device)
        place.scatter_(
            1, self._columns, torch.arange(self.width, device=self.device).expand_as(self._columns)
        )
        return place.gather(1, columns[self._episodes]), mask[self._episodes]

    @cached_property
    def similarity_to_labelled(self) -> Tensor:
        """Cosine similarity of the labelled rows to the S rows ``(F, n, S)``; -2 in slots without a row."""
        whole = self._whole.similarity_to_labelled
        found = zip(self._episodes.tolist(), self._columns, strict=True)
        return torch.stack([whole[e].gather(1, columns.expand(whole.shape[1], -1)) for e, columns in found])

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """The learner's weights ``(F, C, D)`` and intercepts ``(F, C)``."""
        weights, intercepts = self._whole.weights
        return weights[self._episodes], intercepts[self._episodes]

    @cached_property
    def features(self) -> Tensor:
        """What the learner's last layer sees of each row ``(F, S, H)``."""
        return self.embeddings if self.linear else self._whole.features[self._at]

    def dropout_logits(self, samples: int) -> Tensor:
        """Scores of Monte Carlo dropout samples of a fine-tuned learner ``(F, M, C, S)``."""
        whole = self._whole.dropout_logits(samples)
        return whole[self._at[0], :, :, self._columns].permute(0, 2, 3, 1).contiguous()

    def suppose(self, columns: Tensor, answers: Tensor, judge: Judge) -> Tensor:
        """Values ``(F, K)`` of the models that supposed labels of some of the S rows would bring."""
        whole, mine = self._whole, self._episodes
        shape = (whole.n_episodes, *columns.shape[1:])
        places = torch.zeros(shape, dtype=torch.int64, device=self.device)
        places[mine] = self._columns.gather(1, columns.flatten(1)).view_as(columns)
        supposed = torch.full(shape, -1, dtype=torch.int64, device=self.device)
        supposed[mine] = answers

        def of_part(logits: Tensor, tried: Tensor) -> Tensor:
            times, n_classes = tried.shape[1], logits.shape[1]
            own = logits.view(-1, times, *logits.shape[1:])[mine]  # (F, k, C, P)
            index = self._columns[:, None, None].expand(-1, times, n_classes, -1)
            values = torch.zeros(len(tried), times, dtype=logits.dtype, device=self.device)
            values[mine] = judge(own.gather(3, index).flatten(0, 1), tried[mine]).view(-1, times)
            return values.flatten()

        return whole.suppose(places, supposed, of_part)[mine]

    def _proxy(self, settings: LearnerSettings) -> ScoresColumns:
        return self._whole._proxy(settings)

    def _seen_by(self, learner: ScoresColumns) -> Self:
        other = super()._seen_by(learner)
        other._whole = self._whole._seen_by(learner)
        return other

    def similarity_of_pick(self, columns: Tensor) -> Tensor:
        """Cosine similarity of one picked row of each episode ``(F,)`` to the S rows, ``(F, S)``."""
        index = columns[:, None, None].expand(-1, 1, self.embeddings.shape[2])
        picked = self.embeddings.gather(1, index)
        return self.level(torch.bmm(self.embeddings, picked.transpose(1, 2))[:, :, 0])


class Stretch(PoolView):
    """A run of columns of all episodes of another view, for what the learner says of each row alone.

    Args:
        view: The view to cut down.
        columns: Which columns.
    """

    def __init__(self, view: PoolView, columns: slice) -> None:
        super().__init__(
            view.ids[:, columns], view.available[:, columns], view.labelled[:, columns],
            view.cost[:, columns], view.density[:, columns], view.task,
            view._learner, view._ledger, view._geometry, view._streams, view.progress,
        )  # fmt: skip
        self._whole, self._columns = view, columns

    @cached_property
    def copy_groups(self) -> Tensor | None:
        """For each row what its copies share ``(E, k)``; None without copies."""
        groups = self._whole.copy_groups
        return None if groups is None else groups[:, self._columns]

    @property
    def copy_members(self) -> Tensor | None:
        """Rows that have a copy among the k, ``(3, M)``; None without copies."""
        return None if self.copy_groups is None else copy_members(self.copy_groups)

    @cached_property
    def scores(self) -> Tensor:
        """The learner's logits ``(E, C, k)``."""
        return self._whole.logits[:, :, self._columns]

    @cached_property
    def confidence(self) -> Tensor:
        """Largest class probability ``(E, k)``, without the second."""
        return self.probabilities.amax(1)

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of the class probabilities in nats ``(E, k)``, up to rounding that of the other view."""
        return surprise(self.probabilities).sum(1)


class _PartOfSignals:
    """Some rows of what a model says of all.

    Args:
        whole: Of all rows.
        at: Index of the rows.
    """

    def __init__(self, whole: RowSignals, at: tuple[Tensor, Tensor]) -> None:
        self._whole, self._at = whole, at

    @property
    def confidence(self) -> Tensor:
        """See ``RowSignals``."""
        return self._whole.confidence[self._at]

    @property
    def margin(self) -> Tensor:
        """See ``RowSignals``."""
        return self._whole.margin[self._at]

    @property
    def entropy(self) -> Tensor:
        """See ``RowSignals``."""
        return self._whole.entropy[self._at]

    def __getattr__(self, name: str) -> Any:
        """Whatever else the task says of rows, as an array or a function that gives one."""
        said = getattr(self._whole, name)
        return (lambda *given: said(*given)[self._at]) if callable(said) else said[self._at]


def row_by_row(view: PoolView, feature: Callable[[PoolView], Tensor]) -> Tensor:
    """A feature ``(E, P)`` of nothing but the rows' own probabilities; of wide pools in pieces."""
    if view.width < WIDE or not view.has_classes:
        return feature(view)
    scores = torch.empty(view.ids.shape, device=view.device)
    for columns in column_slices(view, 3 * view.logits.shape[1]):
        scores[:, columns] = feature(Stretch(view, columns))
    return scores


def _progress_of(progress: Progress, episodes: npt.NDArray[np.int64]) -> Progress:
    """The progress of some episodes."""
    values: dict[str, Any] = {f.name: getattr(progress, f.name) for f in fields(progress)}
    cut: dict[str, Any] = {
        name: v[episodes] if isinstance(v, np.ndarray) else v for name, v in values.items()
    }
    cut["dev"] = {
        name: DevMetric(own.now[episodes], own.before[episodes], own.start[episodes])
        for name, own in progress.dev.items()
    }
    return Progress(**cut)
