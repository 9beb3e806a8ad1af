"""The snippets of the contracts' README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.contracts

PAGE = Path(react_rl.contracts.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_snippets_run_and_the_fault_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        assert snippet.count("\n") <= 30
        exec(compile(snippet, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("Rows were picked twice: [")
