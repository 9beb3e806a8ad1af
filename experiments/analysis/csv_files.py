"""Frames as CSV files that a spreadsheet can open: what reads like a formula is quoted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from react_rl.documents import read_text
from react_rl.errors import ReActError, first_line
from react_rl.escaping import csv_row, for_csv, from_csv


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as a CSV file, without its index.

    Args:
        frame: Any frame; texts in cells and headings are escaped by ``for_csv``.
    """
    texts = [column for column in frame if not is_numeric_dtype(frame[column])]
    safe = frame.copy()
    for column in texts:
        safe[column] = csv_row(frame[column])
    safe.columns = [for_csv(str(column)) for column in frame.columns]
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def read_csv(path: Path, names: Sequence[str], numbers: Sequence[str], advice: str) -> pd.DataFrame:
    """Read a table that ``csv_text`` wrote.

    Args:
        path: The file.
        names: Columns of names, which are texts also where they look like numbers: a corpus may be called
            2024 or NA.
        numbers: Columns of finite numbers; further columns may be anything.
        advice: What to do when it is damaged, the end of the sentence.

    Raises:
        ReActError: It cannot be read, or a column is missing or holds something else.
    """
    text = read_text(path, str(path), advice)
    try:
        table = pd.read_csv(
            io.StringIO(text), dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=[""]
        )
        table.columns = [from_csv(str(column)) for column in table.columns]
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("a row has more cells than there are columns")
        for column in (*names, *numbers):
            if column not in table:
                raise ValueError(f"it has no column {column!r}")
        for column in names:
            if table[column].isna().any():
                raise ValueError(f"a cell of column {column!r} is empty")
            table[column] = table[column].map(from_csv)
        for column in numbers:
            table[column] = pd.to_numeric(table[column])
            if not np.isfinite(table[column].to_numpy(float)).all():
                raise ValueError(f"a value of column {column!r} is not finite")
    except (ValueError, TypeError, OverflowError) as error:
        raise ReActError(f"{path} is damaged ({first_line(error)}); {advice}.") from error
    return table
