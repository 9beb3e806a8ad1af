"""Files that are whole or absent: atomic writes, canonical JSON, content digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

ABANDONED_AFTER: Final = 3600.0
"""Seconds after which nobody is taken to be writing a file any more."""

_UNFINISHED: Final[set[Path]] = set()
_BEGINNING: Final = threading.RLock()
"""Held while something unfinished is begun; for ever once this process is about to end."""


class WriteError(OSError):
    """A file could not be written; what was under its name before is still there.

    ``filename`` is the file that was meant, ``strerror`` the reason.
    """


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        WriteError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WriteError(error.errno, "a file is where a folder is needed", str(folder)) from error
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def unfinished(begin: Callable[[], str]) -> Iterator[Path]:
    """Context of a file or folder that is removed in the end, unless it was renamed.

    Args:
        begin: Makes it, and returns its name.
    """
    with _BEGINNING:
        part = Path(begin())
        _UNFINISHED.add(part)
    try:
        yield part
    finally:
        _remove(part)
        _UNFINISHED.discard(part)


def abandon_unfinished() -> None:
    """Remove all that this process has not finished, from any thread; nothing can be begun from here on."""
    _BEGINNING.acquire()
    for part in list(_UNFINISHED):
        with suppress(OSError):
            _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path``; once written it is renamed into place, so no half file is seen.

    A file that is replaced keeps its permissions.

    Raises:
        WriteError: The folder cannot be written to, or the disk is full.
    """
    make_folder(path.parent)

    def begin() -> str:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        except OSError as error:
            raise WriteError(error.errno, error.strerror, str(path)) from error
        os.close(handle)
        return name

    with unfinished(begin) as part, write_errors(part, path):
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; results are as public as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~umask)
        os.replace(part, path)


@contextmanager
def write_errors(part: Path, path: Path) -> Iterator[None]:
    """Context in which an error of the system while ``part`` is written says that ``path`` was meant.

    Args:
        part: A file, or a folder in which files are written.
        path: What it is going to be.

    Raises:
        WriteError: The disk is full, say.
    """
    try:
        yield
    except OSError as error:
        known = error.errno is not None
        if known and (error.filename is None or Path(str(error.filename)).is_relative_to(part)):
            raise WriteError(error.errno, error.strerror, str(path)) from error
        raise
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        code = int(number[1])  # what it makes of an error of the system
        raise WriteError(code, os.strerror(code), str(path)) from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write ``content`` beside ``path`` and rename it into place, so that no half file is ever seen.

    Raises:
        WriteError: The folder cannot be written to, or the disk is full.
    """
    with written_atomically(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes had begun to write in ``folder`` and below, once it is an hour old."""
    for part in folder.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER:
                part.unlink(missing_ok=True)


def unusual(path: Path) -> str | None:
    """What a path is that leads to neither a file nor a folder, as the rest of a sentence, or None."""
    try:
        kind = os.lstat(path).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISLNK(kind):
        try:
            kind = os.stat(path).st_mode
        except OSError as error:
            if error.errno == errno.ELOOP:
                return "is a symbolic link that leads back to itself"
            return f"is a symbolic link to {os.readlink(path)!r}, which cannot be reached ({error.strerror})"
    words = {
        stat.S_IFCHR: "is a device",
        stat.S_IFBLK: "is a device",
        stat.S_IFIFO: "is a named pipe",
        stat.S_IFSOCK: "is a socket",
    }
    return words.get(stat.S_IFMT(kind))


def utf16(content: bytes) -> bool:
    """Whether the bytes begin as UTF-16 texts do: with a byte order mark, or every other byte is zero."""
    head = content[:64]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return len(head) >= 8 and any(head) and (not any(head[1::2]) or not any(head[::2]))


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Serialise ``value`` with sorted keys, so that equal values give equal bytes. NaN is an error."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        value, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False
    )


def digest(*parts: bytes | str) -> str:
    """Return a 64-character hex digest of ``parts``; the borders between parts count."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()
