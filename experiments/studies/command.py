"""The command of a study: its arguments, one thread, and a sentence for bad input.

A study says what it measures; how it is called and what it prints is here, and how it goes on after it was
stopped in ``growing``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from react_rl.errors import ReActError
from react_rl.experiments.cli.status import program
from react_rl.experiments.run.episodes import one_thread


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
        parser.add_argument("--seeds", type=paired_seeds, default=seeds, help="paired episodes")
    if data:
        parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora")
    return parser


def paired_seeds(said: str) -> int:
    """A number of paired seeds on the command line.

    Raises:
        ReActError: It is below 2.
    """
    seeds = int(said)
    if seeds < 2:
        raise ReActError(f"A number of {seeds} paired seeds gives no interval; give at least 2.")
    return seeds


def paired_seeds_or_none(said: str) -> int:
    """A number of paired seeds, or 0 where that part of a study can be left out; errors are the same."""
    return 0 if said == "0" else paired_seeds(said)


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
        with one_thread():
            text = study(asked)
        print(text)
        return 0

    return main(arguments)


def say(line: str) -> None:
    """Tell at once, beside the results, how far a study is."""
    print(line, file=sys.stderr, flush=True)
