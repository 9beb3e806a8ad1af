"""Texts of different length one after another, without the padding that a rectangle of them would hold.

Linear layers, norms and activations take each token by itself, so they need no rectangle; attention does, and
tokens are put back into one for it. Above the last attention, tokens that nobody scores are left out as well.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from react_rl.learners.finetune.backbone.dropout import token_places
from react_rl.learners.finetune.backbone.episodic import Mounted

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
        # (R N,) slots of the flattened rectangle, ascending: episode by episode.
        self.kept = _filled_up(mask.view(episodes, -1))
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
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}

    def pack(self, x: Tensor) -> Tensor:
        """Kept slots ``(1, R N, ...)`` of a rectangle ``(R B, T, ...)``."""
        return x.flatten(0, 1)[self.kept][None]

    def spread(self, x: Tensor) -> Tensor:
        """Tokens ``(1, R N, F)`` in their rectangle ``(R B, T, F)``, anything finite in slots not kept."""
        spread: Tensor = _Spread.apply(x, self)  # type: ignore[no-untyped-call]
        return spread

    def to_heads(self, x: Tensor) -> Tensor:
        """Tokens ``(1, R N, H, F)`` as attention multiplies them, ``(R B H, T, F)``; see ``spread``."""
        heads: Tensor = _ToHeads.apply(x, self)  # type: ignore[no-untyped-call]
        return heads

    def from_heads(self, x: Tensor, heads: int) -> Tensor:
        """Kept slots ``(1, R N, H, F)`` of what attention gives, ``(R B H, T, F)``."""
        parts = _gather(x, self.rows_of(heads)[1])
        return parts.view(1, len(self.kept), heads, -1)

    def rows_of(self, heads: int) -> tuple[Tensor, Tensor]:
        """Which part of which token is in each row of ``(R B H T)``, and the row of each part ``(R N H)``."""
        found = self._rows.get(heads)
        if found is None:
            texts, width = self.mask.shape
            head = torch.arange(heads, device=self.mask.device)
            part = self.place_of.view(texts, 1, width) * heads + head[:, None]
            text, place = self.kept // width, self.kept % width
            row = (text[:, None] * heads + head) * width + place[:, None]
            found = self._rows[heads] = part.flatten(), row.flatten()
        return found


class Scored:
    """Which packed tokens are computed above the last attention: those whose vectors are scored.

    Nothing passes from token to token there. Each episode keeps equally many, see ``Packing``.

    Args:
        packing: The packed tokens.
        words: ``(R B, K)`` tokens of each text that are scored, -1 for none.
    """

    def __init__(self, packing: Packing, words: Tensor) -> None:
        texts, width = packing.mask.shape
        slots = torch.arange(texts, device=words.device)[:, None] * width + words.clamp_min(0)
        token = packing.place_of[slots]
        wanted = torch.zeros_like(packing.places, dtype=torch.bool)
        wanted.view(-1)[token[words >= 0]] = True
        self._kept = _filled_up(wanted)
        place_of = torch.zeros(wanted.numel(), dtype=torch.int64, device=words.device)
        place_of[self._kept] = torch.arange(len(self._kept), device=words.device)
        self._vectors = place_of[token]

    def numbers(self, tokens: Tensor) -> Tensor:
        """Those of tokens ``(R, N)`` that are kept, ``(R, M)``."""
        return tokens.flatten()[self._kept].view(len(tokens), -1)

    def narrow(self, x: Tensor) -> Tensor:
        """Those of packed states ``(1, R N, F)`` that are kept, ``(1, R M, F)``."""
        return _gather(x, self._kept)

    def vectors(self, x: Tensor) -> Tensor:
        """Vectors of words ``(R B, K, F)`` of kept states ``(1, R M, F)``; any where there is no word."""
        return x[0].index_select(0, self._vectors.flatten()).view(*self._vectors.shape, -1)


class Narrowing:
    """Leaves tokens that are not scored out of what enters the layers above the last attention.

    Args:
        mounted: Numbers of tokens are narrowed with them.
    """

    def __init__(self, mounted: Mounted) -> None:
        self._scored: Scored | None = None
        self._mounted = mounted

    def to(self, packing: Packing, words: Tensor | None) -> Scored | None:
        """What the next pass keeps; see ``Scored``. Without words it keeps everything. Mutates."""
        self._scored = None if words is None else Scored(packing, words)
        return self._scored

    def before(self, module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What enters a module, as a hook before it. Mutates the mounted numbers."""
        if self._scored is None:
            return given
        scored, self._scored = self._scored, None
        if self._mounted.tokens is not None:
            self._mounted.tokens = scored.numbers(self._mounted.tokens)
        return tuple(scored.narrow(x) for x in given)


def _filled_up(wanted: Tensor) -> Tensor:
    """Places, in the flattened array, of all that are wanted ``(R, S)`` and of some others, ascending.

    So many that each line has equally many, and a multiple of ``_STEP`` where it has so many places.
    """
    counts = wanted.sum(1, keepdim=True)
    kept = min(math.ceil(int(counts.max()) / _STEP) * _STEP, wanted.shape[1])
    spare = ~wanted & ((~wanted).cumsum(1) <= kept - counts)
    return torch.nonzero((wanted | spare).flatten())[:, 0]


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


class _ToHeads(torch.autograd.Function):
    """From kept slots to a rectangle for each head, in one movement; gradients as in ``_Spread``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packing: Packing) -> Tensor:
        """Map ``(1, R N, H, F)``."""
        heads, size = x.shape[2:]
        part, ctx.row = packing.rows_of(heads)
        ctx.tokens = x.shape[1]
        return x.reshape(-1, size).index_select(0, part).view(-1, packing.mask.shape[1], size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the tokens."""
        gradient = gradients[0]
        size = gradient.shape[-1]
        parts = gradient.reshape(-1, size).index_select(0, ctx.row)
        return parts.view(1, ctx.tokens, -1, size), None


class _Gather(torch.autograd.Function):
    """From slots to those that are kept; the gradient of the others is zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:
        """Map ``(A, B, F)``."""
        ctx.kept, ctx.slots = kept, x.shape[:2]
        return x.reshape(-1, x.shape[-1]).index_select(0, kept)[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the slots."""
        gradient = gradients[0]
        slots = gradient.new_zeros(ctx.slots.numel(), gradient.shape[-1])
        return slots.index_copy_(0, ctx.kept, gradient[0]).view(*ctx.slots, -1), None


def _gather(x: Tensor, kept: Tensor) -> Tensor:
    """Kept slots ``(1, n, F)`` of ``(A, B, F)``, with a gradient."""
    gathered: Tensor = _Gather.apply(x, kept)  # type: ignore[no-untyped-call]
    return gathered
