"""Dropout whose masks are a function of episode, step, site and position: no random state anywhere.

A mask does not depend on which episodes run side by side or how far a batch is padded, so episodes trained
together get the masks that they would get alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn

from react_rl.learners.finetune.backbone.episodic import Mounted

_ODD: Final = (-1640531527, -2048144789, -1028477387)
"""Odd 32-bit constants of Knuth's and MurmurHash3's mixers, as signed integers."""
_PATTERNS: Final = 8192
"""Patterns in the table, a power of two: as one of bf16 numbers, a megabyte."""
_STRIP: Final = 64
"""Units of a pattern."""
_STRIPS: Final = 1024
"""Most strips of a token."""


def _mix(x: Tensor) -> Tensor:
    """Scatter the bits of 32-bit integers: MurmurHash3's finaliser, but with shifts that keep the sign.

    Multiplication wraps around.
    """
    x = x ^ (x >> 16)
    x = x * _ODD[1]
    x = x ^ (x >> 13)
    x = x * _ODD[2]
    return x ^ (x >> 16)


def token_places(rows: int, width: int, first: int, device: torch.device) -> Tensor:
    """Numbers ``(1, rows width)`` int32 of the tokens of a rectangle: they depend on row and token alone.

    Args:
        rows: Rows of each episode in the batch.
        width: Tokens of each row, 1 where there is no token axis.
        first: Place of the first row, where the rows are a piece of a longer batch.
        device: Where.
    """
    row = torch.arange(first, first + rows, dtype=torch.int32, device=device)[:, None] * 65536
    return (row + torch.arange(width, dtype=torch.int32, device=device)).view(1, -1)


def token_numbers(keys: Tensor, places: Tensor) -> Tensor:
    """Scattered numbers ``(R, N)`` int32 of the tokens of a step.

    Args:
        keys: ``(R,)`` int32, one for each episode and step.
        places: ``(R, N)`` or ``(1, N)`` int32, see ``token_places``.
    """
    return _mix(keys[:, None] + _mix(places * _ODD[0]))


def keep_factors(tokens: Tensor, features: int, site: int, rate: float) -> Tensor:
    """Factors on the units ``(R, N, features)``: 0 with probability ``rate``, otherwise ``1 / (1 - rate)``.

    The rate is one of 8,192 steps: the nearest that does not drop everything.

    A token's factors are strips of a table of patterns, chosen by its number: to draw each unit on its own
    would take several times as long as all else that dropout does.

    Args:
        tokens: ``(R, N)`` int32, see ``token_numbers``.
        features: Units of each token.
        site: Number of the dropout layer.
        rate: Share that is dropped.
    """
    return _Table.of(site, rate, torch.float32, tokens.device).factors(tokens, features)


@dataclass(frozen=True)
class _Table:
    """What a dropout layer looks up.

    Args:
        patterns: ``(_PATTERNS, _STRIP)`` factors.
        multiple: ``(_STRIPS,)`` int32 odd numbers, one for each strip of a token.
        start: ``(_STRIPS,)`` int32.
    """

    patterns: Tensor
    multiple: Tensor
    start: Tensor

    @classmethod
    def of(cls, site: int, rate: float, dtype: torch.dtype, device: torch.device) -> _Table:
        """The table of a layer, made once."""
        return cls(_patterns(rate, dtype, device), *_strips(site, device))

    def factors(self, tokens: Tensor, features: int) -> Tensor:
        """Factors ``(R, N, features)`` of tokens ``(R, N)``."""
        count = math.ceil(features / _STRIP)
        scattered = (tokens[..., None] * self.multiple[:count]).add_(self.start[:count]).flatten()
        # The top bits of a product depend on all bits of what is multiplied.
        chosen = (scattered >> (33 - _PATTERNS.bit_length())).bitwise_and_(_PATTERNS - 1)
        found = self.patterns.index_select(0, chosen)
        return found.view(*tokens.shape, -1)[..., :features]


@lru_cache(maxsize=1024)
def _strips(site: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Odd factors and summands ``(_STRIPS,)`` int32 that scatter a token's number for each of its strips."""
    with torch.inference_mode(False):
        number = torch.arange(1, _STRIPS + 1, dtype=torch.int32, device=device) + site * 65536
        return _mix(number * _ODD[0]) | 1, _mix(number * _ODD[1])


@lru_cache(maxsize=16)
def _patterns(rate: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Factors ``(_PATTERNS, _STRIP)``: each unit is dropped in the same share of patterns."""
    with torch.inference_mode(False):
        generator = torch.Generator().manual_seed(_PATTERNS)
        rank = torch.rand(_STRIP, _PATTERNS, generator=generator).argsort(1)
        dropped = min(round(rate * _PATTERNS), _PATTERNS - 1)
        kept = (rank >= dropped).T * (_PATTERNS / (_PATTERNS - dropped))
        return kept.to(device, dtype).contiguous()


class EpisodeDropout(nn.Module):
    """Takes the place of a dropout layer of the model.

    Args:
        rate: Share of units that is dropped.
        site: Number of this layer.
        mounted: Where keys are read.
    """

    def __init__(self, rate: float, site: int, mounted: Mounted) -> None:
        super().__init__()
        self.rate = rate
        self.site = site
        self._mounted = mounted
        self._table: _Table | None = None

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Make what is looked up, so that a compiled pass need not. Mutates."""
        self._table = _Table.of(self.site, self.rate, dtype, device)

    def forward(self, x: Tensor) -> Tensor:
        """Drop units of ``(R B, F)`` or ``(R B, T, F)`` and scale the others; attention stays whole."""
        keys = self._mounted.keys
        if keys is None or self.rate == 0.0 or x.dim() > 3 or x.shape[0] != self._mounted.texts:
            return x
        tokens = self._mounted.tokens
        if tokens is None or x.dim() == 2:
            rows, width = x.shape[0] // keys.numel(), x.shape[1] if x.dim() == 3 else 1
            tokens = token_numbers(keys, token_places(rows, width, self._mounted.first, x.device))
        table = self._table
        if table is None or table.patterns.dtype != x.dtype:
            table = _Table.of(self.site, self.rate, x.dtype, x.device)
        return x * table.factors(tokens, x.shape[-1]).view(x.shape)


def step_keys(seeds: Tensor, *counters: int) -> Tensor:
    """Keys ``(R,)`` int32 from episode seeds ``(R,)`` int64 and numbers that name the round and the step."""
    keys = _mix((seeds ^ (seeds >> 32)).to(torch.int32))
    for counter in counters:
        keys = _mix(keys + (counter * 0x9E3779B1 + 0x7F4A7C15) % 2**31)
    return keys
