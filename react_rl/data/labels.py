"""Labels as they are in a file, turned into class indices and label names."""

from __future__ import annotations

import math
import numbers
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError

_MISSING_WORDS: Final = frozenset(("", "nan", "<na>", "null"))


def is_missing(value: Any) -> bool:
    """Return whether ``value`` stands for nothing: None, NaN, a blank string, or nan, null, <NA> in words."""
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip().casefold() in _MISSING_WORDS
    return isinstance(value, numbers.Real) and math.isnan(value)


def classes_of(
    values: Sequence[Any], place: Callable[[int], str], names: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Number the classes of a label column.

    Args:
        values: N labels: strings, integers, bools or whole numbers held as floats, none missing. Strings lose
            their outer blanks.
        place: Tells where a row is, for messages.
        names: Label names in their order, if it is known. Otherwise the names are sorted, as numbers if all
            of them are numbers.

    Returns:
        (N,) class indices, and the label names.

    Raises:
        ReActError: If a label is a list, an object, or none of ``names``.
    """
    words = [_word(value, row, place) for row, value in enumerate(values)]
    order = sorted(set(words), key=_sort_key(set(words))) if names is None else list(names)
    index = {name: number for number, name in enumerate(order)}
    for row, word in enumerate(words):
        if word not in index:
            raise ReActError(f"The label {word!r} of {place(row)} is none of the known: {', '.join(order)}.")
    return np.asarray([index[word] for word in words], dtype=np.int64), tuple(order)


def merged_labels(values: Sequence[Any]) -> list[str]:
    """Say which values of a label column are read as one class though they are written differently.

    Args:
        values: N labels that ``classes_of`` takes.

    Returns:
        One sentence for each class: of 1 and "1", of "A " and "A".
    """
    written: dict[str, dict[str, None]] = defaultdict(dict)
    for value in values:
        written[_word(value, 0, str)][repr(value)] = None
    return [
        f"the labels {', '.join(forms)} are read as one class, {word!r}"
        for word, forms in written.items()
        if len(forms) > 1
    ]


def _word(value: Any, row: int, place: Callable[[int], str]) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        # Parquet and JSON hold whole numbers as floats when a neighbour was missing.
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, list | tuple):
        raise ReActError(
            f"The label of {place(row)} is a list; several labels for one text are not supported,"
            " give each row one class."
        )
    raise ReActError(
        f"The label of {place(row)} is a {type(value).__name__};"
        " a class must be a string, a whole number or a bool."
    )


def _sort_key(words: set[str]) -> Callable[[str], tuple[float, str]]:
    try:
        numeric = {word: float(word) for word in words}
    except ValueError:
        return lambda word: (0.0, word)
    return lambda word: (numeric[word], word)
