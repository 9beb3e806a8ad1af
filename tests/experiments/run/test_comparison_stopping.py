"""A stopping rule named in a config ends the episodes of a comparison and is part of the runs' keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments import CompareConfig, load_config, run_comparison
from react_rl.experiments.run.planning import parts_of, plan
from react_rl.experiments.run.results import RunId
from react_rl.simulation import synthetic_encoded

pytestmark = pytest.mark.usefixtures("made_corpora")

Build = Callable[..., CompareConfig]
RunsOf = Callable[[Path], list[dict[str, Any]]]


def test_a_budget_below_that_of_the_episode_ends_every_run(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    outcome = run_comparison(comparison(stopping={"rule": "budget", "threshold": 7}), tmp_path)
    assert outcome.failures == []
    runs = runs_of(tmp_path / "small")
    assert {run["cost"][-1] for run in runs} == {8.0}
    assert {len(run["batches"]) for run in runs} == {2}


def test_a_target_that_is_reached_at_the_start_buys_nothing(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(stopping={"rule": "metric-target", "threshold": 0.0}), tmp_path)
    assert all(run["batches"] == [] and run["cost"] == [0.0] for run in runs_of(tmp_path / "small"))


def test_a_target_ends_each_episode_in_the_round_in_which_it_is_reached(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    free = comparison(name="free", seeds=8)
    run_comparison(free, tmp_path)
    whole = runs_of(tmp_path / "free")
    target = sorted(run["dev"]["accuracy"][-1] for run in whole)[len(whole) // 2]
    run_comparison(comparison(seeds=8, stopping={"rule": "metric-target", "threshold": target}), tmp_path)
    lengths = set()
    for run, other in zip(runs_of(tmp_path / "small"), whole, strict=True):
        curve = other["dev"]["accuracy"]
        reached = next((k for k, value in enumerate(curve) if value >= target), len(curve) - 1)
        assert run["dev"]["accuracy"] == curve[: reached + 1]
        lengths.add(reached)
    assert len(lengths) > 1


def test_the_rule_is_part_of_the_key_and_no_rule_is_not(comparison: Build) -> None:
    data = [synthetic_encoded(200, 3, seed=1)]
    rules: list[dict[str, Any]] = [
        {"rule": "none"},
        {"rule": "kappa"},
        {"rule": "kappa", "threshold": 0.9},
        {"rule": "kappa", "window": 4},
        {"rule": "classification-change"},
    ]

    def planned(**changes: Any) -> list[RunId]:
        (part,) = parts_of(comparison(**changes), data)
        return plan(part)

    keys = [tuple(run.key for run in planned(stopping=rule)) for rule in rules]
    assert len(set(keys)) == len(rules)
    assert tuple(run.key for run in planned()) == keys[0]


def test_a_rule_can_be_named_on_the_command_line(config_file: Callable[..., Path]) -> None:
    path = config_file(stopping={"rule": "kappa", "threshold": 0.95})
    assert load_config(CompareConfig, str(path)).stopping.threshold == 0.95
    changed = load_config(CompareConfig, str(path), ["--stopping.window", "4"])
    assert changed.stopping.model_dump() == {
        "rule": "kappa",
        "threshold": 0.95,
        "window": 4,
        "metric": None,
    }
