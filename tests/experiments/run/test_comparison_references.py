"""The greedy oracle can be compared like a strategy, under its own name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.run.strategies import identity, label, resolve

pytestmark = pytest.mark.usefixtures("made_corpora")


def test_the_oracle_is_compared_and_reaches_more_dev_accuracy_than_chance(
    comparison: Callable[..., CompareConfig], tmp_path: Path, runs_of: Callable[[Path], list[dict[str, Any]]]
) -> None:
    config = comparison(strategies=["random", "greedy-oracle"], seeds=8)
    outcome = run_comparison(config, tmp_path)
    assert outcome.failures == []
    areas: dict[str, list[float]] = {"random": [], "greedy-oracle": []}
    for run in runs_of(tmp_path / "small"):
        areas[run["strategy"]].append(float(np.mean(run["dev"]["accuracy"][1:])))
    assert len(areas["greedy-oracle"]) == 8
    assert np.mean(areas["greedy-oracle"]) > np.mean(areas["random"])


def test_the_oracle_is_its_name_and_is_suggested() -> None:
    assert label("greedy-oracle") == identity("greedy-oracle") == resolve("greedy-oracle").name
    with pytest.raises(ReActError, match="Did you mean 'greedy-oracle'"):
        resolve("greedy-orakle")
