"""Whether a training is finished already: the same one is not trained again, nor its policy replaced."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from react_rl.agents.folder import PolicyCard, is_policy, read_card
from react_rl.files import write_atomically

FINISHED: Final = "finished"
"""File beside the policy of a finished training: the digest of all that determined it."""


def finished(folder: Path, key: str) -> PolicyCard | None:
    """The card of the policy that the same training left in a folder; a warning says so.

    The mark of another training is removed: its policy is about to be replaced. Mutates the folder.

    Args:
        folder: Where the training writes.
        key: Digest of all that determines the training.
    """
    mark = folder / FINISHED
    if is_policy(folder / "policy") and mark.is_file() and mark.read_bytes() == key.encode():
        warnings.warn(
            f"{folder} holds this training, finished, so nothing was trained; with --overwrite, or once the "
            f"file {FINISHED!r} there is gone, it is trained again.",
            stacklevel=2,
        )
        return read_card(folder / "policy")
    mark.unlink(missing_ok=True)
    return None


def mark_finished(folder: Path, key: str) -> None:
    """Note that the training of this key ended. Mutates the folder."""
    write_atomically(folder / FINISHED, key)
