"""What strategies remember of one episode: pages that begin empty and end with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
