"""A ledger as a learner reads it through something of its own: all that is not changed is the ledger's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from react_rl.learners.protocol import LabelledRows


class LedgerView:
    """All that ``LabelledRows`` asks for, as a ledger has it; who changes a part overrides it.

    Args:
        labelled: The ledger, to be read only.
    """

    def __init__(self, labelled: LabelledRows) -> None:
        self._labelled = labelled

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        return self._labelled.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """E, largest number of classes C, columns W."""
        return self._labelled.shape

    @property
    def capacity(self) -> int:
        """Slots that there is room for; grows."""
        return self._labelled.capacity

    @property
    def slots(self) -> int:
        """Slots in use in the fullest episode."""
        return self._labelled.slots

    @property
    def used(self) -> Sequence[int]:
        """Slots taken, for each episode."""
        return self._labelled.used

    @property
    def unanswered(self) -> bool:
        """Whether some taken slot may carry no label."""
        return self._labelled.unanswered

    @property
    def rows(self) -> Tensor:
        """Similarity of each slot to each column ``(E, capacity, W)`` float32; ``FAR`` without a row."""
        return self._labelled.rows

    @property
    def onehot(self) -> Tensor:
        """Labels ``(E, C, capacity)`` float32, all 0 in slots without one."""
        return self._labelled.onehot

    @property
    def live(self) -> Tensor:
        """Slots that hold a label ``(E, capacity)`` float32."""
        return self._labelled.live

    @property
    def columns(self) -> Tensor:
        """Pool columns ``(E, capacity)`` int64; slots without a label carry any column."""
        return self._labelled.columns
