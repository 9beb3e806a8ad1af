"""Runs a command undisturbed, then killed at random in one child process after the other until it may finish.

The undisturbed run imports everything; a child is a fork, so that a start costs no seconds. Prints how many
were killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from react_rl.experiments.cli import main


def start(arguments: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        status = main(arguments)
    finally:
        sys.stdout.flush()
        os._exit(status)


def state_of(folder: Path) -> set[tuple[str, int]]:
    """Whole files and when they were written."""
    found = set()
    for path in folder.rglob("*"):
        try:
            found.add((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return {(name, when) for name, when in found if not name.endswith(".part")}


def killed(arguments: list[str], folder: Path, rng: random.Random) -> bool:
    """Start the command, kill it after a few changes in its folder and a moment; False if it ended before."""
    before, changes = state_of(folder), rng.choice((0, 1, 1, 2, 3))
    child = start(arguments)
    moment = rng.uniform(0.0, 0.3 if changes == 0 else 0.02)
    until = None if changes else time.monotonic() + moment
    while until is None or time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, f"the command failed with {status}"
            return False
        if until is None and len(state_of(folder) - before) >= changes:
            until = time.monotonic() + moment
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run(command: list[str], folder: Path, most: int, start_of_numbers: int) -> int:
    rng = random.Random(start_of_numbers)
    count = 0
    while count < most and killed(command, folder, rng):
        count += 1
    _, status = os.waitpid(start(command), 0)
    assert status == 0, f"the command failed with {status}"
    return count


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, name, kills, seed = json.loads(sys.argv[1])
    assert main([*arguments, "--results", "undisturbed"]) == 0
    print("killed", run([*arguments, "--results", "killed"], Path("killed", name), kills, seed))
