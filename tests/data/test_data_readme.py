"""The examples of the data page run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import react_rl.data


def test_the_examples_run_and_say_what_the_page_says(tmp_path: Path) -> None:
    page = Path(react_rl.data.__file__).with_name("README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) >= 5
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "PhaseRows(news, posts)" in done.stdout
    assert "reviews 50 ('0', '1') [1. 2. 3.]" in done.stdout
    assert "dev drawn from 40 train rows with seed 0" in done.stdout
    assert "synthetic[first half] 150 synthetic[second half] 150" in done.stdout
