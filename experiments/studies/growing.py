"""Tables of results that grow part by part: a study that was stopped measures only what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from react_rl.documents import read_json
from react_rl.encoders.transformer import resolve_device, resolve_precision
from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text, read_csv
from react_rl.experiments.benchmarks.machine import name_device
from react_rl.files import canonical_json, write_atomically

_ADVICE: Final = "remove it, and what it holds is measured again"


def this_machine() -> dict[str, str]:
    """Processor and precision of fine-tuning here, as settings of a table.

    A model trained in bf16 differs from one trained in fp32, and seconds are of one processor; so pairs that
    are subtracted or divided must come from one machine.
    """
    device = resolve_device("auto")
    return {"processor": name_device(device), "precision": resolve_precision("auto", device)}


class GrowingTable:
    """A table on disk; what it holds when a study begins is not measured again.

    Values are rounded when they are added, so a page made of the frame is the same whenever it is made.

    Args:
        path: The CSV file.
        names: Columns of names that say what a line is about.
        numbers: Columns of numbers that do.
        digits: Digits after the point that are kept.
        settings: What else decides the values, as plain values; it is written beside the table, and a table
            that was measured with other settings is refused.

    Raises:
        ReActError: The table is damaged, or was measured with other settings.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        numbers: Sequence[str] = ("seed",),
        digits: int = 6,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._path, self._key, self._digits = path, [*names, *numbers], digits
        self._beside = path.with_suffix(".settings.json")
        self._settings = settings
        self.frame = pd.DataFrame(columns=self._key)
        if path.is_file():
            self._check()
            self.frame = read_csv(path, names, numbers, _ADVICE)

    def holds(self, seeds: int | range | None = None, **of: object) -> bool:
        """Whether there are lines with these values, and one for each seed; a number means seeds from 0."""
        found = self.frame
        for column, value in of.items():
            found = found[found[column] == value]
        if seeds is None:
            return bool(len(found))
        return set(range(seeds) if isinstance(seeds, int) else seeds) <= set(found["seed"])

    def add(self, part: pd.DataFrame) -> None:
        """Add lines, in place of those with the same key, and write the file. Mutates."""
        part = part.round(self._digits)
        frame = pd.concat([self.frame, part], ignore_index=True) if len(self.frame) else part
        self.frame = frame.drop_duplicates(self._key, keep="last").reset_index(drop=True)
        if self._settings is not None:
            write_atomically(self._beside, canonical_json(self._settings, indent=1) + "\n")
        write_atomically(self._path, csv_text(self.frame))

    def _check(self) -> None:
        if self._settings is None:
            return
        found = read_json(self._beside, f"it says how {self._path.name} was measured; name another --out")
        if not isinstance(found, dict):
            raise ReActError(f"{self._beside} holds no settings; name another --out.")
        for name, value in self._settings.items():
            if found.get(name) != value:
                raise ReActError(
                    f"{self._path} was measured with {name} {found.get(name)!r}, not {value!r}; "
                    "give the same again, or name another --out."
                )
