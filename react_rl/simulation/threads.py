"""How many threads a round may use: small products lose by waiting for a second thread what it brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

FEW_COLUMNS: Final = 5000
"""Columns of all episodes together below which one thread is fastest (measured with 1 to 64 episodes)."""


@contextmanager
def threads_for(columns: int) -> Iterator[None]:
    """Compute with one thread where all episodes together have few columns; the setting is given back.

    Args:
        columns: Pool and dev rows of all episodes.
    """
    before = torch.get_num_threads()
    if before == 1 or columns >= FEW_COLUMNS:
        yield
        return
    torch.set_num_threads(1)  # a fraction of a microsecond
    try:
        yield
    finally:
        torch.set_num_threads(before)
