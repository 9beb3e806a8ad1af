"""The ledger as a head on other vectors than the embeddings reads it: the same rows, other similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.protocol import LabelledRows, Purchase

_FAR: Final = -2.0
"""Similarity of a slot without a row."""


class OtherSimilarities:
    """A view of the ledger with similarities between vectors that a learner has of its own.

    Args:
        labelled: The ledger, to be read only.
        vectors: ``(E, W, D)`` float32 vectors of all columns; whoever made this view fills them in.
    """

    def __init__(self, labelled: LabelledRows, vectors: Tensor) -> None:
        self._labelled = labelled
        self.vectors = vectors
        n_episodes, _, width = labelled.shape
        self.rows = torch.full((n_episodes, labelled.capacity, width), _FAR, device=labelled.device)

    def note(self, bought: Purchase) -> Purchase:
        """The purchase with similarities between the vectors. Mutates: they are kept."""
        missing = self._labelled.capacity - self.rows.shape[1]
        if missing > 0:
            self.rows = torch.nn.functional.pad(self.rows, (0, 0, 0, missing), value=_FAR)
        own = self.vectors if bought.everyone else self.vectors[bought.episodes]
        index = bought.columns[:, :, None].expand(-1, -1, own.shape[2])
        similarity = torch.bmm(own.gather(1, index), own.transpose(1, 2))
        self.rows[bought.episodes[:, None], bought.slots] = similarity
        return replace(bought, similarity=similarity)

    def forget(self, episodes: Tensor) -> None:
        """Empty the slots of episodes ``(R,)``. Mutates."""
        self.rows[episodes] = _FAR

    @property
    def device(self) -> torch.device:
        """See ``LabelledRows``."""
        return self._labelled.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """See ``LabelledRows``."""
        return self._labelled.shape

    @property
    def capacity(self) -> int:
        """See ``LabelledRows``."""
        return self._labelled.capacity

    @property
    def slots(self) -> int:
        """See ``LabelledRows``."""
        return self._labelled.slots

    @property
    def used(self) -> Sequence[int]:
        """See ``LabelledRows``."""
        return self._labelled.used

    @property
    def unanswered(self) -> bool:
        """See ``LabelledRows``."""
        return self._labelled.unanswered

    @property
    def onehot(self) -> Tensor:
        """See ``LabelledRows``."""
        return self._labelled.onehot

    @property
    def live(self) -> Tensor:
        """See ``LabelledRows``."""
        return self._labelled.live

    @property
    def columns(self) -> Tensor:
        """See ``LabelledRows``."""
        return self._labelled.columns
