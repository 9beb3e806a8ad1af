"""One contestant of the selection benchmark in a process of its own, watched from outside.

The process says ``loaded``, ``ready`` and ``done``; the parent reads its memory at these points and ends it
when it takes too long or too much.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from react_rl.errors import ReActError

THREADS: Final = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}
"""All contestants run on one thread."""

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


class Watched:
    """A running contestant; use as a context manager.

    Args:
        command: Program and arguments.
        limits: When to end it.

    Raises:
        ReActError: The program cannot be started.
    """

    def __init__(self, command: Sequence[str], limits: Limits) -> None:
        environment = {**os.environ, **THREADS, "TQDM_DISABLE": "1"}
        environment.pop("PYTHONPATH", None)
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise ReActError(
                f"{command[0]!r} cannot be started ({error.strerror}); "
                "give the python of an environment with the peers as --peer-python."
            ) from error
        self._limits = limits
        self._text = b""

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None, "the process is started with pipes"
            stream.close()

    def ask(self) -> None:
        """Ask for one selection."""
        assert self._process.stdin is not None, "the process is started with pipes"
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the next message, or the limit that was reached as ``{"stage": "time"}`` or "memory".

        Raises:
            ReActError: The process ended without a word.
        """
        assert self._process.stdout is not None, "the process is started with pipes"
        started = self.processor_seconds()
        while b"\n" not in self._text:
            if select.select([self._process.stdout], [], [], _TICK)[0]:
                found = os.read(self._process.stdout.fileno(), 1 << 16)
                if not found:
                    return self._ended()
                self._text += found
            if self.memory("VmRSS") > self._limits.megabytes:
                return {"stage": "memory"}
            if self.processor_seconds() - started > self._limits.seconds:
                return {"stage": "time"}
        line, _, self._text = self._text.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _ended(self) -> dict[str, Any]:
        status = self._process.wait()
        if status == -9:  # the system ends a process that asks for more than there is
            return {"stage": "memory"}
        raise ReActError(
            f"A contestant ended with status {status}; its message is above. Is the environment of "
            "--peer-python made as experiments/benchmarks/README.md says?"
        )

    def memory(self, key: str) -> float:
        """A line of the process' status in MB, e.g. VmRSS; 0 where the system does not tell."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        found = [line.split()[1] for line in lines if line.startswith(key + ":")]
        return int(found[0]) * 1024 / 1e6 if found else 0.0

    def forget_peak(self) -> None:
        """Count the peak of memory from here on."""
        try:
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        except OSError:
            return

    def processor_seconds(self) -> float:
        """Processor time of the process so far; time by the clock where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
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
