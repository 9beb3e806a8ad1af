"""Running episodes in a file, so that a run that was stopped goes on from its last round to the same end.

A draw is repeated from its streams. What rounds have changed since is kept: arrays as safetensors, the rest
(where the streams stand, notebooks, failures, notes of the caller) as JSON in the header of the same file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from react_rl import __version__
from react_rl.files import canonical_json, digest, write_atomically
from react_rl.learners.protocol import part_of
from react_rl.seeding import Streams
from react_rl.simulation.engine import LabelingEngine

_HEADER: Final = "state"
_CHECKSUM: Final = "checksum"
_FORMAT: Final = "5"
"""Changes whenever the names of the arrays or of what is in the header do."""


@dataclass(frozen=True)
class Notes:
    """What a caller keeps beside the engine.

    Args:
        values: What JSON can hold.
        arrays: Arrays by name; they come back on the CPU.
    """

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """One file for the episodes of one engine, or of several that are played together.

    Args:
        path: The file.
        key: Stands for all that determines the episodes: corpora, options, learner, strategy, seeds. A file
            with another key, or of another version of this package or of torch, is as good as none.
    """

    path: Path
    key: str

    def save(self, engines: Sequence[LabelingEngine], notes: Notes) -> None:
        """Write where the episodes stand; the file before is replaced at once or not at all."""
        header = {
            "key": self._full_key,
            "engines": [
                {
                    "streams": [streams.state() for streams in engine.draws.streams],
                    "notebooks": [notebook.state() for notebook in engine.draws.notebooks],
                    "failures": [[episode, reason] for episode, reason in engine.learner.failures.items()],
                }
                for engine in engines
            ],
            "values": notes.values,
        }
        parts = {f"engine {place}": engine.state() for place, engine in enumerate(engines)}
        parts["notes"] = notes.arrays
        arrays = {
            f"{part}/{name}": array.detach().cpu().contiguous()
            for part, named in parts.items()
            for name, array in named.items()
        }
        text = canonical_json(header)
        about = {_HEADER: text, _CHECKSUM: digest(text)}
        # As bytes, since safetensors' own file beside the one it writes would outlive a kill.
        write_atomically(self.path, safetensors.torch.save(arrays, about))

    def restore(
        self,
        engines: Sequence[LabelingEngine],
        streams: Sequence[Streams],
        corpora: Sequence[int | None] | None = None,
    ) -> Notes | None:
        """Put the engines where the file left them. Mutates the engines and the streams.

        Args:
            engines: Engines built as those that were saved.
            streams: Fresh streams, seeded as those of the saved episodes of all engines in their order.
            corpora: As in ``LabelingEngine.reset``, likewise.

        Returns:
            The caller's notes, or None if there is no usable file; then nothing was changed.
        """
        found = self._read(arrays=True)
        if found is None:
            return None
        header, arrays = found
        start = 0
        for place, (engine, kept) in enumerate(zip(engines, header["engines"], strict=True)):
            some = slice(start, start + engine.n_episodes)
            start = some.stop
            own = None if corpora is None else corpora[some]
            engine.resume(streams[some], own, part_of(arrays, f"engine {place}"))
            for one, state in zip(streams[some], kept["streams"], strict=True):
                one.load_state(state)
            for notebook, pages in zip(engine.draws.notebooks, kept["notebooks"], strict=True):
                notebook.load_state(pages)
            engine.learner.failures.update({int(episode): reason for episode, reason in kept["failures"]})
        return Notes(header["values"], part_of(arrays, "notes"))

    def values(self) -> dict[str, Any] | None:
        """The caller's values alone, without any array, or None if there is no usable file."""
        found = self._read(arrays=False)
        return None if found is None else dict(found[0]["values"])

    def _read(self, arrays: bool) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata[_CHECKSUM] != digest(metadata[_HEADER]):
                    return None
                header = json.loads(metadata[_HEADER])
                if header["key"] != self._full_key:
                    return None
                names = file.keys() if arrays else []
                return header, {name: file.get_tensor(name) for name in names}
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None

    def remove(self) -> None:
        """Delete the file, if there is one, and what a killed process had begun to write of it."""
        for part in (self.path, *self.path.parent.glob(f".{self.path.name}.*")):
            part.unlink(missing_ok=True)

    @property
    def _full_key(self) -> str:
        return digest(self.key, _FORMAT, __version__, torch.__version__)
