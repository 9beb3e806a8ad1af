"""The command of a study: its arguments, one thread, a sentence for bad input, and tables that go on.

A study says what it measures; how it is called, what it prints, and where it goes on after it was stopped is
here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text, read_csv
from react_rl.experiments.cli.status import program
from react_rl.experiments.run.episodes import one_thread
from react_rl.files import write_atomically


def study_parser(
    about: str | None, name: str, out: str, seeds: int | None = None, data: bool = False
) -> argparse.ArgumentParser:
    """A parser with ``--out`` and, where a study needs them, ``--seeds`` and ``--data``; it adds its own.

    Args:
        about: Docstring of the study; its first paragraph is what ``--help`` says.
        name: Name of the study.
        out: Folder that is written where the user names none.
        seeds: Paired episodes where the user says nothing; None for a study that plays none.
        data: Whether it reads a folder of corpora.
    """
    parser = argparse.ArgumentParser(prog=name, description=(about or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path(out), help="folder to write")
    if seeds is not None:
        parser.add_argument("--seeds", type=int, default=seeds, help="paired episodes")
    if data:
        parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora")
    return parser


def run_study(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    study: Callable[[argparse.Namespace], str],
) -> int:
    """Parse, run the study on one thread, and print what it returns.

    Args:
        parser: The arguments, see ``study_parser``.
        arguments: What was asked for; None takes it from the command line.
        study: Measures and writes.

    Returns:
        The exit status, see ``program``.
    """

    @program(parser.prog)
    def main(arguments: Sequence[str] | None = None) -> int:
        asked = parser.parse_args(arguments)
        seeds = getattr(asked, "seeds", None)
        if seeds is not None and seeds < 2:
            raise ReActError(f"--seeds {seeds} gives no interval; give at least 2.")
        with one_thread():
            text = study(asked)
        print(text)
        return 0

    return main(arguments)


def say(line: str) -> None:
    """Tell at once, beside the results, how far a study is."""
    print(line, file=sys.stderr, flush=True)


class GrowingTable:
    """A table on disk that grows part by part; a study that was stopped measures only what is missing.

    Args:
        path: The CSV file; what it holds already is read.
        key: Columns that name a line, ``seed`` among them or not.
        digits: Digits after the point that are written.
    """

    def __init__(self, path: Path, key: Sequence[str], digits: int = 6) -> None:
        self._path, self._key, self._digits = path, list(key), digits
        self.frame = pd.DataFrame(columns=self._key)
        if path.is_file():
            numbers = [column for column in key if column == "seed"]
            names = [column for column in key if column != "seed"]
            self.frame = read_csv(path, names, numbers, "remove it, and what it holds is measured again")

    def holds(self, seeds: int | None = None, **of: object) -> bool:
        """Whether there are lines with these values, and one for each of so many seeds."""
        found = self.frame
        for column, value in of.items():
            found = found[found[column] == value]
        return bool(len(found)) if seeds is None else set(range(seeds)) <= set(found["seed"])

    def add(self, part: pd.DataFrame) -> None:
        """Add lines, in place of those with the same key, and write the file. Mutates."""
        frame = pd.concat([self.frame, part], ignore_index=True) if len(self.frame) else part
        self.frame = frame.drop_duplicates(self._key, keep="last").reset_index(drop=True)
        write_atomically(self._path, csv_text(self.frame.round(self._digits)))
