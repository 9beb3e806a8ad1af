"""Runs a command undisturbed, then killed in one child process after the other until it may finish.

The undisturbed run imports everything; a child is a fork, so that a start costs no seconds. A child kills
itself after some changes to its files, or a moment later: no other process has to be quick enough. Prints how
many were killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from react_rl.experiments.cli import main

CHANGES = ("open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate")
"""What Python is about to do to a file, by the name of its audit event."""

WRITING = os.O_WRONLY | os.O_RDWR


def killed_at(change: int, moment: float, folder: Path) -> None:
    """Have this process killed ``moment`` seconds after it is about to make change number ``change``."""
    done = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event not in CHANGES or (event == "open" and not arguments[2] & WRITING):
            return
        paths = [Path(one).absolute() for one in arguments[:2] if isinstance(one, str | Path)]
        if not any(path.is_relative_to(folder) for path in paths):
            return
        done += 1
        if done == change and moment:
            signal.setitimer(signal.ITIMER_REAL, moment)
        elif done == change:
            os.kill(os.getpid(), signal.SIGKILL)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.addaudithook(count)


def status_of(arguments: list[str], *kill: Any) -> int:
    """Run a command in a child process that is killed, if it is to be, and return how it ended."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        if kill:
            killed_at(*kill)
        status = main(arguments)
    finally:
        sys.stdout.flush()
        os._exit(status)


def run(command: list[str], folder: Path, kills: int, most_changes: int, start_of_numbers: int) -> int:
    rng = random.Random(start_of_numbers)
    for number in range(kills):
        moment = rng.choice((0.0, rng.uniform(0.0001, 0.005)))
        status = status_of(command, rng.randint(1, most_changes), moment, folder.absolute())
        if status == 0:
            return number
        assert os.WIFSIGNALED(status), f"the command failed with {status}"
    assert status_of(command) == 0
    return kills


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, name, *how = json.loads(sys.argv[1])
    assert main([*arguments, "--results", "undisturbed"]) == 0
    print("killed", run([*arguments, "--results", "killed"], Path("killed", name), *how))
