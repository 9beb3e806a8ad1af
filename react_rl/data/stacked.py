"""Several tables seen as one, which still knows the file and the row that each row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import SPLITS, UNUSED
from react_rl.data.labels import is_missing
from react_rl.data.row_origin import RowOrigin
from react_rl.data.splits import is_split, split_code
from react_rl.data.tables import Table
from react_rl.errors import ReActError

ID_COLUMN: Final = "id"
"""A column of this name holds the rows' ids, unless another one is named."""


class StackedTables:
    """Several tables, one below the other.

    Args:
        parts: Split code (None when it is not given) and table of each file.
    """

    def __init__(self, parts: Sequence[tuple[int | None, Table]]) -> None:
        self._parts = parts
        self.where = ", ".join(table.where for _, table in parts)
        self._origin = RowOrigin.of_files([(table.where, range(1, table.n_rows + 1)) for _, table in parts])

    def place(self, row: int) -> str:
        """Say where ``row`` is: ``row 3 of train.csv``, counting data rows from 1."""
        return self._origin.place(row)

    def origin(self, ids: Sequence[str] | None) -> RowOrigin:
        """File and row of every row, with the ids of the rows if there are any."""
        return self._origin.with_ids(ids)

    def column(self, name: str, role: str) -> list[Any]:
        """Return the values of a column in all tables.

        Raises:
            ReActError: A table has no such column.
        """
        return [value for _, table in self._parts for value in table.column(name, role)]

    def texts(self, column: str) -> list[str]:
        """Return the texts of all tables.

        Raises:
            ReActError: There is no such column, or a text is empty or no string; of columns of another
                task it is said how they are read.
        """
        first = self._parts[0][1]
        if column not in first.names:
            _refuse_other_task(first)
        values = self.column(column, "text")
        refuse_missing(
            self, "text", column, [not isinstance(value, str) and is_missing(value) for value in values]
        )
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise ReActError(
                    f"The text of {self.place(row)} in column {column!r} is a {type(value).__name__}, no "
                    "string."
                )
        refuse_missing(self, "text", column, [not value.strip() for value in values])
        return values

    def ids(self, column: str | None, taken: Mapping[str, str]) -> list[str] | None:
        """Return the ids of the rows as texts; None where no column holds ids.

        A missing id is an empty text. An id column is for nothing else.

        Args:
            column: Column of the ids; None takes ``ID_COLUMN`` where a table has it.
            taken: Columns that are named for something else, by their roles.

        Raises:
            ReActError: There is no such column, or it is also named as the text or the label.
        """
        name = ID_COLUMN if column is None else column
        if column is None and not any(name in table.columns for _, table in self._parts):
            return None
        for role, other in taken.items():
            if other == name:
                kind = role.removesuffix("s")
                raise ReActError(
                    f"The column {name!r} of {self.where} holds the ids of the rows and is not taken for the"
                    f" {kind}; name the column of the {kind}s with {role}=..., or that of the ids with id=..."
                )
        if column is not None:
            values = self.column(name, "id")
        else:
            values = [
                value for _, table in self._parts for value in table.columns.get(name, [None] * table.n_rows)
            ]
        return ["" if value is None else str(value) for value in values]

    def numbers(self, name: str, role: str) -> npt.NDArray[np.float64]:
        """Read a column of numbers; a missing one becomes NaN.

        Raises:
            ReActError: There is no such column, or a value is no number.
        """
        values = self.column(name, role)
        numbers = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            if not is_missing(value):
                try:
                    numbers[row] = float(value)
                except (TypeError, ValueError, OverflowError):
                    raise ReActError(
                        f"The {role} of {self.place(row)} is {value!r}, which is no number."
                    ) from None
        return numbers

    def split(self, column: str | None) -> npt.NDArray[np.uint8] | None:
        """Return the split codes that the tables or a column give, or None.

        Raises:
            ReActError: There is no such column, or a value names no split.
        """
        if column is not None:
            values = self.column(column, "splits")
            refuse_missing(self, "split", column, [is_missing(value) for value in values])
            codes = []
            for row, value in enumerate(values):
                if not is_split(str(value)):
                    raise ReActError(
                        f"The split of {self.place(row)} is {value!r}; it must be one of {', '.join(SPLITS)}."
                    )
                codes.append(split_code(str(value)))
            return np.asarray(codes, dtype=np.uint8)
        if any(code is None for code, _ in self._parts):
            return None
        return np.concatenate(
            [np.full(table.n_rows, UNUSED if code is None else code, np.uint8) for code, table in self._parts]
        )


def refuse_missing(tables: StackedTables, role: str, column: str, missing: Sequence[bool]) -> None:
    """Refuse a column in which values are missing.

    Args:
        tables: Where it is from.
        role: text, label or split.
        column: Its name.
        missing: ``(N,)`` whether the value of a row is missing.

    Raises:
        ReActError: One is; the first is named.
    """
    count = sum(missing)
    if count:
        word, also = "an empty", ""
        if role != "text":
            word, also = "no", " (nan, null and <NA> count as none; give a class of such a name another)"
        if role == "label":
            also += "; `react-rl suggest` says which rows to label next"
        raise ReActError(
            f"{count} of {len(missing)} rows have {word} {role} in column {column!r},"
            f" first {tables.place(missing.index(True))}; fill or remove them{also}."
        )


def _refuse_other_task(table: Table) -> None:
    """Refuse a table without texts whose columns are those of questions or of tagged sentences.

    Raises:
        ReActError: They are.
    """
    names = set(table.names)
    for known, what, task, column in (
        ({"question", "context"}, "questions and contexts", "question-answering", "answers"),
        ({"tokens"}, "tokens", "tagging", "tags"),
    ):
        if known <= names:
            lacks = "" if column in names else f" and no column {column!r}"
            also = "" if column in names else f" and the column of the {column}, {column}=..."
            raise ReActError(
                f"{table.where} has {what}{lacks}; for {task.replace('-', ' ')} give task={task}{also}; "
                "for classification the column of the texts, text=..."
            )
