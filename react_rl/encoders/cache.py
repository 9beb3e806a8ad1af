"""Arrays on disk under the digest of their content's recipe: atomic, checked on read, bounded in size."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from react_rl.errors import ReActError
from react_rl.files import canonical_json, write_atomically

Arrays = dict[str, npt.NDArray[Any]]

GIB: Final = 1024**3
_SUFFIX: Final = ".safetensors"
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_ABANDONED_AFTER: Final = 3600.0
"""Seconds after which a temporary file is taken for the remains of a killed process."""


def default_folder() -> Path:
    """Return ``$REACT_RL_CACHE``, else ``$XDG_CACHE_HOME/react-rl``, else ``~/.cache/react-rl``."""
    if own := os.environ.get("REACT_RL_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "react-rl"


@dataclass(frozen=True)
class CacheEntry:
    """One stored file.

    Attributes:
        key: What it is stored under.
        kind: What it holds, e.g. ``"embeddings"``; ``"damaged"`` if its header cannot be read.
        bytes: Its size on disk.
        last_used: Seconds since the epoch.
        meta: What was noted with it, e.g. the corpus's name.
    """

    key: str
    kind: str
    bytes: int
    last_used: float
    meta: Mapping[str, str]


class ArrayCache:
    """Named arrays under a key that says how they were made.

    A key is the digest of everything that changes the arrays, so an entry never goes stale; the least
    recently used ones leave when the folder grows beyond its bound. The cache never stops the work: what
    cannot be read is computed again and what cannot be stored is only warned about. Files are renamed into
    place whole, so any number of processes may share a folder.

    Args:
        folder: Where the files are; None for ``default_folder()``. Made when first written to.
        max_bytes: Bound of all entries together, in bytes.

    Raises:
        ReActError: ``folder`` is a file.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = 4 * GIB) -> None:
        self.folder = default_folder() if folder is None else folder
        self.max_bytes = max_bytes
        if self.folder.exists() and not self.folder.is_dir():
            raise ReActError(
                f"The cache folder {str(self.folder)!r} is a file; set REACT_RL_CACHE to a folder."
            )

    def get(self, key: str) -> Arrays | None:
        """Return the arrays under ``key`` and mark them used, or None.

        A damaged entry is removed, with a warning, and counts as absent.
        """
        path = self._path(key)
        try:
            arrays = _read(path, key)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            warnings.warn(
                f"The cache entry {str(path)!r} is damaged ({error}); it was removed and is computed again.",
                stacklevel=2,
            )
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)
        return arrays

    def put(self, key: str, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, str]) -> None:
        """Store ``arrays`` under ``key``, then let the least recently used entries go.

        Args:
            key: What ``react_rl.files.digest`` returned for all that changes the arrays.
            arrays: Named arrays of any shape, of numbers or booleans.
            meta: Notes for people; ``kind`` names what the entry holds.
        """
        path = self._path(key)
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        notes = dict(meta)
        size = sum(array.nbytes for array in whole.values())
        if size > self.max_bytes:
            warnings.warn(
                f"An entry of {size / GIB:.2f} GiB is larger than the cache's bound of "
                f"{self.max_bytes / GIB:.2f} GiB and was not stored; raise the bound.",
                stacklevel=2,
            )
            return
        header = {"checksum": _checksum(key, whole, notes), "meta": canonical_json(notes)}
        try:
            write_atomically(path, save(whole, metadata=header))
        except OSError as error:
            warnings.warn(f"The cache entry {str(path)!r} could not be stored: {error}.", stacklevel=2)
            return
        self._evict(keep=path)

    def cached(
        self,
        key: str,
        compute: Callable[[], Mapping[str, npt.NDArray[Any]]],
        meta: Mapping[str, str] | None = None,
    ) -> Arrays:
        """Return the arrays under ``key``, computing and storing them if they are not there."""
        found = self.get(key)
        if found is not None:
            return found
        arrays = dict(compute())
        self.put(key, arrays, meta or {})
        return arrays

    def entries(self) -> list[CacheEntry]:
        """List what is stored, most recently used first, reading headers only."""
        found = []
        for path, stat in self._files():
            try:
                with safe_open(path, framework="np") as file:
                    meta = {str(k): str(v) for k, v in json.loads(file.metadata()["meta"]).items()}
            except FileNotFoundError:
                continue
            except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError):
                meta = {"kind": "damaged"}
            kind = meta.get("kind", "")
            found.append(CacheEntry(path.stem, kind, stat.st_size, stat.st_mtime_ns / 1e9, meta))
        return sorted(found, key=lambda entry: -entry.last_used)

    def clear(self) -> int:
        """Remove every entry and return how many bytes that freed. Other files in the folder stay."""
        freed = 0
        for path, stat in self._files():
            path.unlink(missing_ok=True)
            freed += stat.st_size
        self._sweep()
        return freed

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"cache key {key!r} is not a digest of 64 hexadecimal digits")
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            # Only names we make, because the folder may hold somebody's model too.
            if _KEY.fullmatch(path.stem):
                # Another process may remove the file between the listing and the look.
                with suppress(OSError):
                    found.append((path, path.stat()))
        return found

    def _evict(self, keep: Path) -> None:
        files = sorted(self._files(), key=lambda item: item[1].st_mtime_ns)
        total = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if total <= self.max_bytes:
                break
            if path != keep:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                    total -= stat.st_size
        self._sweep()

    def _sweep(self) -> None:
        """Remove the temporary files of killed processes."""
        for part in self.folder.glob(f".*{_SUFFIX}.*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED_AFTER:
                    part.unlink(missing_ok=True)


def _read(path: Path, key: str) -> Arrays:
    """Read and verify one file. Raises ValueError if the checksum differs."""
    with safe_open(path, framework="np") as file:
        header = file.metadata()
        # Copies, because the file may be mapped into memory and read-only.
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    if header["checksum"] != _checksum(key, arrays, json.loads(header["meta"])):
        raise ValueError("the checksum differs")
    return arrays


def _checksum(key: str, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, str]) -> str:
    names = sorted(arrays)
    shapes = [[name, arrays[name].dtype.str, list(arrays[name].shape)] for name in names]
    state = hashlib.sha256(canonical_json({"key": key, "meta": dict(meta), "arrays": shapes}).encode())
    for name in names:
        state.update(arrays[name].reshape(-1).view(np.uint8).data)
    return state.hexdigest()
