"""The script for the day a GPU is at hand, tried on the CPU with the smallest sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from react_rl.experiments.benchmarks.gpu_table import write_table

SCRIPT = Path(__file__).resolve().parents[3] / "experiments" / "benchmarks" / "gpu.sh"
WORDS = ("red", "green", "warm", "cold", "day", "night")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
def test_every_part_runs_on_the_cpu_with_tiny_sizes(
    tmp_path: Path, save_bert: Callable[[Path, Sequence[str]], Path]
) -> None:
    model = save_bert(tmp_path / "model", WORDS)
    lines = [f"{WORDS[i % 6]} {WORDS[i // 6 % 6]} {WORDS[i // 36 % 6]} {i},{i % 2}" for i in range(600)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    done = run(
        *(str(out), "--tiny", "--device", "cpu", "--seconds", "3000"),
        *("--model", str(model), "--corpus", str(tmp_path / "texts.csv")),
    )
    said = (out / "parts.txt").read_text()
    logs = "\n".join(log.read_text()[-800:] for log in sorted(out.glob("*.log")))
    assert done.returncode == 0, said + logs
    assert [line.split(" after")[0] for line in said.splitlines()] == [
        f"{part}: status 0" for part in ("tests", "rounds", "one-round", "together")
    ], logs
    assert {line["episodes"] for line in json.loads((out / "rounds-cpu.json").read_text())["lines"]} == {1, 4}
    assert {line["training"] for line in json.loads((out / "one-round-cpu.json").read_text())["lines"]} == {
        "full",
        "top 2 layers",
        "lora",
    }
    assert len(json.loads((out / "together-cpu.json").read_text())) == 6


def test_the_script_stops_when_its_time_is_over(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--tiny", "--device", "cpu", "--seconds", "3")
    assert done.returncode == 0
    assert (tmp_path / "parts.txt").read_text().count("no time left") == 4


def test_a_wrong_call_says_how_it_is_called() -> None:
    done = run("--nothing")
    assert done.returncode == 2
    assert "usage: gpu.sh OUT" in done.stderr


def test_the_table_has_a_line_for_each_size_and_leaves_out_what_was_not_measured(tmp_path: Path) -> None:
    line = {"strategy": "margin", "episodes": 64, "rounds_per_second": 1234.5}
    found = {"machine": {"gpu": "some GPU"}, "lines": [line, line | {"episodes": 4096}]}
    (tmp_path / "rounds-cuda.json").write_text(json.dumps(found))
    (tmp_path / "rounds-cpu.json").write_text(json.dumps({"machine": {}, "lines": [line]}))
    text = write_table(tmp_path).read_text()
    assert "- gpu: some GPU" in text
    assert "| margin | 64 | 1,234 | 1,234 |" in text
    assert "| margin | 4,096 | 1,234 | - |" in text
    assert "fine-tuning" not in text
