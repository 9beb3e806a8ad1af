"""The examples of the experiments page run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import react_rl.experiments
from react_rl.experiments import CompareConfig
from react_rl.experiments.analysis.summary import read_tasks
from react_rl.experiments.cli import main


def test_the_python_example_and_the_config_make_the_same_comparison_and_a_report(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(react_rl.experiments.__file__).with_name("README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    config, tickets, stream, several = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", "".join(examples)],
        cwd=tmp_path,
        env=os.environ | {"REACT_RL_CACHE": str(shared_cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert done.stdout.rstrip().splitlines()[-6].split() == ["corpus", "strategy", "seed", "round", "row"]
    (tmp_path / "small.yaml").write_text(config)
    assert main(["compare", str(tmp_path / "small.yaml"), "--results", str(tmp_path / "again")]) == 0

    def runs(folder: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (folder / "small" / "runs").iterdir()}

    assert len(runs(tmp_path / "results")) == 24
    assert runs(tmp_path / "again") == runs(tmp_path / "results")

    monkeypatch.chdir(tmp_path)
    Path("tickets.yaml").write_text(tickets)
    assert main(["compare", "tickets.yaml"]) == 0
    bought = Path("results/tickets/bought.csv")
    written = bought.read_bytes()
    assert written.startswith(b"id,file,row,text,label,round,seed,strategy,corpus\nT-")
    bought.unlink()
    assert main(["export", "results/tickets"]) == 0
    assert bought.read_bytes() == written
    assert CompareConfig.model_validate(yaml.safe_load(stream)).corpora[0].phases == 3
    Path("both.yaml").write_text(several)
    assert main(["compare", "both.yaml", "--seeds", "1", "--strategies", "random", "margin"]) == 0
    assert {one.task for one in read_tasks(Path("results/both"))} == {"classification", "tagging"}
