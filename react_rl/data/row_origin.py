"""Where the rows of a corpus are in the files that it was read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError


@dataclass(frozen=True, eq=False)
class RowOrigin:
    """File, row in it and id of each of N rows, as their owner counts and calls them.

    Attributes:
        files: Names of the files (for the hub, of the parts of the dataset).
        file: (N,) int64, an index into ``files``.
        row: (N,) int64, the row in its file: data rows count from 1; of column files the line where the
            sentence begins.
        ids: N ids from the files' id column, an empty text where a row has none; None without such a column.
    """

    files: tuple[str, ...]
    file: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    ids: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        """One line: how many rows, and the files."""
        ids = "" if self.ids is None else ", with ids"
        return f"RowOrigin({len(self)} rows of {', '.join(self.files)}{ids})"

    def __len__(self) -> int:
        """Number of rows N."""
        return int(self.row.size)

    @classmethod
    def of_files(cls, parts: Sequence[tuple[str, Iterable[int]]]) -> RowOrigin:
        """The rows of several files, one below the other.

        Args:
            parts: Name of each file, and its rows.
        """
        rows = [np.fromiter(own, np.int64) for _, own in parts]
        file = np.repeat(np.arange(len(parts)), [own.size for own in rows])
        return cls(tuple(name for name, _ in parts), file, np.concatenate([np.zeros(0, np.int64), *rows]))

    def with_ids(self, ids: Sequence[str] | None) -> RowOrigin:
        """The same rows with ids.

        Raises:
            ReActError: An id is no valid Unicode.
        """
        for row, word in enumerate(ids or ()):
            try:
                word.encode()
            except UnicodeEncodeError:
                raise ReActError(
                    f"The id {word!r} of {self.place(row)} holds half of a surrogate pair, which is no valid"
                    " Unicode."
                ) from None
        return replace(self, ids=None if ids is None else tuple(ids))

    def take(self, rows: npt.NDArray[np.int64]) -> RowOrigin:
        """The origin of some of the rows, in the order of ``rows``."""
        ids = None if self.ids is None else tuple(self.ids[row] for row in rows.tolist())
        return RowOrigin(self.files, self.file[rows], self.row[rows], ids)

    def place(self, row: int) -> str:
        """Say where row id ``row`` is: ``row 3 of train.csv``."""
        return f"row {self.row[row]} of {self.files[self.file[row]]}"
