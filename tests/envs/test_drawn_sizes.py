"""Slots of drawn sizes: each group plays what an environment of its sizes plays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from react_rl.envs import LabelingVecEnv, LabelingVectorEnv, build_environment
from react_rl.envs.many_worlds import ManyWorldsLabeling
from react_rl.errors import ReActError
from react_rl.simulation.drawn_options import DrawSettings, drawn_options
from react_rl.simulation.encoded import synthetic_encoded, synthetic_tagged
from react_rl.simulation.options import EpisodeOptions

TEXTS = synthetic_encoded(300, 3)
SENTENCES = synthetic_tagged(200, n_types=2)
SIZES: dict[str, Any] = {"pool_size": 60, "dev_size": 30, "initial_size": 5, "budget": 12, "batch_size": 3}
DRAWS: dict[str, Any] = {
    "pool_sizes": (40, 80),
    "initial_sizes": (3, 6),
    "batch_sizes": (1, 3, 6),
    "rounds": (2, 4, 6),
    "label_noise": (0.0, 0.3),
    "groups": 3,
    "seed": 4,
}


def settings_of(**more: Any) -> dict[str, Any]:
    return {"corpus": TEXTS, "episode": SIZES, "features": ("margin", "density")} | more


@pytest.mark.parametrize("space", ["weigh-scores", "pick-candidate"])
def test_each_slot_plays_what_it_would_play_in_an_environment_of_its_sizes_alone(space: str) -> None:
    seeds = [3, 4, 5, 6, 7]
    settings = settings_of(action_space=space)
    if space == "pick-candidate":
        settings["candidates"] = 4
    together = LabelingVectorEnv(5, draws=DRAWS, **settings)
    slots = (slice(0, 2), slice(2, 4), slice(4, 5))
    sizes = drawn_options(DrawSettings(**DRAWS), EpisodeOptions(**SIZES), 3)
    assert len({one.batch_size for one in sizes}) == 3
    alone = [
        LabelingVectorEnv(own.stop - own.start, **(settings | {"episode": one}))
        for own, one in zip(slots, sizes, strict=True)
    ]
    seen, infos = together.reset(seed=seeds)
    found = [env.reset(seed=seeds[own])[0] for env, own in zip(alone, slots, strict=True)]
    assert infos["labels"].tolist() == np.repeat([one.initial_size for one in sizes], [2, 2, 1]).tolist()
    rng, ends = np.random.default_rng(0), np.zeros(5)
    for _ in range(40 if space == "pick-candidate" else 10):
        if space == "pick-candidate":
            actions = rng.integers(0, 4, 5)
        else:
            actions = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
        seen, rewards, ended, _, infos = together.step(actions)
        played = [env.step(actions[own]) for env, own in zip(alone, slots, strict=True)]
        found = [one[0] for one in played]
        for key in seen if isinstance(seen, dict) else [None]:
            left, right = (seen, found) if key is None else (seen[key], [one[key] for one in found])
            np.testing.assert_array_equal(left, np.concatenate(right))
        np.testing.assert_array_equal(rewards, np.concatenate([one[1] for one in played]))
        np.testing.assert_array_equal(ended, np.concatenate([one[2] for one in played]))
        ends += ended
    assert (ends >= 1).all()
    assert "task" not in infos  # one task, however many sizes


def test_an_episode_spends_the_budget_that_was_drawn_for_its_slot() -> None:
    envs = LabelingVecEnv(n_episodes=6, draws=DRAWS, **settings_of())
    sizes = drawn_options(DrawSettings(**DRAWS), EpisodeOptions(**SIZES), 3)
    envs.seed(0)
    envs.reset()
    spent: dict[int, set[float]] = {slot: set() for slot in range(6)}
    for _ in range(12):
        _, _, done, infos = envs.step(np.zeros((6, 2), dtype=np.float32))
        for slot in np.flatnonzero(done):
            spent[int(slot)].add(infos[slot]["cost"])
    assert spent == {slot: {sizes[slot // 2].budget} for slot in range(6)}


def test_slots_that_share_a_draw_are_in_one_group() -> None:
    core = build_environment(
        n_episodes=16,
        draws=DRAWS | {"groups": 8},
        **settings_of(reward={"against": "group", "group_size": 4}),
    )
    assert isinstance(core, ManyWorldsLabeling)
    assert [part.n_episodes for part in core.parts] == [4, 4, 4, 4]
    env = LabelingVecEnv(core)
    env.seed(0)
    env.reset()
    _, rewards, _, _ = env.step(np.random.default_rng(0).uniform(-1, 1, (16, 2)).astype(np.float32))
    np.testing.assert_allclose(rewards.reshape(4, 4).mean(1), 0.0, atol=1e-7)
    with pytest.raises(ReActError, match=r"group_size 4 does not divide"):
        build_environment(
            n_episodes=6,
            draws=DRAWS | {"groups": 2},
            **settings_of(reward={"against": "group", "group_size": 4}),
        )


def test_every_task_has_groups_at_its_own_prices() -> None:
    core = build_environment(
        n_episodes=4,
        corpus=[TEXTS, SENTENCES],
        reward={"metric": "task"},
        observation="context-and-task",
        episode=SIZES,
        features=("margin", "density"),
        tasks={"tagging": {"episode": {"budget": 90.0}}},
        draws={"batch_sizes": (2, 4), "rounds": (3,)},
    )
    options = [(part.engine.task.name, part.engine.options) for part in core.parts]
    assert [(task, one.batch_size) for task, one in options] == [
        ("classification", 2), ("classification", 4), ("tagging", 2), ("tagging", 4),
    ]  # fmt: skip
    price = SENTENCES.corpus.cost[SENTENCES.corpus.ids("train")].mean()
    assert [one.budget for _, one in options] == pytest.approx([6.0, 12.0, 6 * price, 12 * price])


def test_draws_that_do_not_exist_or_fit_are_refused() -> None:
    with pytest.raises(ReActError, match=r"Draws: .*'batch_size'. Did you mean 'batch_sizes'"):
        build_environment(draws={"batch_size": (1, 5)})
    with pytest.raises(ReActError, match="pool_size 4000 is larger than"):
        build_environment(draws={"pool_sizes": (4000,)}, n_episodes=2)
