"""Names and labels as each medium may show them: what no name may hold, and what must be escaped where.

Corpora, classes, strategies and files are named by people and by strangers' files. A letter that would move a
terminal's cursor or break a line is refused when the name comes in; a letter that only one medium takes for
markup is escaped where that medium is written. HTML is escaped by ``html.escape``; figures read no formulas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from react_rl.errors import ReActError

LONGEST: Final = 200
"""Most letters of a name."""

_REFUSED: Final = {
    "Cc": "a control character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
"""Unicode categories that no name may hold."""
_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Turn the direction of what is written after them, in whichever table that is."""

_FORMULA: Final = ("=", "+", "-", "@")

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_MARKDOWN: Final = frozenset("\\`*_[]<>|~$&")


def check_name(name: str, what: str) -> str:
    """Return ``name`` if every medium can show it.

    Args:
        name: A name from a config, a file or a column.
        what: What it names, as the beginning of the message: "The label name", "Corpus".

    Raises:
        ReActError: It is blank, longer than ``LONGEST``, or holds a character that breaks lines or steers a
            terminal.
    """
    if not name.strip():
        raise ReActError(f"{what} {name!r} is empty; give it a name that can be read.")
    if len(name) > LONGEST:
        raise ReActError(
            f"{what} {name[:40]!r}... has {len(name)} characters; a name may have {LONGEST} at most."
        )
    for place, letter in enumerate(name, start=1):
        kind = _REFUSED.get(unicodedata.category(letter))
        if kind is None and letter in _DIRECTIONS:
            kind = "a change of writing direction"
        if kind is not None:
            raise ReActError(
                f"{what} {name!r} holds {kind} (U+{ord(letter):04X}) at character {place}; remove it."
            )
    return name


def for_terminal(text: str) -> str:
    """Make control characters visible, so that a text from a file cannot steer the terminal."""
    return "".join(
        letter if letter == "\n" or unicodedata.category(letter) not in _REFUSED else repr(letter)[1:-1]
        for letter in text
    )


def for_csv(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula; ``csv`` quotes the rest."""
    return f"'{cell}" if _is_formula(cell) else cell


def csv_row(cells: Iterable[Any]) -> list[Any]:
    """The cells of a line of a CSV file: texts as ``for_csv`` leaves them, numbers as they are."""
    return [for_csv(cell) if isinstance(cell, str) else cell for cell in cells]


def from_csv(cell: str) -> str:
    """Take back what ``for_csv`` put before a formula."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell[1:]) else cell


def _is_formula(cell: str) -> bool:
    # Apostrophes that were there before count too, so that what was put before them can be taken back.
    return cell.lstrip("' \t\r\n").startswith(_FORMULA)


def for_markdown(text: str) -> str:
    """Escape what Markdown takes for markup, in one line without control characters that fits a cell."""
    one_line = for_terminal(" ".join(text.split()))
    return "".join(f"\\{letter}" if letter in _MARKDOWN else letter for letter in one_line)


def for_latex(text: str) -> str:
    """Escape what LaTeX takes for a command."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
