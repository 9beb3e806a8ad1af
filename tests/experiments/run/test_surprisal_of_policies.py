"""A policy that chooses among strategies is given the surprisal vectors that one of these reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments import CompareConfig, TrainConfig, load_config, run_comparison, run_training
from react_rl.experiments.run.strategies import surprised
from react_rl.simulation import EncodedCorpus, synthetic_encoded

Build = Callable[..., CompareConfig]


@pytest.fixture
def choosing(made_corpora: None, train_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Trains a policy that chooses among the strategies given; returns its folder."""

    def train(*strategies: str) -> Path:
        action = {"name": "choose-strategy", "strategies": list(strategies)}
        name = "-".join(strategies)
        path = train_file(name=name, action_space=action, strategy=f"chooses-{name}")
        return run_training(load_config(TrainConfig, str(path)), tmp_path / "trained").folder

    return train


def test_the_vectors_are_asked_for_where_a_policy_may_choose_alps(choosing: Callable[..., Path]) -> None:
    with_alps, without = str(choosing("random", "alps")), str(choosing("random", "margin"))
    assert surprised(["random", with_alps])
    assert not surprised(["random", without, "greedy-oracle", "nowhere/policy"])
    assert surprised([without, "alps"])


def test_a_comparison_plays_a_policy_that_may_choose_alps(
    choosing: Callable[..., Path], comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(choosing("alps"))

    def prepare(*arguments: Any) -> list[EncodedCorpus]:
        found = synthetic_encoded(200, 3)
        return [found if True in arguments else replace(found, surprisal=None)]

    monkeypatch.setattr("react_rl.experiments.run.compare.prepare", prepare)
    outcome = run_comparison(comparison(strategies=["random", folder], seeds=2), tmp_path)
    assert outcome.failures == []
    assert outcome.played == 4
