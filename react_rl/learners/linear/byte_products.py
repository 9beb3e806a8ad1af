"""Products of numbers with states that are rounded to bytes: quick where the processor multiplies bytes."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

MOST: Final = 127
"""Largest byte; -128 is not used."""

_FINE: Final = 2.0 * MOST
"""Steps of the second byte of a number in one step of its first."""


@cache
def multiplies_bytes(device: torch.device) -> bool:
    """Whether products of bytes are exact and quick here: on processors with instructions for them."""
    if device.type != "cpu":
        return False
    # A processor without them adds pairs in 16 bits, which these do not fit in.
    most = torch.full((32, 32), MOST, dtype=torch.int8)
    try:  # neither function is promised by torch
        if not torch.cpu._is_vnni_supported():
            return False
        found = torch._int_mm(most, most)
    except (RuntimeError, AttributeError):
        return False
    return bool((found == 32 * MOST**2).all())


def times_states(factors: Tensor, states: Tensor, across: bool) -> Tensor:
    """Products of E batches.

    Args:
        factors: ``(E, C, D)`` float32 where ``across``, else ``(E, C, n)``. Where states are bytes a factor
            is taken as two bytes: to 1/64,000 of the largest one of its row.
        states: ``(E, n, D)`` int8 or float32.
        across: Whether the sum goes over D.

    Returns:
        ``(E, C, n)`` float32 where ``across``, else ``(E, C, D)``.
    """
    if states.dtype != torch.int8:
        return torch.bmm(factors, states.transpose(1, 2) if across else states)
    classes, step = factors.shape[1], factors.abs().amax(2, keepdim=True).clamp_min_(1e-30).div_(MOST)
    both = torch.empty(len(factors), 2 * classes, factors.shape[2], dtype=torch.int8)
    exact = factors / step
    coarse = exact.round()
    both[:, :classes] = coarse
    both[:, classes:] = exact.sub_(coarse).mul_(_FINE).round_()
    whole = torch.empty(*both.shape[:2], states.shape[1 if across else 2], dtype=torch.int32)
    for own, factor, product in zip(states.mT if across else states, both, whole, strict=True):
        torch._int_mm(factor, own, out=product)
    # Widened all together: few large operations take less than some for each batch.
    found = whole.float()
    return torch.add(found[:, :classes], found[:, classes:], alpha=1.0 / _FINE).mul_(step)
