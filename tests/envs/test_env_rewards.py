"""Rewards add up to what they promise, by the definition and by brute force over the dev curve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from react_rl.envs import LabelingEnv, RewardSettings, build_environment
from react_rl.errors import ReActError
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

EPISODE = {"pool_size": 60, "dev_size": 50, "initial_size": 5, "budget": 22, "batch_size": 4}
METRICS = ("accuracy", "log_loss", "macro_f1")


@cache
def corpus(priced: bool = False) -> EncodedCorpus:
    made = synthetic_encoded(260, 4, seed=1)
    cost = np.random.default_rng(3).uniform(0.5, 2.5, 260) if priced else np.ones(260)
    named = replace(made.corpus, name="four", cost=cost)
    return EncodedCorpus(named, made.embeddings, made.density, torch.from_numpy(cost))


@dataclass
class Played:
    """One episode: rewards, dev metric at the start and after each round, and the cost of each round."""

    rewards: list[float]
    curve: list[float]
    costs: list[float]
    info: dict[str, Any]


def play(
    reward: dict[str, Any], seed: int = 0, priced: bool = True, stop_at: int | None = None, **more: Any
) -> Played:
    """Play one episode by random strategies, through the single environment."""
    env = LabelingEnv(
        corpus=corpus(priced),
        episode=EPISODE | more,
        reward=reward,
        action_space="choose-strategy",
        strategies=("random", "mixture"),
        stop=True,
    )
    env.reset(seed=seed)
    engine, metric = env.core.parts[0].engine, reward.get("metric", "accuracy")
    played = Played([], [float(engine.current[metric][0])], [], {})
    terminated, spent = False, 0.0
    while not terminated:
        action = 2 if len(played.rewards) == stop_at else len(played.rewards) % 2
        _, value, terminated, _, played.info = env.step(action)
        played.rewards.append(value)
        played.curve.append(float(engine.current[metric][0]))
        played.costs.append(float(engine.spent[0]) - spent)
        spent = float(engine.spent[0])
    return played


def attainable(metric: str) -> float:
    """Mean dev metric over four draws, with the whole pool but one row labelled."""
    options = EpisodeOptions(pool_size=60, dev_size=50, initial_size=59, budget=0.1, batch_size=1)
    engine = LabelingEngine([corpus()], options, 1, (metric,))
    values = []
    for k in range(4):
        engine.reset([Streams(entropy_of(k, "attainable", "four"))])
        values.append(engine.current[metric][0])
    return float(np.mean(values))


def sign(metric: str) -> int:
    return -1 if metric == "log_loss" else 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weight", [0.0, 0.013])
@pytest.mark.parametrize("stop_at", [None, 0, 3])
def test_gains_add_up_to_final_minus_initial_metric_minus_cost(
    metric: str, weight: float, stop_at: int | None
) -> None:
    played = play({"kind": "gain", "metric": metric, "scale": "one", "cost_weight": weight}, stop_at=stop_at)
    gain = sign(metric) * (played.curve[-1] - played.curve[0])
    assert sum(played.rewards) == pytest.approx(gain - weight * sum(played.costs), abs=1e-9)
    for k, reward in enumerate(played.rewards):
        step = sign(metric) * (played.curve[k + 1] - played.curve[k])
        assert reward == pytest.approx(step - weight * played.costs[k], abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stop_at", [None, 0, 2])
def test_the_area_reward_is_the_area_above_the_start_up_to_the_end_of_the_budget(
    metric: str, stop_at: int | None
) -> None:
    played = play({"kind": "area", "metric": metric, "scale": "one"}, stop_at=stop_at)
    # Rectangles by brute force: each small piece of the budget counts the value reached when it was spent.
    edges, fine = np.cumsum(played.costs), np.linspace(0, 22, 220_001)[:-1] + 0.5e-4
    after = np.searchsorted(edges, fine, side="left").clip(max=len(edges) - 1)
    value = sign(metric) * (np.array(played.curve)[1:][after] - played.curve[0])
    assert sum(played.rewards) == pytest.approx(value.mean(), abs=1e-4)


@pytest.mark.parametrize("kind", ["gain", "area", "shaped"])
@pytest.mark.parametrize("metric", METRICS)
def test_an_attainable_scale_divides_by_what_the_whole_pool_would_gain(kind: str, metric: str) -> None:
    raw = play({"kind": kind, "metric": metric, "scale": "one"}, seed=3, priced=False)
    scaled = play({"kind": kind, "metric": metric, "scale": "attainable"}, seed=3, priced=False)
    gain = max(sign(metric) * (attainable(metric) - raw.curve[0]), 0.05)
    np.testing.assert_allclose(np.array(scaled.rewards) * gain, raw.rewards, atol=1e-6)


def test_a_hopeless_episode_is_not_blown_up() -> None:
    made = corpus()
    targets = np.random.default_rng(0).integers(0, 4, 260)
    noise = replace(made.corpus, targets=targets)
    env = build_environment(
        EncodedCorpus(noise, made.embeddings, made.density, made.cost),
        episode=EPISODE,
        reward={"kind": "gain"},
    )
    for seed in range(20):
        env.reset([Streams(seed)])
        before = env.parts[0].engine.current["accuracy"][0]
        transition = env.step(np.zeros((1, 5), dtype=np.float32))
        gain = env.parts[0].engine.current["accuracy"][0] - before
        assert abs(transition.rewards[0]) <= abs(gain) / 0.05 + 1e-9


def test_shaped_rewards_discount_the_value_that_was_reached() -> None:
    settings = {"kind": "shaped", "metric": "log_loss", "scale": "one", "gamma": 0.9, "cost_weight": 0.01}
    played = play(settings)
    for k, reward in enumerate(played.rewards):
        expected = -0.9 * played.curve[k + 1] + played.curve[k] - 0.01 * played.costs[k]
        assert reward == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("metric", "target"), [("accuracy", 0.55), ("log_loss", 1.1)])
def test_a_target_reward_counts_the_budget_until_the_target_is_reached(metric: str, target: float) -> None:
    early = 0
    for seed in range(6):
        played = play({"kind": "target", "metric": metric, "target": target, "scale": "one"}, seed=seed)
        reached = [sign(metric) * value >= sign(metric) * target for value in played.curve[1:]]
        assert not any(reached[:-1])
        early += reached[-1]
        assert sum(played.rewards) == pytest.approx(-sum(played.costs) / 22)
        assert reached[-1] or sum(played.costs) > 22 - 0.6
    assert early > 0


@pytest.mark.parametrize("kind", ["gain", "area", "shaped", "target"])
def test_stopping_buys_nothing_and_ends_the_episode(kind: str) -> None:
    played = play({"kind": kind, "scale": "one", "gamma": 1.0, "target": 1.0}, stop_at=2)
    assert len(played.rewards) == 3
    assert played.costs[2] == 0.0
    assert played.info["stopped"]
    assert (played.info["ids"] == -1).all()
    assert played.curve[3] == played.curve[2]
    if kind != "area":
        assert played.rewards[2] == 0.0


@pytest.mark.parametrize("stop_at", [None, 0, 3])
def test_the_summary_reports_the_trapezoid_under_the_rewards_metric_over_the_whole_budget(
    stop_at: int | None,
) -> None:
    played = play({"kind": "gain", "metric": "log_loss"}, stop_at=stop_at)
    spent = np.concatenate([[0.0], np.cumsum(played.costs)])
    area = np.trapezoid(played.curve, spent) + played.curve[-1] * (22 - spent[-1])
    assert played.info["area"] == pytest.approx(area / 22)
    assert played.info["log_loss"] == played.curve[-1]
    assert played.info["cost"] == pytest.approx(spent[-1])


@pytest.mark.parametrize("kind", ["gain", "area", "shaped", "target"])
def test_an_episode_that_is_over_earns_nothing_while_its_neighbours_play_on(kind: str) -> None:
    env = build_environment(
        corpus(),
        "choose-strategy",
        reward={"kind": kind, "scale": "one", "target": 1.0},
        episode=EPISODE,
        stop=True,
        n_episodes=2,
    )
    env.reset([Streams(0), Streams(1)])
    stop = len(env.interface.describe()["strategies"])
    env.step(np.array([0, 1]))
    second = env.step(np.array([0, stop]))
    assert second.ended.tolist() == [False, True]
    before = env.summary(1)
    for _ in range(2):
        later = env.step(np.array([0, 1]))
        assert later.rewards[1] == 0.0
        assert later.cost[1] == 0.0
        assert later.ended[1]
        assert not later.stopped[1]
    assert env.summary(1) == before
    assert env.summary(0)["cost"] == 16.0


def test_a_reset_forgets_the_rewards_memory_of_the_last_episode() -> None:
    env = build_environment(corpus(), reward={"kind": "gain", "scale": "one"}, episode=EPISODE, n_episodes=2)
    env.reset([Streams(0), Streams(1)])
    env.step(np.zeros((2, 5), dtype=np.float32))
    env.reset([Streams(0)], episodes=[1])
    start = env.parts[0].engine.current["accuracy"].copy()
    transition = env.step(np.zeros((2, 5), dtype=np.float32))
    np.testing.assert_allclose(transition.rewards, env.parts[0].engine.current["accuracy"] - start)
    assert env.summary(1)["cost"] == 4.0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "gain", "metric": "acuracy"}, "Unknown metric 'acuracy'. Did you mean 'accuracy'"),
        ({"kind": "gian"}, "Unknown reward 'gian'. Did you mean 'gain'"),
        ({"kind": "gain", "cost_wieght": 1.0}, "cost_wieght.*Did you mean 'cost_weight'"),
    ],
)
def test_wrong_reward_settings_name_the_nearest(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        build_environment(reward=settings)


@pytest.mark.parametrize("wrong", [{"gamma": 0.0}, {"gamma": 1.1}, {"cost_weight": -1}])
def test_reward_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RewardSettings.model_validate(wrong)
