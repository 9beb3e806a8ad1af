"""The top rows of wide pools: every row looked at roughly, and exactly where that can matter.

Processors that multiply bf16 matrices take a third of the time for products whose factors are rounded to 8
bits. What rounding does to a score is measured on rows that are computed both ways; a row is computed exactly
wherever twice that error could change which rows are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from react_rl.encoders.transformer import cpu_multiplies_bf16

Exact = Callable[[Tensor], Tensor]
"""From columns of an episode ``(k,)`` to their scores ``(k,)``."""

_SURE: Final = 2.0
"""Times the largest measured error that any row's is taken to be."""

_FEWEST: Final = 1024
"""Rows computed both ways, at the least."""

_WIDER: Final = 4
"""Growth of the number of exact rows where they do not suffice."""


def rounds_quickly(device: torch.device) -> bool:
    """Whether products are quicker with rounded factors, and torch can be told so."""
    return device.type == "cpu" and hasattr(_products(), "fp32_precision") and cpu_multiplies_bf16()


@contextmanager
def rounded_products(device: torch.device) -> Iterator[None]:
    """Context in which products of two fp32 matrices round their factors to bf16, where that is quick.

    Sums stay in fp32. It holds for the whole process, and may slow products of stacks (``bmm``) down.
    """
    if not rounds_quickly(device):
        yield
        return
    products = _products()
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def _products() -> Any:
    """Torch's switch for products on a CPU; None where this version has none."""
    return getattr(torch.backends.mkldnn, "matmul", None)


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
