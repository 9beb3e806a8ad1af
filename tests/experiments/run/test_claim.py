"""One command at a time works in the folder of a study; a killed one keeps nobody out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.errors import ReActError
from react_rl.experiments.cli import main
from react_rl.experiments.run.claim import LOCK, claimed
from react_rl.files import WriteError

pytest.importorskip("fcntl", reason="locks are those of Unix")

HOLDS = """
import sys, time
from pathlib import Path
from react_rl.experiments.run.claim import claimed
with claimed(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_a_second_command_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "study"
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with (
            pytest.raises(ReActError, match=rf"study is in use: another command \(process {other.pid}\)"),
            claimed(folder),
        ):
            pass
        other.kill()
    assert (folder / LOCK).exists(), "a killed process cannot remove it"
    with claimed(folder):
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()


def test_folders_that_were_made_for_nothing_are_removed(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match="a mistake"), claimed(tmp_path / "results" / "study"):
        raise ReActError("a mistake")
    assert not list(tmp_path.iterdir())
    with claimed(tmp_path / "results" / "study"):
        (tmp_path / "results" / "study" / "run.json").touch()
    assert [file.name for file in (tmp_path / "results" / "study").iterdir()] == ["run.json"]


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(WriteError) as caught, claimed(tmp_path):
        pass
    assert caught.value.filename == str(tmp_path / LOCK)


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("command", ["compare", "train", "imitate", "adjust", "tune"])
def test_every_command_that_plays_says_that_its_folder_is_in_use(
    command: str,
    config_file: Callable[..., Path],
    train_file: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, given = "busy", str(config_file(name="busy"))
    if command == "train":
        given = str(train_file(name=name))
    if command in ("imitate", "adjust"):
        plain: dict[str, Any] = {"imitate": "imitated", "adjust": "learned"}
        given = plain[command]
    if command == "tune":
        pytest.importorskip("optuna")
        path = tmp_path / "tune.yaml"
        path.write_text(
            f"name: busy\ntraining: {train_file(name='inner')}\nsearch: {{agent.gamma: [0.9, 0.99]}}\n",
            encoding="utf-8",
        )
        given = str(path)
    with claimed(tmp_path / "results" / name):
        extra = ["--name", name] if command in ("imitate", "adjust") else []
        assert main([command, given, *extra, "--results", str(tmp_path / "results")]) == 2
    assert "busy is in use: another command (process" in capsys.readouterr().err
