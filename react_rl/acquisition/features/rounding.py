"""Sums over a pool, rounded so that equal rows get equal values whatever the order of summation."""

from __future__ import annotations

from typing import Final

from torch import Tensor

STEPS: Final = float(1 << 16)
"""Steps from 0 to the largest value of an episode."""


def even(values: Tensor) -> Tensor:
    """Round ``(E, R, ...)`` to one part in 65,536 of each episode's largest value, so that ties are ties."""
    step = values.abs().amax(1, keepdim=True).clamp_min(1e-30) / STEPS
    return (values / step).round_().mul_(step)
