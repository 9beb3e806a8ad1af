"""A file in which some texts have a label and the others wait for one, as whoever labels has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.grouping import text_groups
from react_rl.data.inspection import alike_labels
from react_rl.data.labels import classes_of, is_missing, merged_labels
from react_rl.data.readers import missing_path
from react_rl.data.registry import task_at
from react_rl.data.row_origin import RowOrigin
from react_rl.data.stacked import ID_COLUMN, StackedTables
from react_rl.data.tables import read_table, stem_and_format
from react_rl.errors import ReActError
from react_rl.escaping import check_name

NO_LABEL: Final = -1
"""Class of a row that has no label."""

LABEL_COLUMN: Final = "label"
"""A column of this name holds the labels, unless another one is named."""

_HOLDS: Final = {"tagging": "tagged sentences", "question-answering": "questions about contexts"}


@dataclass(frozen=True, eq=False)
class PartlyLabelled:
    """The rows of one file, labelled or not. A row is named by its position in the arrays.

    Attributes:
        name: Name of the file without its ending.
        texts: N texts, none empty.
        labels: ``(N,)`` int64, an index into ``label_names``, ``NO_LABEL`` for rows without a label.
        label_names: The K classes that labelled rows have; none where no row is labelled.
        groups: ``(N,)`` int64, a number that rows share whose texts agree up to blanks and case.
        origin: File, row and id of each row; data rows count from 1.
        notes: What a reader of the file should know, one sentence each.
    """

    name: str
    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    label_names: tuple[str, ...]
    groups: npt.NDArray[np.int64]
    origin: RowOrigin
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Labelled rows of each class ``(K,)``."""
        known = self.labels[self.labels != NO_LABEL]
        return np.bincount(known, minlength=len(self.label_names)).astype(np.int64)

    @property
    def waiting(self) -> int:
        """Number of rows without a label."""
        return int((self.labels == NO_LABEL).sum())

    @property
    def candidates(self) -> npt.NDArray[np.int64]:
        """Rows that are worth a label, ascending: of rows with one text the first, unless one is labelled."""
        labelled = self.groups[self.labels != NO_LABEL]
        waiting = np.flatnonzero((self.labels == NO_LABEL) & ~np.isin(self.groups, labelled))
        first = np.unique(self.groups[waiting], return_index=True)[1]
        return np.sort(waiting[first]).astype(np.int64)


def read_partly_labelled(
    path: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    id: str | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
) -> PartlyLabelled:
    """Read texts and the labels that there are so far.

    An empty cell, null, a missing key, ``nan`` or ``<NA>`` is no label.

    Args:
        path: A CSV, TSV, JSON-lines, JSON or Parquet file (all but Parquet also gzipped).
        text: Column of the texts.
        label: Column of the labels: strings, whole numbers or bools; None takes a column called ``label``,
            and no row has a label where there is none.
        id: Column of the rows' ids; None takes a column called ``id`` where there is one.
        encoding: Encoding of text files.
        separator: What separates the columns of CSV and TSV files; None finds it out.

    Raises:
        ReActError: The file holds something else than texts and classes, or a column, a text or a label is
            missing or wrong.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ReActError(f"{str(path)!r} is a folder; name the one file whose rows are to be labelled.")
    if not path.is_file():
        raise missing_path(path)
    task = task_at(path)
    if task != "classification":
        raise ReActError(
            f"{path.name} holds {_HOLDS[task]}; rows to label are suggested for text classification alone."
        )
    wanted = {text, label or LABEL_COLUMN, id or ID_COLUMN}
    table = read_table(path, wanted=wanted, encoding=encoding, separator=separator)
    tables = StackedTables([(None, table)])
    ids = tables.ids(id, {"text": text, "label": label or LABEL_COLUMN})
    texts = tables.texts(text)
    notes = []
    if label is None and LABEL_COLUMN not in table.names:
        values = [None] * table.n_rows
        notes.append(
            f"no column is called {LABEL_COLUMN!r}, so no row has a label; if there are labels, name their "
            f"column ({', '.join(table.names)})"
        )
    else:
        values = tables.column(label or LABEL_COLUMN, "label")
    known = np.flatnonzero([not is_missing(value) for value in values])
    given = [values[row] for row in known.tolist()]
    classes, names = classes_of(given, lambda row: tables.place(int(known[row])))
    for name in names:
        check_name(name, f"{path.name}: the label")
    labels = np.full(len(texts), NO_LABEL, np.int64)
    labels[known] = classes
    groups = text_groups(texts)
    notes += [*merged_labels(given), *alike_labels(names), *_contradictions(groups[known], classes)]
    return PartlyLabelled(
        stem_and_format(path)[0], tuple(texts), labels, names, groups, tables.origin(ids), tuple(notes)
    )


def _contradictions(groups: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> list[str]:
    """Say how many texts have several labels, by group and class of labelled rows ``(L,)``."""
    pairs = np.unique(np.stack([groups, classes], 1), axis=0)[:, 0]
    count = int((np.unique(pairs, return_counts=True)[1] > 1).sum())
    return [f"{count} {'text has' if count == 1 else 'texts have'} two labels or more"] if count else []
