"""Paired rewards sum to the difference of two plain returns on the same episode; groups share their draws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from react_rl.envs import LabelingEnv, LabelingVecEnv, LabelingVectorEnv, RewardSettings, build_environment
from react_rl.errors import ReActError
from react_rl.simulation import EncodedCorpus, synthetic_encoded

EPISODE = {"pool_size": 60, "dev_size": 50, "initial_size": 5, "budget": 22, "batch_size": 4}


@cache
def corpus(priced: bool = False) -> EncodedCorpus:
    made = synthetic_encoded(260, 4, seed=1)
    cost = np.random.default_rng(3).uniform(0.5, 2.5, 260) if priced else np.ones(260)
    return made.with_corpus(replace(made.corpus, cost=cost))


def settings(reward: dict[str, Any], priced: bool = False, stop: bool = False) -> dict[str, Any]:
    return {
        "corpus": corpus(priced),
        "episode": EPISODE,
        "reward": reward,
        "action_space": "choose-strategy",
        "strategies": ("random", "mixture", "margin"),
        "stop": stop,
    }


def rewards_of(reward: dict[str, Any], actions: list[int], **more: Any) -> list[float]:
    """Rewards of one episode; the last action is repeated."""
    env = LabelingEnv(**settings(reward, **more))
    env.reset(seed=5)
    found: list[float] = []
    over = False
    while not over:
        _, reward_, over, _, _ = env.step(actions[min(len(found), len(actions) - 1)])
        found.append(reward_)
    return found


@pytest.mark.parametrize("kind", ["area", "gain", "shaped"])
def test_each_reward_is_the_gain_over_the_strategy_at_the_same_step(kind: str) -> None:
    plain = {"kind": kind, "cost_weight": 0.01}
    ours, theirs = rewards_of(plain, [0]), rewards_of(plain, [1])
    paired = rewards_of(plain | {"against": "mixture"}, [0])
    np.testing.assert_allclose(paired, np.subtract(ours, theirs), atol=1e-12)
    assert np.abs(paired).max() > 0


def test_a_strategy_gains_nothing_over_itself_also_where_it_draws_random_numbers() -> None:
    for action, name in ((0, "random"), (1, "mixture")):
        np.testing.assert_allclose(rewards_of({"against": name}, [action], priced=True), 0.0, atol=1e-12)


@pytest.mark.parametrize("actions", [[2], [0, 2, 3], [3]])
@pytest.mark.parametrize("kind", ["area", "gain", "target"])
def test_returns_differ_by_the_whole_return_of_the_strategy_whatever_is_bought_and_when_it_stops(
    kind: str, actions: list[int]
) -> None:
    plain = {"kind": kind, "cost_weight": 0.02, "target": 0.8}
    ours = rewards_of(plain, actions, priced=True, stop=True)
    theirs = rewards_of(plain, [1], priced=True, stop=True)
    paired = rewards_of(plain | {"against": "mixture"}, actions, priced=True, stop=True)
    assert len(paired) == len(ours)
    assert sum(paired) == pytest.approx(sum(ours) - sum(theirs), abs=1e-9)


def played(reward: dict[str, Any], steps: int, n: int = 6) -> tuple[LabelingVecEnv, np.ndarray[Any, Any]]:
    env = LabelingVecEnv(n_episodes=n, **settings(reward))
    env.seed(3)
    env.reset()
    actions = np.random.default_rng(0).integers(3, size=(steps, n))
    return env, np.stack([env.step(row)[1] for row in actions])


def test_slots_of_a_group_play_the_same_draws_episode_after_episode() -> None:
    for steps in (1, 8):
        env, _ = played({"group_size": 3}, steps)
        draws = [env.core.parts[0].engine.draw_of(e) for e in range(6)]
        for part in ("pool", "dev", "initial"):
            rows = [getattr(draw, part).tolist() for draw in draws]
            assert rows[0] == rows[1] == rows[2] != rows[3] == rows[4] == rows[5]


def test_a_group_reward_is_the_reward_less_the_mean_of_the_group() -> None:
    _, plain = played({"group_size": 3}, 8)
    _, grouped = played({"group_size": 3, "against": "group"}, 8)
    means = plain.reshape(8, 2, 3).mean(2).repeat(3, 1)
    np.testing.assert_allclose(grouped, plain - means, atol=1e-6)
    assert np.abs(grouped).max() > 0


def test_a_strategy_is_played_once_for_a_group_with_the_rewards_of_each_by_itself() -> None:
    env, grouped = played({"group_size": 3, "against": "mixture"}, 8)
    _, plain = played({"group_size": 3}, 8)
    pairing = env.core.parts[0]._pairing
    sizes = [engine.n_episodes for engine, _ in pairing._others.values()]  # type: ignore[union-attr]
    assert sizes == [2]
    off = plain - grouped
    np.testing.assert_allclose(off.reshape(8, 2, 3), off.reshape(8, 2, 3)[:, :, :1].repeat(3, 2), atol=1e-6)


def test_all_faces_group_their_slots() -> None:
    given = settings({"group_size": 2, "against": "group"})
    envs = LabelingVectorEnv(4, **given)
    envs.reset(seed=1)
    same = envs.step(np.ones(4, dtype=np.int64))[1]
    np.testing.assert_allclose(same, 0.0, atol=1e-12)
    with pytest.raises(ReActError, match="does not divide the 1 episodes"):
        LabelingEnv(**given)


def test_the_state_of_a_pairing_goes_with_the_environment() -> None:
    reward = {"against": "mixture", "group_size": 2}
    core = LabelingVecEnv(n_episodes=4, **settings(reward)).core
    kept = {name: value.clone() for name, value in core.state().items()}
    core.load_state(kept)
    assert {name for name in kept if name.startswith("paired")} == {
        "paired_at",
        "paired_spent",
        "paired_total",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": {"against": "group"}}, "2 or more"),
        ({"reward": {"against": "group", "group_size": 2}, "stop": True}, "the stop action"),
        ({"reward": {"against": "group", "group_size": 2, "kind": "target"}}, "at its target"),
        ({"reward": {"against": "group", "group_size": 2}, "corpus": True}, "different prices"),
        ({"reward": {"against": "mixtur"}}, "mixture"),
        ({"reward": {"group_size": 3}}, "does not divide the 4"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    if changes.pop("corpus", False):
        changes["corpus"] = corpus(priced=True)
    with pytest.raises(ReActError, match=words):
        build_environment(n_episodes=4, **(settings({}) | changes))


def test_groups_that_were_given_other_episodes_are_refused() -> None:
    envs = LabelingVectorEnv(2, **settings({"group_size": 2, "against": "group"}))
    with pytest.raises(ReActError, match="play different episodes"):
        envs.reset(seed=[1, 2])


def test_rewards_that_stand_alone_are_written_as_before() -> None:
    assert not {"against", "group_size"} & RewardSettings().model_dump().keys()
    assert RewardSettings(against="mixture", group_size=4).model_dump()["against"] == "mixture"
