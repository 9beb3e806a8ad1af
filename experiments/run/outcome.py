"""What became of a comparison that has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from react_rl.errors import ReActError
from react_rl.experiments.run.results import ResultFolder, RunId


@dataclass(frozen=True)
class Outcome:
    """What became of a comparison.

    Args:
        folder: Where the results are.
        runs: All runs of the plan.
        played: Runs played now.
        kept: Runs that were finished before.
        failures: Failed runs with their reasons.
        kept_of: Runs kept from before, by strategy.
        bought: The file that lists every bought row; None where there are too many for it.
    """

    folder: ResultFolder
    runs: list[RunId]
    played: int
    kept: int
    failures: list[dict[str, str]]
    kept_of: dict[str, int]
    bought: Path | None = None

    def __repr__(self) -> str:
        """One line: the folder, and how many runs were played, kept and failed."""
        counts = f"{self.played} played, {self.kept} kept, {len(self.failures)} failed"
        return f"Outcome({str(self.folder.folder)!r}, {counts})"

    def check(self) -> None:
        """Raise what failed.

        Raises:
            ReActError: Runs failed; the first reason is given.
        """
        if self.failures:
            raise ReActError(
                f"{len(self.failures)} of {len(self.runs)} runs failed: {self.failures[0]['reason']}"
            )
