"""A comparison stopped at any moment loses no finished run, leaves no half file, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.experiments import CompareConfig, load_config, run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run import compare, episodes
from react_rl.experiments.run.claim import LOCK

Build = Callable[..., Any]
RunFiles = Callable[[Path], dict[str, bytes]]


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("blocks_before", [0, 1])
def test_ctrl_c_ends_with_130_and_keeps_finished_runs(
    config_file: Build,
    tmp_path: Path,
    run_files: RunFiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    blocks_before: int,
) -> None:
    config = str(config_file())
    played: list[bool] = []
    play = episodes.play

    def interrupted(*arguments: Any) -> Any:
        if len(played) == blocks_before:
            raise KeyboardInterrupt
        played.append(True)
        return play(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("react_rl.experiments.run.compare.play", interrupted)
        assert main(["compare", config]) == 130
    shown = capsys.readouterr()
    assert "stopped. What is finished is kept" in shown.err
    assert "Traceback" not in shown.err
    kept = run_files(Path("results/small"))
    assert len(kept) == 2 * blocks_before
    assert main(["compare", config]) == 0
    left = 4 - len(kept)
    assert f"{left} run{'s' * (left != 1)} played, {len(kept)} kept from before" in capsys.readouterr().out
    assert main(["compare", config, "--results", str(tmp_path / "alone")]) == 0
    assert run_files(Path("results/small")) == run_files(tmp_path / "alone" / "small")


@pytest.mark.usefixtures("made_corpora")
def test_a_stop_between_two_files_of_a_block_leaves_whole_files_only(
    comparison: Build, tmp_path: Path, run_files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    renamed = []

    def stop_at_the_fourth_run(source: Any, target: Any) -> None:
        if Path(target).parent.name == "runs":
            renamed.append(target)
            if len(renamed) == 4:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop_at_the_fourth_run)
        with pytest.raises(KeyboardInterrupt):
            run_comparison(comparison(), tmp_path / "stopped")
    left = run_files(tmp_path / "stopped" / "small")
    assert len(left) == 3
    assert all(json.loads(content)["key"] for content in left.values())
    assert not list(tmp_path.rglob("*.part"))
    outcome = run_comparison(comparison(), tmp_path / "stopped")
    assert (outcome.played, outcome.kept) == (3, 3)
    run_comparison(comparison(), tmp_path / "alone")
    assert run_files(tmp_path / "stopped" / "small") == run_files(tmp_path / "alone" / "small")


@pytest.mark.usefixtures("made_corpora")
def test_workers_have_ended_before_the_folder_is_given_up(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_all, locked = compare._play_all, []

    def played(*arguments: Any) -> Iterator[Any]:
        try:
            yield from play_all(*arguments)
        finally:
            locked.append((tmp_path / "small" / LOCK).exists())

    def interrupted(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr(compare, "_play_all", played)
    with pytest.raises(KeyboardInterrupt):
        run_comparison(comparison(), tmp_path, interrupted)
    assert locked == [True]


def start(config: Path, results: Path, jobs: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "react_rl", "compare", str(config)),
            *("--results", str(results), "--jobs", str(jobs)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite that a shell runs in the background has Ctrl-C ignored, and children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_runs(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    until = time.monotonic() + 100
    while len(list((folder / "runs").glob("*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no run file came"
        time.sleep(0.002)


WAITING = """
import time
from pathlib import Path
from react_rl.acquisition import Margin


class Waiting(Margin):
    def __init__(self):
        super().__init__("waiting")

    def select(self, view, n):
        while not Path({go!r}).exists():
            time.sleep(0.01)
        return super().select(view, n)
"""


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A file that the second strategy of ``waiting_comparison`` waits for."""
    return tmp_path / "go"


@pytest.fixture
def waiting_comparison(config_file: Callable[..., Path], reviews: Path, go: Path) -> Path:
    """Stands still in its middle until there is a file, however slow the machine is; encodes nothing."""
    vectors = reviews.with_name("vectors.npy")
    np.save(vectors, np.random.default_rng(0).normal(size=(150, 16)).astype(np.float32))
    reviews.with_name("waiting.py").write_text(WAITING.format(go=str(go)), encoding="utf-8")
    return config_file(
        corpora=[{"corpus": str(reviews), "embeddings": str(vectors)}],
        strategies=["random", "waiting:Waiting"],
        seeds=8,
        episode={"pool_size": 60, "dev_size": 20, "initial_size": 5, "budget": 20, "batch_size": 1},
    )


@pytest.mark.slow
def test_after_sigkill_the_same_command_gives_the_files_of_an_undisturbed_comparison(
    waiting_comparison: Path, go: Path, tmp_path: Path, run_files: RunFiles
) -> None:
    process = start(waiting_comparison, tmp_path / "killed", jobs=1)
    folder = tmp_path / "killed" / "small"
    try:
        wait_for_runs(process, folder, 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = run_files(folder)
    assert 3 <= len(left) <= 8, "killed in the middle"
    assert all(json.loads(content)["cost"][-1] == 20.0 for content in left.values())
    go.touch()
    for results in ("killed", "alone"):
        run_comparison(load_config(CompareConfig, str(waiting_comparison)), tmp_path / results)
    whole = run_files(tmp_path / "alone" / "small")
    assert len(whole) == 2 * 8
    assert run_files(folder) == whole
    assert left.items() <= whole.items()


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_the_workers_too(waiting_comparison: Path, tmp_path: Path) -> None:
    process = start(waiting_comparison, tmp_path / "results", jobs=2)
    try:
        wait_for_runs(process, tmp_path / "results" / "small", 1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        out, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, (out, err)
    assert "What is finished is kept" in err
    assert "Traceback" not in err, err
    files = list((tmp_path / "results" / "small" / "runs").glob("*.json"))
    assert 1 <= len(files) <= 8
    assert all(json.loads(file.read_text())["key"] for file in files)
