"""The study of what reinforcement learning adds: paired intervals, and where stopping rules end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from react_rl.acquisition import make_strategy
from react_rl.acquisition.stopping import StoppingSettings
from react_rl.agents import LearnedStrategy
from react_rl.experiments.config.models import TrainConfig, load_config
from react_rl.experiments.run.train import check_training
from react_rl.experiments.studies import rl_against_imitation as study
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.play import play

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=20, batch_size=5)
CONFIGS = Path(__file__).parents[3] / "results" / "rl"


def runs(column: str, by: dict[str, float], batch: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for corpus in ("one", "two"):
        for seed in range(4):
            luck = rng.random()
            rows += [
                {"batch": batch, "strategy": name, "corpus": corpus, "seed": seed, "labels": 12.0}
                | {column: luck + gain + rng.normal(scale=0.01)}
                for name, gain in by.items()
            ]
    return pd.DataFrame(rows)


def test_an_interval_is_that_of_the_paired_t_test_over_seeds() -> None:
    frame = runs("area", {"mixture": 0.0, "learned": 0.0, "start": 0.1})
    by = frame.sort_values(["seed", "corpus"]).groupby("strategy")["area"]
    gaps = by.get_group("start").to_numpy(float) - by.get_group("mixture").to_numpy(float)
    each = gaps.reshape(4, 2).mean(1)
    half = 3.182446 * each.std(ddof=1) / 2  # 97.5 % point of t with 3 degrees of freedom
    said = study.interval(frame, "area", "start", "mixture")
    mean = each.mean()
    assert said == f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}] | 1.00 | 2 of 2"


def test_tables_name_every_pair_of_policies_and_the_rule() -> None:
    areas = runs("area", {"mixture": 0.0, "learned": 0.01, "start": 0.02, "start + PPO": 0.02})
    rule = study.named(study.RULES[0])
    nets = runs("net", {"policy": 0.1, "never stop": 0.0, rule: 0.05})
    page = study.tables(areas, nets, rule)
    assert "| start + PPO | start | " in page
    assert f"| policy | {rule} | +0.0" in page
    assert "(12 labels)" in page


def test_a_rule_ends_an_episode_once_and_without_one_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (
        StoppingSettings(rule="budget", threshold=10),
        StoppingSettings(rule="predicted-gain", threshold=-9, window=2),
        StoppingSettings(rule="predicted-gain", threshold=9, window=1),
    )
    monkeypatch.setattr(study, "RULES", rules)
    corpus, strategy = synthetic_encoded(200, 3), make_strategy("margin")
    engine = study.begun(corpus, OPTIONS, 0, 3, ())
    values = [study.on_dev(engine), *(study.on_dev(engine) for _ in play(engine, strategy))]
    net = study.net_by_rule(study.begun(corpus, OPTIONS, 0, 3, ()), strategy, study.on_dev)
    np.testing.assert_allclose(net[0], values[2] - 0.010)
    np.testing.assert_allclose(net[1], values[4] - 0.020)
    np.testing.assert_allclose(net[2], values[1] - 0.005)
    np.testing.assert_allclose(net[3], values[4] - 0.020)
    own, spent = study.net_of(study.begun(corpus, OPTIONS, 0, 3, ()), strategy, study.on_dev)
    np.testing.assert_allclose(own, net[3])
    np.testing.assert_allclose(spent, 20.0)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_trainings_of_the_study_can_be_run(path: Path) -> None:
    check_training(load_config(TrainConfig, str(path)))


def test_pairing_takes_the_luck_of_the_draw_out_of_returns() -> None:
    plain = np.repeat([1.0, 2.0], 4) + np.tile([0.0, 0.1, 0.0, 0.1], 2)
    found = study.spread(plain, plain - np.repeat([0.8, 1.9], 4), 4)
    assert found["alone"] == pytest.approx(plain.std(ddof=1))
    assert found["minus the mixture"] < found["alone"] / 3
    assert found["minus the mean of eight"] == pytest.approx(np.tile([-0.05, 0.05], 4).std(ddof=1))


@pytest.mark.parametrize("name", ["start-25", "stop", "recipes", "recipes-own"])
def test_the_policies_that_were_judged_can_be_loaded(name: str) -> None:
    folder = CONFIGS / "policies" / name / "policy"
    strategy = LearnedStrategy.load(folder)
    config = load_config(TrainConfig, str(CONFIGS / f"{name}.yaml"))
    assert strategy.interface.describe() == check_training(config).describe()
