"""The examples of the recipes' page run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import react_rl.learners.recipes
from react_rl.experiments.config.learners import learner_config

PAGE = Path(react_rl.learners.recipes.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_program_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for program in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[0.")


def test_the_settings_of_the_page_are_allowed() -> None:
    for example in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL):
        learner_config(yaml.safe_load(example)["learner"])
