"""What the labelling loop asks of a learner. Columns are the engine's own; ids never come here."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

INVALID_LOGIT = -1e30
"""Logit of a class that does not take part in an episode."""


class Learner(Protocol):
    """E models trained side by side, one for each episode.

    An episode's *columns* are its pool rows followed by its dev rows, W in all.
    """

    @property
    def logits(self) -> Tensor:
        """Current scores ``(E, C, W)`` float32; classes outside an episode carry ``INVALID_LOGIT``."""
        ...

    def start(self, episodes: Tensor, n_classes: Tensor) -> None:
        """Forget the given episodes ``(R,)`` and begin anew with ``n_classes`` ``(R,)`` classes each."""
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
