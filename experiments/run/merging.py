"""Labels that somebody wrote into a file of suggestions, put into the file that was asked about."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from react_rl.data.filling import fill_labels
from react_rl.data.grouping import normalised
from react_rl.data.labels import classes_of, is_missing
from react_rl.data.partly_labelled import LABEL_COLUMN, NO_LABEL, PartlyLabelled, read_partly_labelled
from react_rl.data.tables import read_table
from react_rl.errors import ReActError
from react_rl.escaping import check_name, from_csv

_COLUMNS: Final = ("row", "text", "label")
"""Columns of a file of suggestions that say which row got which label."""

_NOTHING: Final = "nothing was written"


@dataclass(frozen=True)
class MergedLabels:
    """What became of the labels in a file of suggestions.

    Args:
        written: Rows that got a label, by label, the most frequent first.
        there: Labels that the file had already.
        empty: Suggested rows that have no label yet.
        new: Of the labels in ``written``, those that no row had before.
        waiting: Rows of the file that have none now.
    """

    written: dict[str, int]
    there: int
    empty: int
    new: tuple[str, ...]
    waiting: int


def merge_labels(
    path: str | Path,
    suggestions: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
) -> MergedLabels:
    """Put the labels of a file of suggestions into the file that the suggestions were made for.

    All labels are written or none; no label that is there is changed. All else in the file stays as it is,
    see ``fill_labels``.

    Args:
        path: The file of texts, in any format that ``suggest_rows`` takes.
        suggestions: What ``write_suggestions`` wrote, with labels in its column ``label``; in UTF-8.
        text: Column of the texts of ``path``.
        label: Column of its labels; None takes ``label``, which is added where there is none.
        encoding: Encoding of ``path``.
        separator: What separates its columns; None finds it out.

    Raises:
        ReActError: A file cannot be read, a row has another text now or another label, or a label cannot be
            written.
        WriteError: ``path`` cannot be written.
    """
    path = Path(path).expanduser()
    data = read_partly_labelled(path, text=text, label=label, encoding=encoding, separator=separator)
    found = _given(data, Path(suggestions).expanduser())
    labels = _missing_in(data, found.labels)
    if labels:
        fill_labels(path, label or LABEL_COLUMN, labels, encoding=encoding, separator=separator)
    written = dict(Counter(labels.values()).most_common())
    new = tuple(name for name in written if name not in data.label_names)
    there = len(found.labels) - len(labels)
    return MergedLabels(written, there, found.empty, new, data.waiting - len(labels))


def check_replaceable(path: Path, data: PartlyLabelled) -> None:
    """Check that no label is lost if suggestions are written to ``path``.

    Raises:
        ReActError: A file is there that holds labels which ``data`` lacks, or something else.
    """
    if not path.exists() or not path.stat().st_size:
        return
    try:
        waiting = len(_missing_in(data, _given(data, path).labels))
    except ReActError as error:
        raise ReActError(
            f"{path} is there already and is kept, since it may hold labels that {data.origin.files[0]} "
            f"lacks; name another file, or remove it. ({error})"
        ) from None
    if waiting:
        what = "a label" if waiting == 1 else f"{waiting} labels"
        raise ReActError(
            f"{path} holds {what} that {data.origin.files[0]} lacks; put them there with --labels {path}, or "
            "name another file."
        )


@dataclass(frozen=True)
class _Given:
    """Labels in a file of suggestions, by position of their row, and how many rows have none."""

    labels: dict[int, str]
    empty: int


def _given(data: PartlyLabelled, path: Path) -> _Given:
    """Read the labels of a file of suggestions.

    Raises:
        ReActError: It holds something else, or suggestions for other rows than those of ``data``.
    """
    where, file = path.name, data.origin.files[0]
    table = read_table(path, wanted=_COLUMNS)
    for column in _COLUMNS:
        if column not in table.columns:
            raise ReActError(
                f"{where} has no column {column!r}; labels are read from the columns {', '.join(_COLUMNS)} "
                "of suggestions as they are written."
            )
    rows, texts, values = (table.columns[column] for column in _COLUMNS)
    lines = [line for line, value in enumerate(values) if not is_missing(value)]
    classes, names = classes_of([values[line] for line in lines], lambda i: f"row {lines[i] + 1} of {where}")
    labels: dict[int, str] = {}
    for line, number in zip(lines, classes.tolist(), strict=True):
        row, name = _position(rows[line], len(data.texts)), check_name(names[number], f"{where}: the label")
        if row is None:
            raise ReActError(
                f"Row {line + 1} of {where} has a label for row {rows[line]} of {file}, which has rows 1 to "
                f"{len(data.texts)}; {_NOTHING}."
            )
        text = str(texts[line])
        if normalised(data.texts[row]) not in (normalised(text), normalised(from_csv(text))):
            raise ReActError(
                f"Row {row + 1} of {file} has another text than {where} has for it, so its rows were moved "
                f"or it is another file; {_NOTHING}."
            )
        if labels.setdefault(row, name) != name:
            raise ReActError(
                f"{where} gives row {row + 1} of {file} two labels, {labels[row]!r} and {name!r}; keep one. "
                f"{_NOTHING.capitalize()}."
            )
    return _Given(labels, len(values) - len(lines))


def _position(value: Any, n_rows: int) -> int | None:
    """Position of the row that a cell names, counted from 1 and perhaps as a float; None where none is."""
    with suppress(TypeError, ValueError):
        number = float(value)
        if number.is_integer() and 1 <= number <= n_rows:
            return int(number) - 1
    return None


def _missing_in(data: PartlyLabelled, labels: dict[int, str]) -> dict[int, str]:
    """Those of the labels whose rows have none.

    Raises:
        ReActError: A row has another one.
    """
    for row, name in labels.items():
        has = data.labels[row]
        if has != NO_LABEL and data.label_names[has] != name:
            raise ReActError(
                f"Row {row + 1} of {data.origin.files[0]} has the label {data.label_names[has]!r} already, "
                f"and {name!r} was to be written; make the two agree. {_NOTHING.capitalize()}."
            )
    return {row: name for row, name in labels.items() if data.labels[row] == NO_LABEL}
