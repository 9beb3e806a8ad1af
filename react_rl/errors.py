"""The error that a user can fix, and the sentence that names the nearest right word."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_NEAR = 3
"""Most names that are offered in place of one that does not exist."""


class ReActError(Exception):
    """A mistake in the input or the set-up.

    The message is one sentence that holds the value seen, what was allowed and what to do.
    The command line prints it without a traceback and exits with status 2.
    """

    def __str__(self) -> str:
        """The message in one line, in which letters that would steer a terminal are made visible."""
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


def suggestion(name: str, options: Iterable[str], most: int = 1) -> str:
    """Return `` Did you mean 'x'?`` for the ``most`` options nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(name, list(options), n=most, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def first_line(error: BaseException) -> str:
    """What somebody else's error says in its first line, without a full stop; its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def with_place(error: BaseException) -> str:
    """Kind and message of an error; unless it is a sentence for users, with the file and line that raised it.

    That is the last one that is neither of this package nor installed, as in a strategy of one's own, or else
    the last of all. Folders are left out: what failed is written into results.
    """
    said = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ReActError) or not frames:
        return said
    places = (str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
    frame = next((one for one in reversed(frames) if not one.filename.startswith(places)), frames[-1])
    return f"{said} ({Path(frame.filename).name}, line {frame.lineno})"


def unknown(kind: str, name: object, options: Iterable[str], listed: str = "") -> ReActError:
    """Build the error for a name that is not among ``options``.

    Args:
        kind: What it should be a name of.
        name: The name, or what was given in its place.
        options: All names there are.
        listed: What `react-rl list` calls them, where they are too many for a message: it then holds the
            nearest names alone, and where all can be read.
    """
    names = sorted(set(options))
    words = str(name)
    parts = [part.strip() for part in words.split(",")]
    if len(parts) > 1 and set(parts) <= set(names):
        return ReActError(f"Unknown {kind} {name!r}. Several are named apart: {' '.join(parts)}.")
    if listed:
        near = suggestion(words, names, _NEAR)
        return ReActError(f"Unknown {kind} {name!r}.{near} `react-rl list {listed}` shows all.")
    return ReActError(
        f"Unknown {kind} {name!r}.{suggestion(words, names)} Known: {', '.join(names) or 'none'}."
    )
