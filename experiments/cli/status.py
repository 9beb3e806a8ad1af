"""Exit statuses of programs: a mistake, a full disk or an interruption becomes one sentence, no traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Protocol

from react_rl.errors import ReActError
from react_rl.experiments.cli.output import outlets, unwritable
from react_rl.files import WriteError


class Main(Protocol):
    """The main function of a program: arguments, or None for those of the process, to an exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the program."""
        ...


def status_of(program: str, run: Callable[[], int], verbose: bool = False, stopped: str = "") -> int:
    """Run a program; what goes wrong is told on standard error.

    Args:
        program: Its name, the beginning of each sentence.
        run: Runs it and returns its exit status.
        verbose: Whether the traceback of a mistake is shown, too.
        stopped: What to say of an interruption.

    Returns:
        The exit status: 2 for a mistake in the input, or what cannot be read or written; 130 after an
        interruption.
    """
    try:
        return run()
    except ReActError as error:
        if verbose:
            traceback.print_exc()
        said, status = str(error), 2
    except KeyboardInterrupt:
        said, status = f"stopped. {stopped or 'What was written is kept.'}", 130
    except WriteError as error:
        said, status = (
            f"{error.filename} cannot be written: {error.strerror}. What is finished is kept; once there is "
            "room and permission, the same command goes on.",
            2,
        )
    except OSError as error:
        what = "" if error.filename is None else f"{error.filename}: "
        said, status = f"{what}{error.strerror or error}; check the path, the permissions and the disk.", 2
    print(f"{program}: {said}", file=sys.stderr)
    return status


def with_outlets(program: str, run: Callable[[], int]) -> int:
    """Run a program whose standard output may be closed, full, without a reader, or not UTF-8.

    Returns:
        Its exit status; 2 where something was lost on its way to standard output.
    """
    with outlets() as out:
        status = run()
        out.flush()
        lost = unwritable(out)
        if lost is not None:
            print(f"{program}: standard output cannot be written: {lost}.", file=sys.stderr)
            return status or 2
        return status


def program(name: str) -> Callable[[Callable[[Sequence[str] | None], int]], Main]:
    """A decorator for the main function of a program: what goes wrong is one sentence and an exit status.

    Args:
        name: Name of the program.
    """

    def decorated(main: Callable[[Sequence[str] | None], int]) -> Main:
        @wraps(main)
        def guarded(arguments: Sequence[str] | None = None) -> int:
            return with_outlets(name, lambda: status_of(name, lambda: main(arguments)))

        return guarded

    return decorated
