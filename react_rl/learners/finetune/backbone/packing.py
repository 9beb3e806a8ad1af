"""Texts of different length one after another, without the padding that a rectangle of them would hold.

Linear layers, norms and activations take each token by itself, so they need no rectangle; attention does, and
tokens are put back into one for it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from react_rl.learners.finetune.backbone.dropout import token_places

_FROM_ZERO: Final = ("bert", "electra")
_AFTER_PADDING: Final = ("roberta", "xlm-roberta", "camembert")

_STEP: Final = 32
"""Tokens to whose multiples an episode's are filled up."""

_WORTH: Final = 1 / 16
"""Least share of padding for which tokens are moved to and fro."""


def first_position(config: Any) -> int | None:
    """Where an architecture's table of positions begins; None for those that are not read packed.

    Others bend attention in ways (windows, distances) that a rectangle made here would not know of.
    """
    if config.model_type in _FROM_ZERO:
        return 0
    return int(config.pad_token_id) + 1 if config.model_type in _AFTER_PADDING else None


class Packing:
    """Which slots of a rectangle of texts are computed.

    Each episode keeps N, its tokens and some padding, so that layers find equally many of each, and a
    multiple of ``_STEP``: new kernels are made for each N, which takes as long as a good part of a pass.

    Args:
        mask: ``(R B, T)`` True where there is a token.
        episodes: R.
        first: Place of the first text of each episode in the batch that these are a piece of.
    """

    def __init__(self, mask: Tensor, episodes: int, first: int = 0) -> None:
        self.mask = mask
        slots = mask.view(episodes, -1)
        tokens = slots.sum(1, keepdim=True)
        kept = min(math.ceil(int(tokens.max()) / _STEP) * _STEP, slots.shape[1])
        spare = ~slots & ((~slots).cumsum(1) <= kept - tokens)
        # (R N,) slots of the flattened rectangle, ascending: episode by episode.
        self.kept = torch.nonzero((slots | spare).flatten())[:, 0]
        texts, width = mask.shape
        self.positions = (self.kept % width)[None]
        """Place of each token in its text, ``(1, R N)``."""
        self.place_of = torch.zeros(texts * width, dtype=torch.int64, device=mask.device)
        self.place_of[self.kept] = torch.arange(len(self.kept), device=mask.device)
        """For each slot where its token is among the kept; any of them where it is not kept."""
        rectangle = token_places(texts // episodes, width, first, mask.device).expand(episodes, -1)
        self.places = rectangle.flatten()[self.kept].view(episodes, -1)
        """Of each token the number that decides what is dropped, ``(R, N)``."""
        self.shift = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -1e9)[:, None, None]
        """``(R B, 1, 1, T)`` what attention adds to its scores."""

    def pack(self, x: Tensor) -> Tensor:
        """Kept slots ``(1, R N, ...)`` of a rectangle ``(R B, T, ...)``."""
        return x.flatten(0, 1)[self.kept][None]

    def spread(self, x: Tensor) -> Tensor:
        """Tokens ``(1, R N, F)`` in their rectangle ``(R B, T, F)``, anything finite in slots not kept."""
        spread: Tensor = _Spread.apply(x, self)  # type: ignore[no-untyped-call]
        return spread

    def gather(self, x: Tensor) -> Tensor:
        """Kept slots ``(1, R N, F)`` of a rectangle ``(R B, T, F)``, with a gradient."""
        gathered: Tensor = _Gather.apply(x, self)  # type: ignore[no-untyped-call]
        return gathered


def worth_packing(mask: Tensor) -> bool:
    """Whether a rectangle ``(R B, T)`` holds enough padding."""
    return bool(mask.sum() <= (1 - _WORTH) * mask.numel())


class _Spread(torch.autograd.Function):
    """From kept slots to the rectangle; each slot's gradient goes back to its token alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packing: Packing) -> Tensor:
        """Map ``(1, R N, F)``."""
        ctx.packing = packing
        return x[0].index_select(0, packing.place_of).view(*packing.mask.shape, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the tokens."""
        gradient = gradients[0]
        return gradient.reshape(-1, gradient.shape[-1]).index_select(0, ctx.packing.kept)[None], None


class _Gather(torch.autograd.Function):
    """From the rectangle to kept slots; the gradient of the others is zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packing: Packing) -> Tensor:
        """Map ``(R B, T, F)``."""
        ctx.packing = packing
        return x.reshape(-1, x.shape[-1]).index_select(0, packing.kept)[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the slots."""
        gradient, mask = gradients[0], ctx.packing.mask
        slots = gradient.new_zeros(mask.numel(), gradient.shape[-1])
        return slots.index_copy_(0, ctx.packing.kept, gradient[0]).view(*mask.shape, -1), None
