"""What benchmarks share: one sentence for bad input, fair turns, and files that grow."""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.contestant_process import ContestantProcess
from react_rl.experiments.benchmarks.harness import (
    MeasuredLines,
    benchmark_parser,
    in_turns,
    run_benchmark,
    timed,
)


def test_every_contestant_warms_up_once_and_begins_as_often_as_the_others() -> None:
    calls: list[tuple[str, int]] = []

    def play(name: str, turn: int) -> int:
        calls.append((name, turn))
        return turn

    found = in_turns({name: partial(play, name) for name in "abc"}, 3)
    assert found == {name: [1, 2, 3] for name in "abc"}, "the turn that warms up does not count"
    assert sorted(name for name, turn in calls if turn == 0) == ["a", "b", "c"]
    assert {calls[3 * turn][0] for turn in (1, 2, 3)} == {"a", "b", "c"}


def test_seconds_of_the_clock_and_of_the_processor_differ_where_nothing_is_computed() -> None:
    _, seconds = timed(lambda: time.sleep(0.05))
    assert seconds.wall >= 0.05 > seconds.processor


def test_the_number_of_threads_is_what_was_asked_for_and_is_put_back(tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []

    def benchmark(_: argparse.Namespace) -> str:
        seen.append(torch.get_num_threads())
        return ""

    for parser in (benchmark_parser("About.", "some"), benchmark_parser("About.", "some", threads=False)):
        assert run_benchmark(parser, [], benchmark) == 0
    assert run_benchmark(benchmark_parser("About.", "some"), ["--threads", "2"], benchmark) == 0
    assert (seen, torch.get_num_threads()) == ([1, 1, 2], before)


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--sizes", "3", "-1"], []])
def test_bad_input_is_one_sentence_and_nothing_is_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def benchmark(_: argparse.Namespace) -> str:
        raise ReActError("There is no such corpus; give at least 1.")

    parser = benchmark_parser("About.", "some", files="folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1])
    assert run_benchmark(parser, ["--out", str(tmp_path), *arguments], benchmark) == 2
    said = capsys.readouterr()
    assert said.err.startswith("some: ")
    assert said.err.endswith("give at least 1.\n")
    assert not said.out


def test_lines_are_on_disk_as_soon_as_they_are_measured(tmp_path: Path) -> None:
    bare, beside = MeasuredLines(tmp_path / "a.json"), MeasuredLines(tmp_path / "b.json", {"machine": "m"})
    for n in (1, 2):
        for lines in (bare, beside):
            lines.add({"n": n})
        assert json.loads((tmp_path / "a.json").read_text()) == [{"n": k} for k in range(1, n + 1)]
    assert json.loads((tmp_path / "b.json").read_text()) == {"machine": "m", "lines": [{"n": 1}, {"n": 2}]}


def test_a_contestant_answers_in_lines_and_its_end_is_a_sentence() -> None:
    program = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    told = {'threads': os.environ['OMP_NUM_THREADS'], 'asked': line.strip()}\n"
        "    print(json.dumps(told), flush=True)\n"
        "    if line.strip(): sys.exit(3)\n"
    )
    with ContestantProcess([sys.executable, "-c", program], threads=2) as contestant:
        contestant.ask()
        assert contestant.hear() == {"threads": "2", "asked": ""}
        contestant.ask({"seeds": [0]})
        assert contestant.hear()["asked"] == '{"seeds": [0]}'
        with pytest.raises(ReActError, match="ended with status 3"):
            contestant.hear()
