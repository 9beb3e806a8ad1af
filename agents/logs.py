"""Logs of a training that go on where they were when it is resumed: a CSV file, and one for TensorBoard.

A checkpoint remembers how far they were; what was written after it is cut off, because it is played again.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from stable_baselines3.common.logger import KVWriter, Logger

from react_rl.escaping import for_csv, from_csv
from react_rl.files import WriteError, write_atomically

CSV: Final = "progress.csv"
EVENTS: Final = "events.out.tfevents.training"
"""TensorBoard reads any file with ``tfevents`` in its name."""
_ITERATIONS: Final = "time/iterations"


class TrainingLog(Logger):
    """What Stable-Baselines3 records during a training, as its logger.

    Args:
        folder: Where the files are.
        state: What ``state`` gave at the checkpoint that the training goes on from; None begins new files.

    Raises:
        WriteError: The files cannot be written.
    """

    def __init__(self, folder: Path, state: Mapping[str, Any] | None = None) -> None:
        self._csv = _CsvLog(folder / CSV, None if state is None else int(state["rows"]))
        formats: list[KVWriter] = [self._csv]
        self._events = None
        if _has_tensorboard():
            self._events = _EventLog(folder / EVENTS, None if state is None else int(state["bytes"]))
            formats.append(self._events)
        super().__init__(str(folder), formats)
        self._iterations = self._earlier = 0
        if state is not None:
            # A resumed training counts its iterations from one.
            self._iterations = self._earlier = int(state["iterations"])
            for name, (value, count, excluded) in state["pending"].items():
                self.name_to_value[name] = float(value) if isinstance(value, str) else value
                self.name_to_excluded[name] = tuple(excluded)
                if count:
                    self.name_to_count[name] = count

    def record(self, key: str, value: Any, exclude: str | tuple[str, ...] | None = None) -> None:
        """Note a value for the next line."""
        if key == _ITERATIONS:
            value = self._iterations = self._earlier + int(value)
        super().record(key, value, exclude)

    def state(self) -> dict[str, Any]:
        """How far the logs are, and what waits for the next line; for JSON."""
        numbers = {name: _plain(value) for name, value in self.name_to_value.items()}
        # Written as words, because JSON has no NaN.
        pending = {
            name: [
                repr(value) if isinstance(value, float) else value,
                self.name_to_count.get(name, 0),
                list(self.name_to_excluded[name]),
            ]
            for name, value in numbers.items()
            if not isinstance(value, str)
        }
        return {
            "rows": len(self._csv.rows),
            "bytes": 0 if self._events is None else self._events.size,
            "iterations": self._iterations,
            "pending": pending,
        }


class _CsvLog(KVWriter):
    """A line for each dump; a new column is put behind the others, empty in the lines before."""

    def __init__(self, path: Path, keep: int | None) -> None:
        self._path = path
        self._columns: list[str] = []
        self.rows: list[dict[str, str]] = []
        if keep:
            self._read(keep)
        self._rewrite()

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        plain = {k: _plain(v) for k, v in key_values.items() if "csv" not in key_excluded[k]}
        shown = {k: for_csv(v) if isinstance(v, str) else str(v) for k, v in plain.items()}
        self.rows.append(shown)
        more = sorted(shown.keys() - set(self._columns))
        if more:
            self._columns += more
            self._rewrite()
        else:
            _appended(self._path, self._lines([shown]).encode())

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, keep: int) -> None:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.rows = [{from_csv(k): v for k, v in row.items() if k and v} for row in reader][:keep]
                self._columns = [from_csv(column) for column in reader.fieldnames or () if column]
        except (OSError, ValueError, csv.Error):
            self.rows, self._columns = [], []  # the log was removed or damaged; the training is not

    def _rewrite(self) -> None:
        header = [{column: for_csv(column) for column in self._columns}] if self._columns else []
        write_atomically(self._path, self._lines(header + self.rows))

    def _lines(self, rows: list[dict[str, str]]) -> str:
        buffer = io.StringIO()
        csv.DictWriter(buffer, self._columns, lineterminator="\n").writerows(rows)
        return buffer.getvalue()


class _EventLog(KVWriter):
    """Numbers as TensorBoard reads them, one record for each dump."""

    def __init__(self, path: Path, keep: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._path = path
        self.size = 0
        if keep:
            try:
                with path.open("rb+") as file:
                    file.truncate(min(keep, path.stat().st_size))
                    self.size = file.seek(0, io.SEEK_END)
            except OSError:
                self.size = 0
        if not self.size:
            write_atomically(path, b"")
            self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        shown = {k: _plain(v) for k, v in key_values.items() if "tensorboard" not in key_excluded[k]}
        values = [
            Summary.Value(tag=k, simple_value=v) for k, v in sorted(shown.items()) if not isinstance(v, str)
        ]
        self._append(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Nothing is open."""

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        buffer = io.BytesIO()
        RecordWriter(buffer).write(event.SerializeToString())
        _appended(self._path, buffer.getvalue())
        self.size += len(buffer.getvalue())


def _appended(path: Path, content: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(path)) from error


def _plain(value: Any) -> float | int | str:
    """A recorded value as Python has it, so that a resumed training writes the same figures."""
    item: Callable[[], Any] | None = getattr(value, "item", None)
    value = value if item is None else item()
    return value if isinstance(value, (int, float)) else str(value)


def _has_tensorboard() -> bool:
    try:
        importlib.metadata.version("tensorboard")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
