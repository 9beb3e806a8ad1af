"""Products of large float32 matrices, by the library that knows the processor's instructions.

On a CPU a convolution over single places is such a product, and is oneDNN's, which knows the instructions of
more processors than the library of torch's products does: on an EPYC it takes half the time.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

IMAGES: Final = 16
"""Images from which on torch leaves a convolution on a CPU to oneDNN."""


def convolved(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows ``(B, R, i)`` times weights ``(o, i)``, plus a bias ``(o,)``: ``(B, R, o)``.

    It is quick on a CPU, and where B is ``IMAGES`` at least; on a GPU it might be rounded.
    """
    places = rows[:, None].permute(0, 3, 1, 2)  # (B, i, 1, R), channels last in memory
    return functional.conv2d(places, weight[:, :, None, None], bias).permute(0, 2, 3, 1)[:, 0]


def row_products(rows: Tensor, others: Tensor) -> Tensor:
    """Products of all rows with all others, episode by episode.

    Args:
        rows: ``(E, R, D)`` float32.
        others: ``(E, J, D)`` float32.

    Returns:
        ``(E, R, J)``.
    """
    n_episodes, count, length = rows.shape
    if not rows.is_cpu or n_episodes != 1 or count < IMAGES or length == 0:
        return torch.bmm(rows, others.transpose(1, 2))
    missing = -count % IMAGES
    if missing and length <= others.shape[1]:
        padded = functional.pad(rows[0], (0, 0, 0, missing)).view(IMAGES, -1, length)
        return convolved(padded, others[0]).flatten(0, 1)[None, :count]
    # To join short results is quicker than to copy long rows.
    whole = count // IMAGES * IMAGES
    found = convolved(rows[0, :whole].reshape(IMAGES, -1, length), others[0]).flatten(0, 1)
    return torch.cat([found, rows[0, whole:] @ others[0].T])[None] if missing else found[None]
