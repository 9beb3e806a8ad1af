"""Ensembles of fine-tuned transformers: M members for each episode, trained side by side as episodes are.

The ensemble's scores are the mean of its members' scores, so it is one model with all their vectors, as the
ensemble of MLP heads is: committees are its members, strategies that read a last layer read those of all.

Source: Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
ensembles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.phases import FineTuneInPhases
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.ledger_view import LedgerView
from react_rl.learners.protocol import LabelledRows, Purchase
from react_rl.learners.recipes.settings import Recipe
from react_rl.tasks.protocol import ScoredVectors, Scores

_Ids = npt.NDArray[np.int64]


class RepeatedLedger(LedgerView):
    """A ledger in which every episode stands M times, one after the other; see ``LabelledRows``.

    Args:
        labelled: The ledger of E episodes.
        members: M.
    """

    def __init__(self, labelled: LabelledRows, members: int) -> None:
        super().__init__(labelled)
        self._members = members

    def _repeated(self, array: Tensor) -> Tensor:
        return array.repeat_interleave(self._members, 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """E M, largest number of classes C, columns W."""
        n_episodes, n_classes, n_columns = self._labelled.shape
        return n_episodes * self._members, n_classes, n_columns

    @property
    def used(self) -> Sequence[int]:
        """Slots taken, for each episode."""
        return [used for used in self._labelled.used for _ in range(self._members)]

    @property
    def rows(self) -> Tensor:
        """Similarity of each slot to each column."""
        return self._repeated(self._labelled.rows)

    @property
    def onehot(self) -> Tensor:
        """Labels."""
        return self._repeated(self._labelled.onehot)

    @property
    def live(self) -> Tensor:
        """Slots that hold a label."""
        return self._repeated(self._labelled.live)

    @property
    def columns(self) -> Tensor:
        """Pool columns."""
        return self._repeated(self._labelled.columns)


class _Members(FineTuneInPhases):
    """E M transformers whose scores are read as those of E ensembles."""

    def _as_scores(self, logits: Tensor, vectors: ScoredVectors) -> Scores:
        members = self.settings.members
        first = ScoredVectors(
            vectors.column[::members],
            vectors.place[::members],
            vectors.rows[::members],
            list(vectors.corpora)[::members],
            None if vectors.repeated is None else vectors.repeated[::members],
        )
        return super()._as_scores(_mean(logits, members), first)


class FineTuneEnsemble:
    """E ensembles of M fine-tuned transformers.

    Member 0 is the model that the episode would have without the others; each draws head, batches and dropout
    from a seed of its own.

    Args:
        corpora: The engine's corpora.
        labelled: The ledger, to be read only.
        settings: Model, method, training, number of members.
        folder: See ``FineTune``.

    Attributes:
        members: M.

    Raises:
        ReActError: See ``FineTune``.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        labelled: LabelledRows,
        settings: FineTuneSettings,
        folder: Path | None = None,
    ) -> None:
        self.settings, self.members = settings, settings.members
        self._models = _Members(corpora, RepeatedLedger(labelled, self.members), settings, folder)

    @property
    def failures(self) -> dict[int, str]:
        """Reasons why episodes cannot go on, by episode: those of any member."""
        return {place // self.members: reason for place, reason in self._models.failures.items()}

    @property
    def steps(self) -> int:
        """Optimiser steps since construction, all members in one."""
        return self._models.steps

    @property
    def recipes(self) -> list[Recipe]:
        """Recipe of each episode."""
        return self._models.recipes[:: self.members]

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` as they stand."""
        return _mean(self._models.logits, self.members)

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """See ``Learner.place``. Mutates."""
        for member in range(self.members):
            self._models.place(episode * self.members + member, corpus, rows, dev_targets)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """See ``Learner.start``. Mutates."""
        own = [member_seed(seed, member) for seed in seeds for member in range(self.members)]
        repeated = n_classes.repeat_interleave(self.members)
        self._models.start(self._places(episodes), repeated, own)

    def update(self, bought: Purchase) -> None:
        """Train all members of the episodes that got a label, in place."""
        times = self.members
        self._models.update(
            Purchase(
                self._places(bought.episodes),
                bought.columns.repeat_interleave(times, 0),
                bought.labels.repeat_interleave(times, 0),
                bought.targets.repeat_interleave(times, 0),
                None,
                [before for before in bought.before for _ in range(times)],
                bought.everyone,
            )
        )

    def enter_phase(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """See ``LearnsInPhases.enter_phase``. Mutates."""
        places = self._places(torch.tensor(list(episodes))).tolist()
        self._models.enter_phase(places, arrived.repeat_interleave(self.members, 0))

    def state(self) -> dict[str, Tensor]:
        """See ``Learner.state``."""
        return self._models.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``Learner.load_state``. Mutates."""
        self._models.load_state(state)

    def choose(self, recipes: Sequence[Recipe | None]) -> None:
        """Set the recipe of each episode's next rounds; None leaves it as it is. Mutates."""
        self._models.choose([recipe for recipe in recipes for _ in range(self.members)])

    def candidates(self, available: Tensor) -> Tensor | None:
        """See ``FineTune.candidates``: those of the first member."""
        found = self._models.candidates(available.repeat_interleave(self.members, 0))
        return None if found is None else found[:: self.members]

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Scores:
        """See ``FineTune.logits_of``; the mean of the members."""
        asked = None if wanted is None else wanted.repeat_interleave(self.members, 0)
        return self._models.logits_of(columns, asked)

    def logits_of_rows(self, rows: Sequence[_Ids]) -> Scores:
        """See ``FineTune.logits_of_rows``; the mean of the members."""
        return self._models.logits_of_rows([own for own in rows for _ in range(self.members)])

    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows themselves ``(E, C, n)``."""
        return _mean(self._models.fitted_logits(), self.members)

    def features_of(self, columns: slice) -> Tensor:
        """Vectors of all members, one after the other ``(E, ., M (H + 1))``; the last of each is 1."""
        found = self._models.features_of(columns)  # (E M, n, H)
        wide = torch.nn.functional.pad(found, (0, 1), value=1.0)
        return _by_episode(wide, self.members).transpose(1, 2).flatten(2)

    def head(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, M (H + 1))`` of the last layers, intercepts among them, and intercepts of 0."""
        weights, intercept = self._models.head()
        whole = _by_episode(torch.cat([weights, intercept[:, :, None]], 2), self.members)
        joined = whole.transpose(1, 2).flatten(2) / self.members
        return joined, torch.zeros_like(joined[:, :, 0])

    def dropout_logits(self, columns: slice, samples: int) -> Tensor:
        """Scores of Monte Carlo samples ``(E, S, C, .)``; the members take turns in giving one."""
        each = math.ceil(samples / self.members)
        found = _by_episode(self._models.dropout_logits(columns, each), self.members)
        return found.transpose(1, 2).flatten(1, 2)[:, :samples]

    def _places(self, episodes: Tensor) -> Tensor:
        members = torch.arange(self.members, device=episodes.device)
        return (episodes[:, None] * self.members + members).flatten()


def member_seed(seed: int, member: int) -> int:
    """Seed of a member: the episode's own for the first."""
    if member == 0:
        return seed
    return int(np.random.SeedSequence([seed, member]).generate_state(1, np.uint64)[0] >> np.uint64(2))


def _mean(scores: Tensor, members: int) -> Tensor:
    """Mean of the members ``(E, ...)`` of scores ``(E M, ...)``."""
    return _by_episode(scores, members).mean(1)


def _by_episode(array: Tensor, members: int) -> Tensor:
    """``(E, M, ...)`` of ``(E M, ...)``."""
    return array.reshape(-1, members, *array.shape[1:])
