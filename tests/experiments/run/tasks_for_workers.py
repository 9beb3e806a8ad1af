"""What the tests of worker processes let them do."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from react_rl.errors import ReActError
from react_rl.experiments.run import workers
from react_rl.files import written_atomically


class Unpicklable(Exception):
    """Cannot be built again from what it is pickled to."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def describe(task: str, shared: Mapping[str, Any]) -> tuple[dict[str, float], bool, bool]:
    arrays = shared[task]
    aligned = all(array.ctypes.data % 64 == 0 for array in arrays.values())
    return (
        {name: float(array.sum()) for name, array in arrays.items()},
        aligned,
        all(array.flags.writeable for array in arrays.values()),
    )


def wait_for_the_other(task: str, shared: Mapping[str, Any]) -> int:
    mine, other = (Path(shared["folder"]) / name for name in (task, "ab".replace(task, "")))
    mine.touch()
    until = time.monotonic() + 60
    while not other.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()


def die_first(task: str, shared: Mapping[str, Any]) -> str:
    if not task:
        return "at once"
    if not Path(task).exists():
        Path(task).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "again"


def die_always(task: str, shared: Mapping[str, Any]) -> str:
    if task == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def refuse(task: str | None, shared: Mapping[str, Any]) -> str:
    if task is None:
        raise Unpicklable("cannot be", "sent")
    raise ReActError(task)


def process(task: float, shared: Mapping[str, Any]) -> int:
    time.sleep(task)
    return os.getpid()


def much(task: str, shared: Mapping[str, Any]) -> bytes:
    """More than a socket takes at once, from a worker that does not end when its parent is gone."""
    workers._end = lambda: time.sleep(60)
    Path(task).touch()
    return bytes(50_000_000)


class _Slow:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __del__(self) -> None:
        self.file.touch()
        time.sleep(60)


def end_in_a_destructor(task: str, shared: Mapping[str, Any]) -> None:
    _Slow(Path(task))


def write_for_long(task: str, shared: Mapping[str, Any]) -> None:
    with written_atomically(Path(task)):
        time.sleep(60)


def say(task: str, shared: Mapping[str, Any]) -> None:
    sys.stdout.write(task)


def die_over_margin(task: Any, shared: Mapping[str, Any]) -> Any:
    """Plays a block of a comparison, unless it is one of margin."""
    from react_rl.experiments.run.compare import _play_shared

    if task.strategy == "margin":
        os.kill(os.getpid(), signal.SIGKILL)
    return _play_shared(task, shared)
