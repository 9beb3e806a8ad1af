"""What cannot be written is one sentence; what was finished is kept, and the next start goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments import run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run.workers import Workers
from react_rl.files import WriteError, remove_abandoned, write_atomically, written_atomically

resource = pytest.importorskip("resource", reason="limits of a process are those of Unix")

Build = Callable[..., Any]
RunFiles = Callable[[Path], dict[str, bytes]]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes; Python ignores the signal that goes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def test_a_file_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    write_atomically(path, "before")
    with largest_file(10), pytest.raises(WriteError) as caught:
        write_atomically(path, "x" * 11)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "before"
    assert not parts(tmp_path)


def test_what_safetensors_cannot_write_is_the_same_error(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    with (
        largest_file(100),
        pytest.raises(WriteError, match="File too large"),
        written_atomically(tmp_path / "weights.safetensors") as part,
    ):
        save_file({"weights": torch.zeros(1000)}, part)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(WriteError) as caught:
        write_atomically(tmp_path / "taken" / "file", "")
    assert caught.value.filename == str(tmp_path / "taken")


def test_files_have_the_mode_that_the_umask_leaves_or_that_they_had(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    (tmp_path / "file").chmod(0o604)
    write_atomically(tmp_path / "file", "again")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o604


def test_shared_values_without_room_say_where_they_should_go() -> None:
    with largest_file(100), pytest.raises(WriteError, match="TMPDIR"):
        Workers(print, {"large": b"x" * 200}, 1)


@pytest.mark.usefixtures("made_corpora")
def test_a_comparison_whose_disk_fills_up_goes_on_when_there_is_room(
    config_file: Build,
    comparison: Build,
    tmp_path: Path,
    run_files: RunFiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, replace, renamed = str(config_file()), os.replace, []

    def full_at_the_fourth_run(source: Any, target: Any) -> None:
        if Path(target).parent.name == "runs":
            renamed.append(target)
            if len(renamed) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_at_the_fourth_run)
        assert main(["compare", config]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{renamed[-1]} cannot be written: No space left on device." in line
    assert "the same command goes on" in line
    assert len(run_files(Path("results/small"))) == 3
    assert not parts(tmp_path)
    assert main(["compare", config]) == 0
    assert "1 run played, 3 kept from before" in capsys.readouterr().out
    run_comparison(comparison(seeds=2), tmp_path / "alone")
    assert run_files(Path("results/small")) == run_files(tmp_path / "alone" / "small")


def test_what_killed_processes_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    old, new, other = (tmp_path / "runs" / name for name in (".a.json.x.part", ".b.json.y.part", "c.json"))
    old.parent.mkdir()
    for file in (old, new, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    remove_abandoned(tmp_path)
    assert {file.name for file in old.parent.iterdir()} == {new.name, other.name}


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("command", ["compare", "train", "plot", "report"])
def test_every_command_says_which_file_does_not_fit(
    config_file: Build, train_file: Build, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if command in ("compare", "train"):
        arguments = [command, str((config_file if command == "compare" else train_file)())]
    else:
        assert main(["compare", str(config_file())]) == 0
        arguments = [command, "results/small"]
    capsys.readouterr()
    with largest_file(300):
        assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert "cannot be written: File too large." in shown
    assert "results/small/" in shown
    assert "Traceback" not in shown
    assert not parts(Path("results"))
