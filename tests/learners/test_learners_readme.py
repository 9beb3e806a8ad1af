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


def test_the_examples_of_tagging_and_answering_fine_tune_two_episodes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Path(react_rl.learners.__file__).with_name("README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, object] = {}
    for corpus, printed in (("synthetic_sentences", "{'entity_f1': ["), ("synthetic_questions", "[0.")):
        example = next(one for one in examples if corpus in one)
        exec(compile(example, "README.md", "exec"), names)
        assert capsys.readouterr().out.startswith(printed)
