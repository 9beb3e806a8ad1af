"""Drawing rows one after the other in proportion to weights that change with each pick."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from react_rl.simulation.view import PoolView


def uniform_numbers(view: PoolView, n: int) -> Tensor:
    """``n`` uniform numbers for each episode that can buy something, ``(E, n)`` float64."""
    numbers = np.zeros((view.n_episodes, n))
    for e in torch.nonzero(view.n_available)[:, 0].tolist():
        numbers[e] = view.generator(e).random(n)
    return torch.from_numpy(numbers).to(view.device)


def draw_column(weight: Tensor, free: Tensor, number: Tensor) -> Tensor:
    """Draw a free column of each episode in proportion to its weight.

    Args:
        weight: ``(E, P)``, 0 where a column is not free. Where all are 0, all free columns are equally
            likely.
        free: ``(E, P)`` bool.
        number: ``(E,)`` uniform in [0, 1).

    Returns:
        ``(E,)`` int64; -1 where no column is free.
    """
    flat = weight.amax(1, keepdim=True) <= 0
    # In float64, so that a long sum leaves no row without its share.
    mass = torch.where(flat, free.to(weight.dtype), weight).double()
    total = mass.cumsum(1)
    column = torch.searchsorted(total, number[:, None] * total[:, -1:], right=True)[:, 0]
    # A number next to 1 may round up to the whole sum: then the last row with a share is meant.
    last = torch.where(mass > 0, torch.arange(mass.shape[1], device=mass.device), -1).amax(1)
    return torch.minimum(column, last)
