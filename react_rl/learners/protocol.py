"""What the labelling loop asks of a learner. Columns are the engine's own: pool rows, dev rows, W in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

INVALID_LOGIT = -1e30
"""Logit of a class that does not take part in an episode."""


class Learner(Protocol):
    """E models trained side by side, one for each episode.

    What is known of the labelled rows is in ``LabelledRows``, which learners inherit.
    """

    @property
    def failures(self) -> dict[int, str]:
        """Reasons why episodes cannot go on, by episode."""
        ...

    def place(self, episode: int, corpus: int, rows: Tensor, dev_labels: Tensor) -> None:
        """Note what the columns of an episode stand for.

        Args:
            episode: The episode.
            corpus: Position of its corpus.
            rows: ``(W,)`` row ids, -1 in unused columns.
            dev_labels: ``(W,)`` class of the dev columns, -1 elsewhere; early stopping may look at them.
        """
        ...

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int]) -> None:
        """Forget the given episodes ``(R,)`` and begin anew.

        Args:
            episodes: ``(R,)`` int64, ascending.
            n_classes: ``(R,)`` classes of each.
            seeds: What chance decides is drawn from them, an episode's from its own.
        """
        ...

    def update(self, episodes: Tensor, columns: Tensor, labels: Tensor, similarity: Tensor) -> None:
        """Learn from newly bought rows, in place.

        Args:
            episodes: ``(R,)`` int64, ascending.
            columns: ``(R, b)`` int64 pool columns of the new rows.
            labels: ``(R, b)`` int64 class indices, -1 where there is no label.
            similarity: ``(R, b, W)`` float32 inner products of the new rows with all columns.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; the arrays are the learner's own."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken."""
        ...

    def logits_of(self, columns: slice) -> Tensor:
        """Current scores ``(E, C, .)`` float32; classes outside an episode carry ``INVALID_LOGIT``."""
        ...
