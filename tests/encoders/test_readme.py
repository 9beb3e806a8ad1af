"""The snippets of the encoders' README run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.encoders


def test_the_snippets_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(react_rl.encoders.__file__).with_name("README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 5
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "(2, 384)" in said
    assert "embeddings films" in said
