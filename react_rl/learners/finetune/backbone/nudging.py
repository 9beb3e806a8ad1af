"""What is added to the vectors that enter the trained layers: word vectors, or states of frozen layers."""

from __future__ import annotations

import torch
from torch import Tensor


class Nudge:
    """Moves of the input vectors of a batch of texts.

    Args:
        move: ``(R B, T, H)``; None begins at zero, in the shape of the first vectors that come by.

    Attributes:
        move: The same; gradients reach it.
        lengths: ``(R B,)`` float32 length of each text's own vectors, padding left out.
        mask: ``(R B, T)`` bool, True where there is a token; set by the network.
    """

    def __init__(self, move: Tensor | None = None) -> None:
        self.move = move
        self.lengths: Tensor | None = None
        self.mask: Tensor | None = None

    def on(self, vectors: Tensor) -> Tensor:
        """The vectors ``(R B, T, H)``, moved. Mutates on the first call."""
        if self.move is None:
            self.move = torch.zeros_like(vectors, requires_grad=True)
        if self.lengths is None:
            kept = vectors.detach().float()
            if self.mask is not None:
                kept = kept * self.mask[:, :, None]
            self.lengths = torch.linalg.vector_norm(kept.flatten(1), dim=1)
        return vectors + self.move
