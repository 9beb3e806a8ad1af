"""The snippets of the tasks' README run, and its table names the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.tasks
from react_rl.tasks import TASKS

README = Path(react_rl.tasks.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_snippets_run_one_after_the_other_and_print(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "tagging", TASKS["tagging"])  # the last snippet replaces it
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        assert snippet.count("\n") <= 30
        exec(compile(snippet, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("tagging ('entity_f1', 'token_accuracy')")
    assert "nan" not in printed


def test_the_table_names_the_metrics_of_every_task() -> None:
    for name, task in TASKS.items():
        line = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
        assert set(re.findall(r"`(\w+)`", line.split("|")[4])) == set(task.metrics)
