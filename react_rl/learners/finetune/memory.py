"""What to ask for after memory has run out."""

from __future__ import annotations

import logging

import torch

from react_rl.errors import ReActError

_log = logging.getLogger(__name__)


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
