"""Worker processes share arrays, are replaced once when they die, and end with whoever started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.errors import ReActError
from react_rl.experiments import run_comparison
from react_rl.experiments.run.workers import Death, Workers, usable_processors


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the workers play; they import it by the name of its module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return import_module("tasks_for_workers")


def run(function: Any, todo: list[Any], shared: Mapping[str, Any] | None = None, jobs: int = 1) -> list[Any]:
    with Workers(function, shared or {}, jobs) as workers:
        return [result for _, result in workers.run(todo)]


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked about does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for_end(processes: list[int], seconds: float) -> list[int]:
    until = time.monotonic() + seconds
    while (left := [process for process in processes if alive(process)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def test_shared_arrays_are_those_of_the_parent_and_lie_as_tensors_do(tasks: Any) -> None:
    shared = {"one": {"a": np.arange(7.0), "b": np.eye(3, dtype=np.float32)}, "two": np.ones(5)}
    (sums, aligned, writable) = run(tasks.describe, ["one"], shared)[0]
    assert sums == {"a": 21.0, "b": 3.0}
    assert aligned
    assert writable, "a private copy of a page is made where somebody writes"


def test_two_workers_share_the_tasks(tasks: Any, tmp_path: Path) -> None:
    processes = run(tasks.wait_for_the_other, ["a", "b"], {"folder": str(tmp_path)}, jobs=2)
    assert len(set(processes)) == 2


def test_a_dying_worker_is_replaced_once_and_its_task_played_again(tasks: Any, tmp_path: Path) -> None:
    results = run(tasks.die_first, [str(tmp_path / "a"), "", str(tmp_path / "b")])
    assert sorted(results) == ["again", "again", "at once"]


def test_a_task_whose_workers_die_twice_is_given_up_and_the_others_finish(tasks: Any) -> None:
    results = run(tasks.die_always, ["well", "dead", "well"])
    (death,) = (result for result in results if isinstance(result, Death))
    assert "died twice" in death.reason
    assert "SIGKILL, as happens when memory is short" in death.reason
    assert results.count("well") == 2


def test_what_a_task_raises_is_raised_by_the_parent(tasks: Any) -> None:
    with pytest.raises(ReActError, match="no such thing") as caught:
        run(tasks.refuse, ["no such thing"])
    assert "In a worker process" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Unpicklable: cannot be sent"):
        run(tasks.refuse, [None])


def test_a_module_that_workers_cannot_import_is_an_error(tasks: Any) -> None:
    with Workers(tasks.die_always, {}, 1, ["no_such_module"]) as workers, pytest.raises(ModuleNotFoundError):
        list(workers.run(["well"]))


def test_workers_end_with_the_context_even_in_the_middle_of_a_task(tasks: Any) -> None:
    with Workers(tasks.process, {}, 2) as workers:
        _, process = next(workers.run([0.0, 60.0]))
        started = time.monotonic()
    assert time.monotonic() - started < 30
    assert isinstance(process, int)
    assert not alive(process)


def wait_for_files(folder: Path, count: int) -> None:
    until = time.monotonic() + 100
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < until, "no file came"
        time.sleep(0.02)


@pytest.mark.parametrize("task", ["end_in_a_destructor", "write_for_long", "much"])
def test_a_worker_that_is_no_longer_needed_ends_without_a_word_or_a_trace(
    tasks: Any, task: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Workers(getattr(tasks, task), {}, 1) as workers:
        worker = workers._start()
        worker.connection.send(str(tmp_path / "file"))
        wait_for_files(tmp_path, 1)
        if task == "much":
            time.sleep(0.2)  # it is sending now
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.glob("*.part"))


def test_what_a_task_prints_comes_with_its_result(
    tasks: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with Workers(tasks.say, {}, 1) as workers:
        next(workers.run(["said"]))
        assert capfd.readouterr().out == "said"


def test_ctrl_c_does_not_reach_a_worker_that_has_just_begun(
    tasks: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def interrupted(*command: Any, **options: Any) -> Any:
        begun.append(popen(*command, **options))
        begun[-1].send_signal(signal.SIGINT)
        return begun[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    assert run(tasks.process, [0.0]) == [begun[0].pid]
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_within_five_seconds_of_their_parent(how: signal.Signals) -> None:
    program = (
        "import tasks_for_workers as tasks\n"
        "from react_rl.experiments.run.workers import Workers\n"
        "with Workers(tasks.process, {}, 2) as workers:\n"
        "    for _, process in workers.run([0.0, 0.0, 60.0, 60.0]):\n"
        "        print(process, flush=True)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert parent.stdout is not None
    with parent.stdout:
        processes = [int(parent.stdout.readline()) for _ in range(2)]
        parent.send_signal(how)
        parent.wait()
        assert not wait_for_end(processes, 5.0)
        assert parent.stdout.read() == "", "nobody else holds the other end, a tracker neither"


@pytest.mark.slow
@pytest.mark.usefixtures("made_corpora")
def test_runs_whose_workers_die_twice_are_listed_and_played_the_next_time(
    tasks: Any, comparison: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = comparison(jobs=2, strategies=["random", "margin", "mixture"])
    with monkeypatch.context() as patch:
        patch.setattr("react_rl.experiments.run.compare._play_shared", tasks.die_over_margin)
        outcome = run_comparison(config, tmp_path)
    assert outcome.played == 6
    failures = json.loads((tmp_path / "small" / "failures.json").read_text())
    assert failures == outcome.failures
    assert [(failure["strategy"], failure["seed"]) for failure in failures] == [
        ("margin", str(seed)) for seed in range(3)
    ]
    assert all("died twice" in failure["reason"] for failure in failures)
    outcome = run_comparison(config, tmp_path)
    assert (outcome.played, outcome.kept, outcome.failures) == (3, 6, [])
    assert not (tmp_path / "small" / "failures.json").exists()


def test_at_least_one_processor_is_usable() -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)
