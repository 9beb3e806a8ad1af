"""Memory for arrays of many megabytes that are filled once and read often."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def large_array(*shape: int, device: torch.device | str = "cpu") -> Tensor:
    """An array of float32 with nothing in it yet.

    On a CPU its memory comes from numpy, which asks Linux for pages of 2 MiB. Torch gets pages of 4 KiB, and
    the first touch of each is a call of the kernel: together they take longer than filling the array does.

    Args:
        shape: Its shape.
        device: Where it is.
    """
    if torch.device(device).type != "cpu":
        return torch.empty(shape, device=device)
    return torch.from_numpy(np.empty(shape, dtype=np.float32))
