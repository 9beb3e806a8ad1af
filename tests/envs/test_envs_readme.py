"""The snippets of the environments' README run, but the one that encodes a large corpus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.envs

PAGE = Path(react_rl.envs.__file__).with_name("README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = snippet.replace('corpus="bbc_news"', "corpus=None").replace(
        '"pool_size": 300', '"pool_size": 200'
    )
    small = small.replace('"dev_size": 200', '"dev_size": 100')
    exec(compile(small, "README.md", "exec"), {})
