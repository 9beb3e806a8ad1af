"""What learners of every kind keep of their own: a score for each column, and why episodes cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from react_rl.learners.protocol import LabelledRows


class ColumnScores:
    """Scores of all columns of E episodes.

    Args:
        labelled: The ledger, to be read only.
    """

    _arrays: ClassVar[tuple[str, ...]] = ("_logits",)
    """Arrays that have the episode axis in front and that ``update`` changes."""

    def __init__(self, labelled: LabelledRows) -> None:
        self.labelled = labelled
        self.device = labelled.device
        self.failures: dict[int, str] = {}
        self._everyone = torch.arange(labelled.shape[0], device=self.device)
        self._classes = torch.arange(labelled.shape[1], device=self.device)
        self._logits = torch.zeros(labelled.shape, device=self.device)

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` as they stand; see ``Learner.logits_of``."""
        return self._logits

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Tensor:
        """Current scores ``(E, C, .)`` of a range of columns; all are always there."""
        return self._logits[:, :, columns]

    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows themselves, ``(E, C, n)``."""
        columns = self.labelled.columns[:, : self.labelled.slots]
        return self._logits.gather(2, columns[:, None].expand(-1, self._logits.shape[1], -1))

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; the arrays are the learner's own."""
        return {name: getattr(self, name) for name in self._arrays}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        for name in self._arrays:
            setattr(self, name, state[name].to(self.device, copy=True))
