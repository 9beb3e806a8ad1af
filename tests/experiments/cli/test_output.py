"""A standard output that is closed, full, without a reader or not UTF-8 costs no result."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import react_rl
from react_rl.experiments.cli import main
from react_rl.experiments.cli.output import outlets
from react_rl.pulse import pulse

Build = Callable[..., Path]
WRITTEN = ("summary.csv", "curves.csv", "learning_curves.png")


def assert_written() -> None:
    assert all(Path("results/small", name).is_file() for name in WRITTEN)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.usefixtures("made_corpora")
def test_a_full_standard_output_is_told_after_everything_was_written(
    config_file: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(config_file())
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["compare", config]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "react-rl: standard output cannot be written: No space left on device."
    )
    assert_written()


@pytest.mark.usefixtures("made_corpora")
def test_a_reader_that_goes_away_leaves_the_files(
    config_file: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file())
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["compare", config]) == 0
    assert_written()


@pytest.mark.usefixtures("made_corpora")
def test_letters_that_a_terminal_lacks_become_question_marks(
    config_file: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(corpora=[{"corpus": "synthetic", "name": "Müller"}]))
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["compare", config]) == 0
    assert b"M?ller: test accuracy" in shown.getvalue()
    assert_written()


@pytest.mark.slow
def test_closed_streams_are_no_error_and_no_file_takes_their_place(tmp_path: Path) -> None:
    start = "import os, sys; from react_rl.experiments.cli import main"
    program = f"{start}; sys.exit(main(['list', 'configs']))"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'"{sys.executable}" -c "{program}" <&- >&-',
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_work_that_lasts_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "react_rl")
    with pulse("react_rl.tests", "begun", every=0.02) as say:
        until = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < until:
            time.sleep(0.005)
        say("half done")
        while caplog.messages[-1] != "half done" and time.monotonic() < until:
            time.sleep(0.005)
    assert caplog.messages[0] == "begun"
    assert caplog.messages[-1] == "half done"
    count = len(caplog.messages)
    time.sleep(0.06)
    assert len(caplog.messages) == count, "nothing is said afterwards"


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("command", ["compare", "train"])
def test_the_commands_log_to_standard_error_where_it_is_no_terminal(
    config_file: Build,
    train_file: Build,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("react_rl.pulse.EVERY", 0.001)
    config: dict[str, Any] = {"compare": config_file, "train": train_file}
    assert main([command, str(config[command]())]) == 0
    shown = capsys.readouterr().err
    assert {"compare": "of 4 runs are finished", "train": "of 8 episodes, validation area"}[command] in shown
    assert not logging.getLogger("react_rl").handlers, "left as it was found"


def test_a_warning_is_a_sentence_without_its_place_in_the_code(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    with outlets():
        warnings.showwarning(UserWarning("Questions were cut."), UserWarning, react_rl.__file__, 3)
        warnings.showwarning(UserWarning("Of others."), UserWarning, "/elsewhere/code.py", 3)
    assert capsys.readouterr().err == "Warning: Questions were cut.\n"
    assert [str(one.message) for one in recwarn] == ["Of others."]
