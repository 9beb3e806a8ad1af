"""Parts of a study that are finished, on disk until all of it is: a study that was stopped goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from react_rl import __version__
from react_rl.documents import read_json
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest, write_atomically
from react_rl.simulation.encoded import EncodedCorpus

FOLDER: Final = "progress"


class FinishedParts:
    """Finished parts by what decides them.

    Args:
        out: Folder of the study; parts are in a folder of their own.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER

    def part(self, identity: Any, compute: Callable[[], Any]) -> Any:
        """A part as plain JSON values, computed where no whole file holds it.

        Args:
            identity: All that decides it, as plain values.
            compute: Computes it.

        Raises:
            WriteError: It cannot be written.
        """
        key = digest(canonical_json([__version__, identity]))
        path = self._folder / f"{key[:16]}.json"
        try:
            kept = read_json(path, "")
        except ReActError:
            kept = None
        if isinstance(kept, dict) and kept.get("key") == key and kept.get("checksum") == _checksum(kept):
            return kept["part"]
        part = {"key": key, "part": compute()}
        write_atomically(path, canonical_json(part | {"checksum": _checksum(part)}) + "\n")
        return part["part"]

    def clear(self) -> None:
        """Remove the parts of a study that is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _checksum(kept: dict[str, Any]) -> str:
    return digest(canonical_json(kept.get("part")))


def content_of(corpus: EncodedCorpus) -> str:
    """Digest of a corpus with its embeddings, for identities."""
    return digest(corpus.corpus.digest(), corpus.embeddings.cpu().numpy().tobytes())
