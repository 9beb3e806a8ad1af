"""The snippets of the strategies' README run, and its tables say what the registries say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.acquisition
from react_rl.acquisition import FEATURES, STRATEGIES

README = Path(react_rl.acquisition.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_snippets_run_one_after_the_other_and_print(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(snippet, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("margin uncertainty [")
    assert "nan" not in printed


def test_every_strategy_has_its_row_with_its_source_and_cost_under_its_family() -> None:
    rows: dict[str, tuple[str, str, str]] = {}
    family = ""
    for line in README.splitlines():
        if line.startswith("## "):
            family = line[3:].lower()
        elif line.startswith("| `") and family != "features":
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[cells[0].strip("`")] = (family, cells[3], cells[4])
    assert rows == {name: (entry.family, entry.source, entry.cost) for name, entry in STRATEGIES.items()}


def test_every_feature_has_its_row_and_says_whether_it_moves() -> None:
    section = README.split("## Features\n")[1].split("\n## ")[0]
    moves: dict[str, bool] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            moves |= {name: cells[2] == "yes" for name in re.findall(r"`(\w+)`", cells[0])}
    assert moves == {name: feature.moves for name, feature in FEATURES.items()}
