"""The top rows of wide pools: every row looked at roughly, and exactly where that can matter.

Some processors (those with AMX) take a third of the time for products whose factors are rounded to 8
bits. What rounding does to a score is measured on rows that are computed both ways; a row is computed exactly
wherever twice that error could change which rows are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import torch
from torch import Tensor

from react_rl.encoders.processor import rounding, rounding_pays

Exact = Callable[[Tensor], Tensor]
"""From columns of an episode ``(k,)`` to their scores ``(k,)``."""

_SURE: Final = 2.0
"""Times the largest measured error that any row's is taken to be."""

_FEWEST: Final = 1024
"""Rows computed both ways, at the least."""

_WIDER: Final = 4
"""Growth of the number of exact rows where they do not suffice."""


def rounds_quickly(device: torch.device) -> bool:
    """Whether products are quicker with rounded factors; measured once on a machine."""
    return device.type == "cpu" and rounding_pays()


@contextmanager
def rounded_products(device: torch.device) -> Iterator[None]:
    """Context in which products of two fp32 matrices round their factors to bf16, where that is quick."""
    with rounding() if rounds_quickly(device) else nullcontext():
        yield


def leaders(rough: Tensor, n: int, exact: Exact) -> Tensor:
    """Scores with the same ``n`` best rows, and ties, as the exact ones; minus infinity for rows far behind.

    Args:
        rough: Rough scores of an episode ``(P,)``; minus infinity for rows that cannot be chosen.
        n: Rows that will be chosen.
        exact: Computes scores.
    """
    possible = int((rough != -torch.inf).sum())
    if possible == 0:
        return rough.clone()
    count = min(max(_FEWEST, _WIDER * n), possible)
    while True:
        values, columns = rough.topk(count)
        true = exact(columns)
        if count == possible:
            break
        last = true.topk(min(n + 1, count)).values[-1]
        if bool(values[-1] + _SURE * (true - values).abs().max() < last):
            break
        count = min(_WIDER * count, possible)
    return torch.full_like(rough, -torch.inf).scatter_(0, columns, true)
