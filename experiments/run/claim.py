"""One command at a time in the folder of a study: a lock that the system gives up when its process ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from react_rl.errors import ReActError
from react_rl.files import WriteError, make_folder

LOCK: Final = ".lock"
"""File in the folder of a study that is locked while a command works there; it holds the process id."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Context in which no other command works in the folder of a study.

    The folder is made where it is missing, and removed again if it is empty in the end. A lock dies with its
    process, so that a file which a killed one left behind keeps nobody out.

    Args:
        folder: ``results/NAME``.

    Raises:
        ReActError: Another command works there.
        WriteError: The folder cannot be written to.
    """
    above = [one for one in (folder, *folder.parents) if not one.exists()]
    make_folder(folder)
    try:
        handle = _locked(folder / LOCK)
        try:
            yield
        finally:
            if handle is not None:
                (folder / LOCK).unlink(missing_ok=True)
                os.close(handle)
    finally:
        for one in above:
            with suppress(OSError):  # something is in it
                one.rmdir()


def _locked(path: Path) -> int | None:
    """Lock a file; None where the system or the disk has no locks.

    Raises:
        ReActError: Another process has locked it.
        WriteError: It cannot be opened.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise WriteError(error.errno, error.strerror, str(path)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            who = f"another command (process {owner})" if owner else "another command"
            raise ReActError(
                f"{path.parent} is in use: {who} works there. "
                "Wait until it has ended, or choose another name with --name."
            ) from None
        except OSError:  # a network disk without locks
            os.close(handle)
            return None
        if _is_still(path, handle):
            with suppress(OSError):  # a full disk: who it is matters less than that somebody is there
                os.truncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)  # whoever had it removed it in the meantime


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
