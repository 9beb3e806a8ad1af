"""Killed ten times at random steps, a command ends with the bytes of an undisturbed one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

KILLS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks"),
]


@pytest.fixture
def shared(tmp_path: Path, reviews: Path, save_bert: Callable[[Path, Sequence[str]], Path]) -> dict[str, Any]:
    """What all configs have in common: a corpus of short texts, and a tiny transformer."""
    words = sorted({word for line in reviews.read_text().splitlines() for word in line.split(",")[0].split()})
    return {
        "corpora": [{"corpus": str(reviews)}],
        "encoder": {"model": str(save_bert(tmp_path / "bert", words)), "max_length": 12},
        "episode": {"pool_size": 60, "dev_size": 30, "initial_size": 4, "budget": 12, "batch_size": 3},
        "device": "cpu",
    }


@pytest.fixture
def killed_and_undisturbed(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Runs a command twice, once with kills after up to so many changes; returns the folders of both."""

    def run(command: str, config: dict[str, Any], changes: int, seed: int) -> tuple[Path, Path]:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("killing.py")),
                json.dumps([[command, str(file)], config["name"], KILLS, changes, seed]),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        assert f"killed {KILLS}" in done.stdout, "it was finished before the last kill"
        return tmp_path / "killed" / config["name"], tmp_path / "undisturbed" / config["name"]

    return run


def contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    """Bytes by name, without what a killed process had begun to write."""
    files = [file for pattern in patterns for file in folder.glob(pattern) if file.name[0] != "."]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_comparison(
    shared: dict[str, Any], killed_and_undisturbed: Callable[..., tuple[Path, Path]]
) -> None:
    config = shared | {"name": "small", "strategies": ["random", "margin", "mixture"], "seeds": 32, "jobs": 1}
    killed, undisturbed = killed_and_undisturbed("compare", config, 120, 1)
    expected = contents(undisturbed, "runs/*", "*.csv", "plan.json")
    assert len(expected) == 3 * 32 + 4
    assert contents(killed, "runs/*", "*.csv", "plan.json") == expected
    assert {file.name for file in (killed / "circumstances").glob("*.json")} == {
        file.name for file in (killed / "runs").glob("*.json")
    }


def test_a_fine_tuning_comparison(
    shared: dict[str, Any], killed_and_undisturbed: Callable[..., tuple[Path, Path]]
) -> None:
    tuned = {"model": shared["encoder"]["model"], "precision": "fp32", "epochs": 1, "max_length": 12}
    config = shared | {"name": "tuned", "strategies": ["random", "margin"], "seeds": 3, "jobs": 1}
    config["learner"] = {"kind": "finetune", "finetune": tuned}
    killed, undisturbed = killed_and_undisturbed("compare", config, 30, 2)
    expected = contents(undisturbed, "runs/*", "*.csv")
    assert len(expected) == 2 * 3 + 3
    assert contents(killed, "runs/*", "*.csv") == expected
    assert not (killed / "progress").exists()


def test_a_training(shared: dict[str, Any], killed_and_undisturbed: Callable[..., tuple[Path, Path]]) -> None:
    agent = {"algorithm": "SAC", "episodes": 320, "n_envs": 8, "evaluations": 30}
    agent |= {"evaluation_episodes": 4, "layers": [8]}
    killed, undisturbed = killed_and_undisturbed("train", shared | {"name": "trained", "agent": agent}, 80, 3)
    patterns = ("policy/*", "validation.csv", "train.json")
    assert contents(killed, *patterns) == contents(undisturbed, *patterns)
    assert lines(killed) == lines(undisturbed)
    assert len(lines(killed)) > 2
    assert not (killed / "checkpoint.safetensors").exists()


def lines(folder: Path) -> list[dict[str, str]]:
    """Lines of the log, without what a clock says."""
    with (folder / "logs" / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("time/fps", "time/time_elapsed")} for row in rows]
