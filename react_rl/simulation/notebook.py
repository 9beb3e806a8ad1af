"""What strategies remember of one episode: pages that begin empty and end with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


class Notebook:
    """Pages of one episode, each for one strategy to read and write.

    Pages hold what JSON can hold, so an episode that was stopped goes on with what was written.
    """

    def __init__(self) -> None:
        self._pages: dict[str, dict[str, Any]] = {}

    def page(self, title: str) -> dict[str, Any]:
        """The page of that title, empty until something is written on it.

        Args:
            title: Says who writes, and under which settings.
        """
        return self._pages.setdefault(title, {})

    def state(self) -> dict[str, dict[str, Any]]:
        """All pages that something was written on, by title."""
        return {title: dict(page) for title, page in self._pages.items() if page}

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Put the pages of ``state`` in place of these. Mutates."""
        self._pages = {title: dict(page) for title, page in state.items()}


def recalled(
    entry: Mapping[str, Any], name: str, row_ids: npt.NDArray[np.int64], missing: float
) -> npt.NDArray[Any]:
    """What an entry of a page says of rows ``(P,)``.

    Args:
        entry: Its ``ids`` are rows, ascending.
        name: The key of the values beside them.
        row_ids: Rows that are asked for ``(P,)``.
        missing: Stands for rows of which it says nothing.
    """
    ids = np.array(entry["ids"], np.int64)
    if not ids.size:
        return np.full(row_ids.shape, missing)
    place = np.searchsorted(ids, row_ids).clip(max=ids.size - 1)
    return np.where(ids[place] == row_ids, np.array(entry[name])[place], missing)
