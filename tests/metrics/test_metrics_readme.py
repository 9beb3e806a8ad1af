"""The snippets of the metrics README run, and its table names only what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.metrics

README = (Path(react_rl.metrics.__file__).parent / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs_and_prints(snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed
    assert "nan" not in printed


def test_the_table_of_questions_names_public_functions() -> None:
    rows = README.split("## Which number")[1].split("## Conventions")[0].splitlines()[4:]
    cells = [row.split("|")[2] for row in rows if row.startswith("|")]
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert len(names) > 15
    assert names <= set(react_rl.metrics.__all__)


def test_every_public_name_exists() -> None:
    assert all(hasattr(react_rl.metrics, name) for name in react_rl.metrics.__all__)
