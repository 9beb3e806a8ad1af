"""The benchmark of selections side by side says a speed for each strategy, and errors in a sentence."""

from __future__ import annotations

import pytest

from react_rl.experiments.benchmarks.selecting_side_by_side import main

SMALL = ["--corpus", "synthetic", "--pool-size", "120", "--episodes", "2"]


def test_each_strategy_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--strategies", "margin", "learned", "--batch-sizes", "5", "20", "--repeats", "1"]
    assert main([*SMALL, *asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["margin", "learned"] * 2
    assert all("rounds/s" in line for line in lines)


def test_what_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--strategies", "margn"]) == 2
    assert "margin" in capsys.readouterr().err
    assert main([*SMALL[:-1], "0"]) == 2
