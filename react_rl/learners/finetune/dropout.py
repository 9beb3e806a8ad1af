"""Dropout whose masks are a function of episode, step, site and position: no random state anywhere.

A mask does not depend on which episodes run side by side or how far a batch is padded, so episodes trained
together get the masks that they would get alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn

from react_rl.learners.finetune.episodic import Mounted

_ODD: Final = (-1640531527, -2048144789, -1028477387)
"""Odd 32-bit constants of Knuth's and MurmurHash3's mixers, as signed integers."""
_RANGE: Final = 2.0**32


def _mix(x: Tensor) -> Tensor:
    """Scatter the bits of 32-bit integers (the finaliser of MurmurHash3). Multiplication wraps around."""
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


def keep_mask(keys: Tensor, places: Tensor, features: int, site: int, rate: float) -> Tensor:
    """Which units stay: ``(R, N, features)`` bool, each False with probability ``rate``.

    Args:
        keys: ``(R,)`` int32, one for each episode and step.
        places: ``(R, N)`` or ``(1, N)`` int32, see ``token_places``.
        features: Units of each token.
        site: Number of the dropout layer.
        rate: Share that is dropped.
    """
    token = _mix(keys[:, None] + _mix(places * _ODD[0] + site))  # (R, N)
    unit, multiple = _units(features, keys.device)
    # Products and sums alone: shifts of 32-bit integers are slow. One factor would let pairs of units show.
    bits = token[..., None] ^ unit
    bits *= token.mul_(_ODD[2])[..., None] + multiple
    return bits >= int(rate * _RANGE - _RANGE / 2)


@lru_cache(maxsize=64)
def _units(features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scattered numbers ``(features,)`` of the units, and a multiple of them."""
    with torch.inference_mode(False):
        unit = _mix(torch.arange(1, features + 1, dtype=torch.int32, device=device) * _ODD[0])
        return unit, unit * _ODD[1]


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

    def forward(self, x: Tensor) -> Tensor:
        """Drop units of ``(R B, F)`` or ``(R B, T, F)`` and scale the others; attention stays whole."""
        keys = self._mounted.keys
        if keys is None or self.rate == 0.0 or x.dim() > 3 or x.shape[0] != self._mounted.texts:
            return x
        places = self._mounted.places
        if places is None or x.dim() == 2:
            rows, width = x.shape[0] // keys.numel(), x.shape[1] if x.dim() == 3 else 1
            places = token_places(rows, width, self._mounted.first, x.device)
        keep = keep_mask(keys, places, x.shape[-1], self.site, self.rate)
        # Bytes become numbers five times as fast as truth values do.
        kept = keep.view(x.shape).view(torch.uint8).to(x.dtype)
        return x * kept.mul_(1.0 / (1.0 - self.rate))


def step_keys(seeds: Tensor, *counters: int) -> Tensor:
    """Keys ``(R,)`` int32 from episode seeds ``(R,)`` int64 and numbers that name the round and the step."""
    keys = _mix((seeds ^ (seeds >> 32)).to(torch.int32))
    for counter in counters:
        keys = _mix(keys + (counter * 0x9E3779B1 + 0x7F4A7C15) % 2**31)
    return keys
