"""The snippet of the strategies' README runs, and its tables say what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.acquisition
from react_rl.acquisition import STRATEGIES

README = Path(react_rl.acquisition.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_snippet_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("margin uncertainty [")
    assert "nan" not in printed


def test_every_strategy_has_its_row_with_its_source_and_cost_under_its_family() -> None:
    rows: dict[str, tuple[str, str, str]] = {}
    family = ""
    for line in README.splitlines():
        if line.startswith("## "):
            family = line[3:].lower()
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[cells[0].strip("`")] = (family, cells[3], cells[4])
    assert rows == {name: (entry.family, entry.source, entry.cost) for name, entry in STRATEGIES.items()}
