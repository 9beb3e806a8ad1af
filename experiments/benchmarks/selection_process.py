"""One contestant of the selection benchmark in a process of its own, watched from outside.

The process says ``loaded``, ``ready`` and ``done``; the parent reads its memory at these points and ends it
when it takes too long or too much.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from react_rl.experiments.benchmarks.contestant_process import ContestantProcess

_TICK: Final = 0.1
"""Seconds between two looks at a process."""

Status = Literal["done", "time", "memory"]


@dataclass(frozen=True)
class Limits:
    """What a contestant may use.

    Args:
        seconds: Processor seconds of one selection.
        megabytes: Resident memory of the process.
        repeats: Selections, whose median is reported.
        enough: Processor seconds after which no further selection is asked for.
    """

    seconds: float = 600.0
    megabytes: float = 12_000.0
    repeats: int = 9
    enough: float = 2.0


@dataclass(frozen=True)
class ProcessOutcome:
    """What one contestant needed.

    Args:
        status: ``done``, or the limit that it ran into.
        seconds: Median processor seconds of a selection; None unless it is done.
        wall: Median seconds by the clock.
        runs: Selections made.
        megabytes: Most memory during a selection beyond what held the loaded data; None if unknown.
        whole: Most resident memory of the whole process.
        ids: What the last selection picked.
        versions: Versions that the contestant told.
    """

    status: Status
    seconds: float | None = None
    wall: float | None = None
    runs: int = 0
    megabytes: float | None = None
    whole: float | None = None
    ids: list[int] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


class Watched(ContestantProcess):
    """A contestant on one thread, with limits; use as a context manager.

    Args:
        command: Program and arguments.
        limits: When to end it.

    Raises:
        ReActError: The program cannot be started.
    """

    def __init__(self, command: Sequence[str], limits: Limits) -> None:
        super().__init__(command)
        self._limits = limits
        self._text = b""

    def __enter__(self) -> Watched:
        return self

    def hear(self) -> dict[str, Any]:
        """Wait for the next message, or the limit that was reached as ``{"stage": "time"}`` or "memory".

        Raises:
            ReActError: The process ended without a word.
        """
        started = self.processor_seconds()
        while b"\n" not in self._text:
            if select.select([self.output], [], [], _TICK)[0]:
                found = os.read(self.output.fileno(), 1 << 16)
                if not found:
                    return self._last_word()
                self._text += found
            if self.memory("VmRSS") > self._limits.megabytes:
                return {"stage": "memory"}
            if self.processor_seconds() - started > self._limits.seconds:
                return {"stage": "time"}
        line, _, self._text = self._text.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_word(self) -> dict[str, Any]:
        if self.process.wait() == -9:  # the system ends a process that asks for more than there is
            return {"stage": "memory"}
        raise self.ended()

    def memory(self, key: str) -> float:
        """A line of the process' status in MB, e.g. VmRSS; 0 where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        found = [line.split()[1] for line in lines if line.startswith(key + ":")]
        return int(found[0]) * 1024 / 1e6 if found else 0.0

    def forget_peak(self) -> None:
        """Count the peak of memory from here on."""
        try:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        except OSError:
            return

    def processor_seconds(self) -> float:
        """Processor time of the process so far; time by the clock where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_contestant(command: Sequence[str], limits: Limits) -> ProcessOutcome:
    """Let one contestant select, again and again while that is quick, and say what it needed.

    Raises:
        ReActError: It cannot be started, or fails for another reason than time or memory.
    """
    with Watched(command, limits) as process:
        loaded = process.hear()
        versions = loaded.get("versions", {})
        data = process.memory("VmRSS")
        message = process.hear()
        peak = 0.0
        seconds: list[float] = []
        walls: list[float] = []
        ids: list[int] = []
        while message["stage"] in ("ready", "done") and len(seconds) < limits.repeats:
            if sum(seconds) > limits.enough:
                break
            process.forget_peak()
            process.ask()
            message = process.hear()
            peak = max(peak, process.memory("VmHWM"))
            if message["stage"] == "done":
                seconds.append(message["seconds"])
                walls.append(message["wall"])
                ids = message["ids"]
        if message["stage"] != "done":
            return ProcessOutcome(status=message["stage"], versions=versions)
        known = peak > 0
        return ProcessOutcome(
            "done", float(np.median(seconds)), float(np.median(walls)), len(seconds),
            peak - data if known else None, peak if known else None, ids, versions,
        )  # fmt: skip
