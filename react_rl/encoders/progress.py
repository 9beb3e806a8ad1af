"""One progress bar on stderr, shown only for work that lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from react_rl.pulse import pulse

PATIENCE: Final = 2.0
"""Seconds of work before a bar appears."""


@contextmanager
def progress_bar(what: str, total: float, show: bool = True) -> Iterator[Callable[[float], None]]:
    """Yield a function that advances the bar.

    The bar appears after ``PATIENCE`` seconds, only on a terminal or in a notebook, and goes away at the end.
    Elsewhere the log says now and then how far the work is.

    Args:
        what: What is being done, e.g. ``"Encoding"``.
        total: The whole of the work, in the unit in which the yielded function is called.
        show: False keeps it quiet.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show and (console.is_terminal or console.is_jupyter)),
    )
    task = bar.add_task(what, total=total)
    begun = time.monotonic()
    started = False
    done = 0.0

    def advance(amount: float) -> None:
        nonlocal started, done
        bar.advance(task, amount)
        done += amount
        say(f"{what}: {done / total:.0%}" if total else what)
        if not started and time.monotonic() - begun > PATIENCE:
            started = True
            bar.start()

    with pulse(__name__, what) if show else nullcontext(_nothing) as say:
        try:
            yield advance
        finally:
            if started:
                bar.stop()


def _nothing(_: str) -> None:
    """Say nothing."""
