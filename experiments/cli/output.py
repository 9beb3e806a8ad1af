"""Standard output and error that may be closed, full, without a reader, or not UTF-8: the work goes on.

What the commands write to files has nothing to do with this.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO, cast

import react_rl

_PACKAGE: Final = Path(react_rl.__file__).parent


class Outlet:
    """A stream that gives up in silence when it cannot be written to, and remembers why.

    Args:
        stream: The stream; everything but writing and flushing is left to it.

    Attributes:
        error: Why nothing more is written, or None.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="replace")  # a letter that the terminal lacks is worth a question mark

    def write(self, text: str) -> int:
        """Write ``text``, or nothing where nothing can be written any more."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # What is still in the buffer would fail once more when the interpreter ends.
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def outlets() -> Iterator[Outlet]:
    """Context in which standard output and error are outlets; yields that of standard output.

    Where standard error is no terminal, the log of this package goes there. Its warnings are shown as
    sentences, without the place in the code.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    out, err = Outlet(sys.stdout), Outlet(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    logger, handler = logging.getLogger("react_rl"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    shown, level = not err.isatty(), logger.level
    as_before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
            print(f"Warning: {message}", file=sys.stderr)
        else:
            as_before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    if shown:
        logger.addHandler(handler)
        logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        yield out
    finally:
        warnings.showwarning = as_before
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        if shown:
            logger.removeHandler(handler)
            logger.setLevel(level)


@contextlib.contextmanager
def verbosely(wanted: bool) -> Iterator[None]:
    """Context in which the log of this package goes to standard error in full, if that is wanted."""
    logger, handler = logging.getLogger("react_rl"), logging.StreamHandler(sys.stderr)
    level, added = logger.level, wanted and not logger.handlers
    if wanted:
        logger.setLevel(logging.DEBUG)
    if added:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        if added:
            logger.removeHandler(handler)


def unwritable(outlet: Outlet) -> str | None:
    """Why standard output holds less than it should, or None; a reader that went away wanted no more."""
    error = outlet.error
    if error is None or error.errno in (errno.EPIPE, errno.ECONNRESET):
        return None
    return error.strerror or str(error)


def _open_closed() -> None:
    """Open closed standard streams on nothing; else the next file or socket would become standard output."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
