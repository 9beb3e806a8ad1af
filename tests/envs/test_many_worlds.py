"""Episodes of classification and tagging side by side: each as it would be alone, one policy over both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from react_rl.agents.evaluation import Validation
from react_rl.agents.learned import LearnedStrategy
from react_rl.agents.settings import AgentSettings
from react_rl.agents.training import train
from react_rl.envs import LabelingVecEnv, LabelingVectorEnv, build_environment
from react_rl.envs.many_worlds import Labeling, ManyWorldsLabeling
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.simulation.encoded import synthetic_encoded, synthetic_tagged
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World

TEXTS = synthetic_encoded(300, 3)
SENTENCES = synthetic_tagged(200, n_types=2)
SIZES: dict[str, Any] = {"pool_size": 60, "dev_size": 30, "initial_size": 5, "budget": 12, "batch_size": 3}
SPACE: dict[str, Any] = {"features": ("margin", "density")}
LONGER = {"episode": {"budget": 90.0}}


def core_of_both() -> Labeling:
    settings = both(2)
    return build_environment(n_episodes=settings.pop("num_envs"), **settings)


def both(n: int, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "corpus": [TEXTS, SENTENCES],
        "reward": {"metric": "task"},
        "observation": "context-and-task",
        "episode": SIZES,
        "tasks": {"tagging": LONGER},
    }
    return {"num_envs": n, **settings, **SPACE, **more}


def test_each_slot_plays_what_it_would_play_in_an_environment_of_its_task_alone() -> None:
    seeds = [3, 4, 5, 6]
    together = LabelingVectorEnv(**both(4))
    alone = [
        LabelingVectorEnv(**(both(2) | {"corpus": TEXTS, "tasks": None})),
        LabelingVectorEnv(
            **(both(2) | {"corpus": SENTENCES, "learner": TaggerSettings(), "tasks": {"tagging": LONGER}})
        ),
    ]
    assert together.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    seen, _ = together.reset(seed=seeds)
    apart = np.concatenate(
        [env.reset(seed=own)[0] for env, own in zip(alone, (seeds[:2], seeds[2:]), strict=True)]
    )
    np.testing.assert_array_equal(seen, apart)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(9):
        actions = rng.uniform(-1, 1, (4, 2)).astype(np.float32)
        seen, rewards, ended, _, infos = together.step(actions)
        found = [env.step(actions[some]) for env, some in zip(alone, (slice(0, 2), slice(2, 4)), strict=True)]
        np.testing.assert_array_equal(seen, np.concatenate([one[0] for one in found]))
        np.testing.assert_array_equal(rewards, np.concatenate([one[1] for one in found]))
        np.testing.assert_array_equal(ended, np.concatenate([one[2] for one in found]))
        ends += int(ended.sum())
        if not ended.any():
            assert infos["metric"].tolist() == ["accuracy"] * 2 + ["entity_f1"] * 2
            np.testing.assert_array_equal(infos["value"][:2], found[0][4]["accuracy"])
            np.testing.assert_array_equal(infos["value"][2:], found[1][4]["entity_f1"])
    assert ends >= 4


def test_the_last_numbers_say_which_task_it_is() -> None:
    env = LabelingVectorEnv(**both(3))
    observed, infos = env.reset(seed=0)
    assert observed[:, -3:].tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert infos["task"].tolist() == ["classification", "classification", "tagging"]


def test_stable_baselines_sees_one_environment() -> None:
    settings = both(2)
    env = LabelingVecEnv(n_episodes=settings.pop("num_envs"), **settings)
    assert isinstance(env, VecEnv)
    env.seed(0)
    env.reset()
    dones = 0
    for _ in range(12):
        _, _, done, infos = env.step(np.zeros((2, 2), dtype=np.float32))
        dones += int(done.sum())
        for info, over in zip(infos, done, strict=True):
            assert ("terminal_observation" in info) == bool(over)
    assert dones >= 2
    assert [one["metric"] for one in env.env_method("summary")] == ["accuracy", "entity_f1"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"reward": {"metric": "accuracy"}}, "'accuracy' is no metric of tagging; with several tasks"),
        ({"num_envs": 1}, "1 episodes side by side are fewer than the 2 tasks"),
        ({"features": ("margin", "rarity")}, "'rarity' needs .*task tagging"),
        ({"tasks": {"taging": {}}}, "'taging'. Did you mean 'tagging'"),
        ({"tasks": {"tagging": {"learners": 1}}}, "'learners'. Did you mean 'learner'"),
        ({"tasks": {"tagging": {"episode": {"budget": -1}}}}, "Episodes of tagging: budget is -1"),
    ],
)
def test_what_does_not_fit_both_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError, match=message):
        LabelingVectorEnv(**both(2, **more))


def test_a_metric_of_another_task_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(
        ReActError, match=r"reward\.metric is 'accuracy', .* no metric of tagging; set it to 'task'"
    ):
        LabelingVectorEnv(2, corpus=SENTENCES, reward={"metric": "accuracy"})


def test_a_corpus_is_played_in_slots_of_its_task_only() -> None:
    env = LabelingVecEnv(core=core_of_both())
    env.set_options([{"corpus": TEXTS.name, "episode": 1}, {"corpus": SENTENCES.name, "episode": 2}])
    env.seed(0)
    env.reset()
    assert [info["corpus"] for info in env.reset_infos] == [TEXTS.name, SENTENCES.name]
    env.set_options({"corpus": TEXTS.name})
    with pytest.raises(ReActError, match="Slot 1 plays tagging"):
        env.reset()


def test_a_policy_over_both_is_trained_stopped_and_resumed_to_the_same_weights(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def run(folder: Path, kill_after: int | None = None) -> bytes:
        core = core_of_both()
        assert isinstance(core, ManyWorldsLabeling)
        worlds = [
            World([TEXTS], EpisodeOptions(**SIZES)),
            World([SENTENCES], EpisodeOptions(**(SIZES | {"budget": 90})), TaggerSettings()),
        ]
        calls = [0]

        def report(_: object) -> None:
            calls[0] += 1
            if calls[0] == kill_after:
                raise Killed

        settings = AgentSettings(episodes=8, n_envs=2, evaluations=4, evaluation_episodes=4)
        reward = RewardSettings(metric="task")
        train(core, Validation(worlds, 4, metric="task"), settings, reward, folder, report=report)
        return (folder / "policy" / "policy.safetensors").read_bytes()

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "stopped", kill_after=5)
    assert run(tmp_path / "stopped") == whole
    strategy = LearnedStrategy.load(tmp_path / "whole" / "policy")
    assert strategy.interface.observation.describe()["name"] == "context-and-task"
