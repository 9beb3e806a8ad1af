"""The examples of the learners' page run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.learners


def test_the_example_of_leaving_one_out_runs_and_estimates(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(react_rl.learners.__file__).with_name("README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    example = next(one for one in examples if "leave_one_out" in one)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("{'accuracy': ")
    assert "nan" not in printed


def test_the_example_of_tagging_fine_tunes_two_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(react_rl.learners.__file__).with_name("README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    example = next(one for one in examples if "synthetic_sentences" in one)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("{'entity_f1': [")
