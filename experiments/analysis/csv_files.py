"""Frames as CSV files that a spreadsheet can open: what reads like a formula is quoted."""

from __future__ import annotations

import pandas as pd
from pandas.api.types import is_numeric_dtype

from react_rl.escaping import csv_row, for_csv


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
