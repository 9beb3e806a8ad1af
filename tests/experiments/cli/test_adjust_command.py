"""`react-rl adjust` goes from a config to a policy that is a strategy like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments.cli import main
from react_rl.experiments.run.strategies import label, resolve

ADJUSTMENT = {
    **{"directions": ["mixture"], "updates": 2, "pairs": 4, "tasks": 3, "checks": 1, "validation_groups": 1},
    **{"initial_sizes": [5], "batch_sizes": [4], "rounds": [3], "least_labels": 8, "pool_sizes": [50]},
}


@pytest.fixture
def adjust_file(config_file: Callable[..., Path], made_corpora: None) -> Callable[..., Path]:
    """Writes a config of a small adjustment."""

    def write(**changes: Any) -> Path:
        nothing: dict[str, Any] = {"strategies": None, "seeds": None, "jobs": None}
        return config_file(**(nothing | {"adjustment": ADJUSTMENT} | changes))

    return write


def test_a_policy_is_adjusted_and_is_a_strategy(
    adjust_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adjust", str(adjust_file(name="mine"))]) == 0
    shown = capsys.readouterr().out
    assert "Policy: results/mine/policy" in shown
    assert "imitated" in shown
    assert resolve("results/mine/policy").name == label("results/mine/policy") == "mine"
    assert main(["adjust", str(adjust_file(name="mine")), "--adjustment.seed", "1"]) == 2
    assert "adjustment.seed was 0, is 1" in capsys.readouterr().err


def test_a_dry_run_says_what_it_would_do(
    adjust_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["adjust", str(adjust_file()), "--dry-run"]) == 0
    assert "adjust 6 weights of imitated by 8 pairs" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
    twice = [{"corpus": "synthetic"}, {"corpus": "synthetic"}]
    assert main(["adjust", str(adjust_file(corpora=twice)), "--dry-run"]) == 2
    assert "Two corpora are called" in capsys.readouterr().err


def test_what_there_is_not_is_one_sentence(
    adjust_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["adjust", str(adjust_file(adjustment=ADJUSTMENT | {"directions": ["margn"]}))]) == 2
    assert "margn" in capsys.readouterr().err
    assert main(["adjust", str(adjust_file(adjustment=ADJUSTMENT | {"start": "lerned"}))]) == 2
    assert "Unknown policy of this package 'lerned'. Did you mean 'learned'?" in capsys.readouterr().err


def test_a_refused_adjustment_leaves_nothing_that_would_refuse_the_corrected_one(
    adjust_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["adjust", str(adjust_file(adjustment=ADJUSTMENT | {"pool_sizes": [5000]}))]) == 2
    assert "No task has 5000 train" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
    assert main(["adjust", str(adjust_file()), "--dry-run"]) == 0
