"""What becomes of memory that was freed, and what to ask for after it has run out."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from typing import Final

import torch

from react_rl.errors import ReActError

_log = logging.getLogger(__name__)

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of glibc's mallopt."""
_WORDS: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables by which users say what glibc is to do."""
_KEPT: Final = 2**30
"""Bytes of freed memory at the end of the heap from which they are given back."""
_SINGLE: Final = 2**25
"""Bytes from which an array is asked for, and given back, by itself: the most that glibc allows."""


def keep_freed_memory() -> bool:
    """Let about a gigabyte of freed memory stay with the process; returns whether glibc was told so.

    By default it gives the gradients of a step back to the system, which hands the next step other pages and
    clears each of them: 4 to 6 % of a step. Left alone where the environment has a word on it.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _WORDS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_TRIM_THRESHOLD, _KEPT) & mallopt(_MMAP_THRESHOLD, _SINGLE))


def free_memory(error: RuntimeError) -> None:
    """Give back what the GPU's allocator holds; raises ``error`` again unless memory has run out."""
    if not isinstance(error, torch.OutOfMemoryError) and "not enough memory" not in str(error).lower():
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def asking_less(
    error: RuntimeError, episodes: int, at_once: int, pieces: int, most_pieces: int
) -> tuple[int, int]:
    """Episodes at once and pieces of a batch that need about half the memory; said once, in the log.

    Args:
        error: What was raised; anything but a lack of memory is raised again.
        episodes: Episodes that ran side by side when it was raised.
        at_once: Most episodes side by side so far.
        pieces: Pieces that a batch is cut into so far.
        most_pieces: Most that it can be cut into.

    Raises:
        ReActError: There is nothing left to cut.
        RuntimeError: ``error``, where memory is not the reason.
    """
    free_memory(error)
    if episodes > 1:
        _log.warning("Out of memory: %d episodes at a time from now on.", (episodes + 1) // 2)
        return (episodes + 1) // 2, pieces
    if pieces < most_pieces:
        more = min(2 * pieces, most_pieces)
        _log.warning("Out of memory: batches are cut into %d pieces from now on.", more)
        return at_once, more
    raise ReActError("A single text does not fit into memory; lower learner.finetune.max_length.") from error
