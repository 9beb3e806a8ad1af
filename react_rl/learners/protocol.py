"""What the labelling loop asks of a learner. Columns are the engine's own: pool rows, dev rows, W in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.encoders.token_states import TokenStates

INVALID_LOGIT = -1e30
"""Logit of a class that does not take part in an episode."""

FAR = -2.0
"""Similarity of a slot without a row: below every cosine, and finite."""


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The arrays called ``name/...`` in a state, under what follows."""
    before = f"{name}/"
    return {key.removeprefix(before): array for key, array in state.items() if key.startswith(before)}


class Resumable(Protocol):
    """Something whose changes are told by name, and taken back."""

    def state(self) -> dict[str, Tensor]:
        """All that has changed, by name."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go where ``state`` was taken."""
        ...


@dataclass(frozen=True, eq=False)
class Purchase:
    """Rows that were just bought and noted in the ledger.

    Args:
        episodes: ``(R,)`` int64, ascending.
        columns: ``(R, b)`` int64 pool columns of the new rows.
        labels: ``(R, b)`` int64 class indices, -1 where there is no label.
        targets: ``(R, b, ...)`` int64 targets of the task; the labels themselves in classification.
        similarity: ``(R, b, W)`` float32 inner products of the new rows with all columns, if they are known.
        before: Slots that each of the R episodes had taken.
        everyone: Whether these are all episodes.
    """

    episodes: Tensor
    columns: Tensor
    labels: Tensor
    targets: Tensor
    similarity: Tensor | None
    before: Sequence[int]
    everyone: bool

    @cached_property
    def live(self) -> Tensor:
        """Rows that got a label ``(R, b)`` bool."""
        return self.labels >= 0

    @cached_property
    def answered(self) -> bool:
        """Whether all of them did."""
        return not self.labels.numel() or int(self.labels.min()) >= 0

    @property
    def lockstep(self) -> bool:
        """Whether the new rows take the same slots in all R episodes."""
        return min(self.before) == max(self.before)

    @cached_property
    def slots(self) -> Tensor:
        """Slots of the new rows ``(R, b)`` int64."""
        first = torch.tensor(self.before, device=self.labels.device)[:, None]
        return first + torch.arange(self.labels.shape[1], device=self.labels.device)


class Rows(Protocol):
    """A corpus with its embeddings, as learners are built from it."""

    @property
    def corpus(self) -> Corpus:
        """Texts and targets."""
        ...

    @property
    def embeddings(self) -> Tensor:
        """Unit-norm embeddings ``(N, D)`` float32."""
        ...

    @property
    def gram(self) -> Tensor | None:
        """All inner products ``(N, N)`` float32 where they are kept."""
        ...

    @property
    def tokens(self) -> TokenStates | None:
        """States of the tokens, in tagging."""
        ...

    @property
    def device(self) -> torch.device:
        """Where they are."""
        ...


class LabelledRows(Protocol):
    """The labelled rows of E episodes, in slots in order of purchase, to be read only: the ledger."""

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """E, largest number of classes C, columns W."""
        ...

    @property
    def capacity(self) -> int:
        """Slots that there is room for; grows."""
        ...

    @property
    def slots(self) -> int:
        """Slots in use in the fullest episode."""
        ...

    @property
    def used(self) -> Sequence[int]:
        """Slots taken, for each episode."""
        ...

    @property
    def unanswered(self) -> bool:
        """Whether some taken slot may carry no label."""
        ...

    @property
    def rows(self) -> Tensor:
        """Similarity of each slot to each column ``(E, capacity, W)`` float32; ``FAR`` without a row."""
        ...

    @property
    def onehot(self) -> Tensor:
        """Labels ``(E, C, capacity)`` float32, all 0 in slots without one."""
        ...

    @property
    def live(self) -> Tensor:
        """Slots that hold a label ``(E, capacity)`` float32."""
        ...

    @property
    def columns(self) -> Tensor:
        """Pool columns ``(E, capacity)`` int64; slots without a label carry any column."""
        ...


class ScoresColumns(Protocol):
    """Scores the columns of E episodes: all that a view asks of a learner."""

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Any:
        """Current scores of a range of columns, as the task reads them.

        Args:
            columns: Which.
            wanted: ``(E, P)`` bool, pool columns that need a score; a learner that scores row by row may
                leave out the others. None: all.

        Returns:
            In classification ``(E, C, .)`` float32, in tagging ``TokenScores``; classes outside an episode
            carry ``INVALID_LOGIT``.
        """
        ...


class Learner(ScoresColumns, Protocol):
    """E models trained side by side, one for each episode, on what ``LabelledRows`` holds."""

    @property
    def failures(self) -> dict[int, str]:
        """Reasons why episodes cannot go on, by episode."""
        ...

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note what the columns of an episode stand for.

        Args:
            episode: The episode.
            corpus: Position of its corpus.
            rows: ``(W,)`` row ids, -1 in unused columns.
            dev_targets: ``(W, ...)`` targets of the dev columns, -1 elsewhere; early stopping may look.
        """
        ...

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int]) -> None:
        """Forget the given episodes ``(R,)`` and begin again.

        Args:
            episodes: ``(R,)`` int64, ascending.
            n_classes: ``(R,)`` classes of each.
            seeds: What chance decides is drawn from them, an episode's from its own.
        """
        ...

    def update(self, bought: Purchase) -> None:
        """Learn from rows that were just noted in the ledger, in place."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; the arrays are the learner's own."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken."""
        ...

    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> Any:
        """Current scores of other rows, T for each episode, e.g. of a test split; see ``logits_of``."""
        ...
