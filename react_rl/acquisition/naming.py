"""Names of strategies that are made of another one: a beginning, perhaps a number, and the other's name."""

from __future__ import annotations

from react_rl.errors import ReActError


def named_base(name: str, beginning: str, examples: str) -> str:
    """Base of a name such as ``proxy:margin``.

    Args:
        name: The whole name.
        beginning: How it begins.
        examples: Right names, for the message.

    Raises:
        ReActError: There is no name of another strategy in it.
    """
    return checked_base(name, name.removeprefix(beginning), beginning, examples)


def numbered_base(name: str, beginning: str, usual: float, examples: str) -> tuple[str, float]:
    """Base and number of a name such as ``distinct:0.9:mnlp``, or ``distinct:mnlp``.

    Args:
        name: The whole name.
        beginning: How it begins.
        usual: The number where the name says none.
        examples: Right names, for the message.

    Raises:
        ReActError: There is no name of another strategy in it.
    """
    rest = name.removeprefix(beginning)
    first, colon, later = rest.partition(":")
    if colon and first.replace(".", "", 1).isdecimal():
        return checked_base(name, later, beginning, examples), float(first)
    return checked_base(name, rest, beginning, examples), usual


def checked_base(name: str, base: str, beginning: str, examples: str) -> str:
    """The other one's name, if it is one.

    Args:
        name: The whole name.
        base: What is left of it behind its beginning.
        beginning: How it begins.
        examples: Right names, for the message.

    Raises:
        ReActError: Nothing is left, or it begins so once more.
    """
    if not base or base == beginning:
        raise ReActError(f"Strategy {name!r} names nothing to choose with; write e.g. {examples}.")
    if base.startswith(beginning):
        raise ReActError(f"Strategy {name!r} says {beginning!r} twice; once is all it takes: write {base!r}.")
    return base
