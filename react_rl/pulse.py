"""A line of log now and then, for work that lasts where no terminal shows a bar."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY: Final = 30.0
"""Seconds between two lines."""


@contextmanager
def pulse(logger: str, begun: str, every: float | None = None) -> Iterator[Callable[[str], None]]:
    """Log how work stands, at level INFO, as long as the context lasts; work that is soon done logs nothing.

    Args:
        logger: Name of the logger, a module of this package.
        begun: What is being done.
        every: Seconds before the first line and between two lines; None is ``EVERY``.

    Yields:
        A function that takes what is to be said from now on.
    """
    said = [begun]
    over = threading.Event()

    def tell() -> None:
        while not over.wait(EVERY if every is None else every):
            logging.getLogger(logger).info("%s", said[0])

    def say(sentence: str) -> None:
        said[0] = sentence

    thread = threading.Thread(target=tell, name="pulse", daemon=True)
    thread.start()
    try:
        yield say
    finally:
        over.set()
        thread.join()
