"""What programs of a benchmark left in files, checked when tables are made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from react_rl.documents import parse_json, read_json, read_text
from react_rl.errors import ReActError

ADVICE: Final = "remove it and measure again"


def read_rows(
    path: Path, texts: Sequence[str] = (), numbers: Sequence[str] = (), lists: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows in a file; none where there is no file.

    Args:
        path: A JSON file with one row or a list of rows, or JSON lines (``.jsonl``).
        texts: Keys of texts.
        numbers: Keys of finite numbers.
        lists: Keys of lists of finite numbers, one at least.

    Raises:
        ReActError: It is damaged, or a row lacks a key or holds something else.
    """
    if not path.exists():
        return []
    if path.suffix != ".jsonl":
        found = read_json(path, ADVICE)
        return rows_of(found if isinstance(found, list) else [found], path, texts, numbers, lists)
    lines = read_text(path, str(path), ADVICE).splitlines()
    parsed = [parse_json(line, f"{path}, line {place}", ADVICE) for place, line in enumerate(lines, 1)]
    return rows_of(parsed, path, texts, numbers, lists)


def rows_of(
    found: Any,
    where: Path,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    lists: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Rows that were read, if they are as ``read_rows`` says; all have the keys of the first.

    Raises:
        ReActError: They are not.
    """
    if not isinstance(found, list):
        raise ReActError(f"{where} holds no list of rows; {ADVICE}.")
    for place, row in enumerate(found, 1):
        if not isinstance(row, dict) or row.keys() != found[0].keys():
            raise ReActError(f"Row {place} of {where} does not have the keys of the first; {ADVICE}.")
        for key in (*texts, *numbers, *lists):
            value = row.get(key)
            if key in texts:
                right = isinstance(value, str)
            elif key in numbers:
                right = _finite(value)
            else:
                right = isinstance(value, list) and bool(value) and all(map(_finite, value))
            if not right:
                raise ReActError(f"Row {place} of {where} has {value!r:.60} as {key}; {ADVICE}.")
    return found


def _finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floating numbers
        return False
