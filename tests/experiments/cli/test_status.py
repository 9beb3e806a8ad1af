"""What goes wrong in any program is one sentence on standard error and an exit status."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from react_rl.errors import ReActError
from react_rl.experiments.cli.status import program
from react_rl.files import write_atomically


def raising(error: BaseException | None, arguments: Sequence[str] | None = None) -> int:
    @program("study")
    def main(arguments: Sequence[str] | None = None) -> int:
        if error is not None:
            raise error
        return len(arguments or ())

    return main(arguments)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (None, 0, ""),
        (ReActError("Give it a name."), 2, "study: Give it a name.\n"),
        (KeyboardInterrupt(), 130, "study: stopped. What was written is kept.\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "study: x: Permission denied; check"),
        (OSError("odd"), 2, "study: odd; check the path"),
    ],
)  # fmt: skip
def test_an_error_is_a_sentence(
    error: BaseException | None, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == status
    assert capsys.readouterr().err.startswith(sentence)


def test_a_programs_own_status_and_arguments_are_passed_on() -> None:
    assert raising(None, ["a", "b", "c"]) == 3


def test_what_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()

    @program("study")
    def main(arguments: Sequence[str] | None = None) -> int:
        write_atomically(tmp_path / "taken" / "table.md", "")
        return 0

    assert main() == 2
    assert capsys.readouterr().err.startswith(f"study: {tmp_path / 'taken'} cannot be written: ")


def test_a_reader_that_went_away_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    @program("study")
    def main(arguments: Sequence[str] | None = None) -> int:
        print("table")
        return 0

    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert main() == 0
