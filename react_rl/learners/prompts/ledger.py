"""The ledger as a head on other vectors than the embeddings reads it: the same rows, other similarities."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from react_rl.learners.ledger_view import LedgerView
from react_rl.learners.protocol import FAR, LabelledRows, Purchase


class OtherSimilarities(LedgerView):
    """A view of the ledger with similarities between vectors that a learner has of its own.

    Args:
        labelled: The ledger, to be read only.
        vectors: ``(E, W, D)`` float32 vectors of all columns; whoever made this view fills them in.
    """

    def __init__(self, labelled: LabelledRows, vectors: Tensor) -> None:
        super().__init__(labelled)
        self.vectors = vectors
        n_episodes, _, width = labelled.shape
        self._rows = torch.full((n_episodes, labelled.capacity, width), FAR, device=labelled.device)

    def note(self, bought: Purchase) -> Purchase:
        """The purchase with similarities between the vectors. Mutates: they are kept."""
        missing = self._labelled.capacity - self._rows.shape[1]
        if missing > 0:
            self._rows = torch.nn.functional.pad(self._rows, (0, 0, 0, missing), value=FAR)
        own = self.vectors if bought.everyone else self.vectors[bought.episodes]
        index = bought.columns[:, :, None].expand(-1, -1, own.shape[2])
        similarity = torch.bmm(own.gather(1, index), own.transpose(1, 2))
        self._rows[bought.episodes[:, None], bought.slots] = similarity
        return replace(bought, similarity=similarity)

    def forget(self, episodes: Tensor) -> None:
        """Empty the slots of episodes ``(R,)``. Mutates."""
        self._rows[episodes] = FAR

    @property
    def rows(self) -> Tensor:
        """Similarities between the vectors ``(E, capacity, W)`` float32; ``FAR`` without a row."""
        return self._rows

    @rows.setter
    def rows(self, rows: Tensor) -> None:
        self._rows = rows
