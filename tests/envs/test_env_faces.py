"""The single environment, the vector environment and the VecEnv are one environment with three faces."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from react_rl.envs import LabelingEnv, LabelingVecEnv, LabelingVectorEnv
from react_rl.errors import ReActError
from react_rl.learners.registry import LEARNERS
from react_rl.simulation import EncodedCorpus, synthetic_encoded

EPISODE = {"pool_size": 40, "dev_size": 30, "initial_size": 5, "budget": 14, "batch_size": 4}
SPACES: dict[str, dict[str, Any]] = {
    "weigh-scores": {"action_space": "weigh-scores"},
    "weigh-scores with stop": {"action_space": "weigh-scores", "stop": True},
    "choose-strategy": {"action_space": "choose-strategy"},
    "choose-strategy with stop": {"action_space": "choose-strategy", "stop": True},
}
every_space = pytest.mark.parametrize("space", list(SPACES))


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    found = []
    for size in (2, 4):
        made = synthetic_encoded(200, size, seed=size)
        found.append(made.with_corpus(replace(made.corpus, name=f"classes-{size}")))
    return tuple(found)


def settings(space: str = "weigh-scores", **more: Any) -> dict[str, Any]:
    return {"corpus": corpora(), "episode": EPISODE, **SPACES[space], **more}


@every_space
def test_gymnasium_finds_nothing_to_complain_about(space: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(LabelingEnv(**settings(space)), skip_render_check=True)


@every_space
def test_stable_baselines_finds_nothing_to_complain_about(space: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check(LabelingEnv(**settings(space)))


def actions_of(space: str, n: int, steps: int) -> list[npt.NDArray[Any]]:
    """Random actions (n, ...) for each step; some of them stop."""
    single = LabelingEnv(**settings(space)).action_space
    single.seed(5)
    return [np.stack([np.asarray(single.sample()) for _ in range(n)]) for _ in range(steps)]


@every_space
def test_the_three_faces_give_the_same_numbers_step_by_step(space: str) -> None:
    n, steps = 3, 22
    spread = LabelingVecEnv(n_episodes=n, **settings(space)).seed(7)
    singles = [LabelingEnv(**settings(space)) for _ in range(n)]
    vector = LabelingVectorEnv(n, **settings(space))
    baselines = LabelingVecEnv(n_episodes=n, **settings(space))
    baselines.seed(7)
    first = np.stack([env.reset(seed=seed)[0] for env, seed in zip(singles, spread, strict=True)])
    observed, _ = vector.reset(seed=7)
    np.testing.assert_allclose(observed, first, atol=1e-4)
    np.testing.assert_array_equal(baselines.reset(), observed)
    ends = 0
    returns = np.zeros(n)
    for actions in actions_of(space, n, steps):
        observed, rewards, ended, truncated, infos = vector.step(actions)
        theirs, their_rewards, their_ended, their_infos = baselines.step(actions)
        np.testing.assert_array_equal(theirs, observed)
        np.testing.assert_array_equal(their_rewards, rewards.astype(np.float32))
        np.testing.assert_array_equal(their_ended, ended)
        assert not truncated.any()
        for e, env in enumerate(singles):
            own, reward, terminated, cut, info = env.step(actions[e])
            returns[e] += reward
            assert reward == pytest.approx(rewards[e], abs=1e-4)
            assert terminated == ended[e]
            assert not cut
            if terminated:
                ends += 1
                np.testing.assert_allclose(infos["final_obs"][e], own, atol=1e-4)
                np.testing.assert_array_equal(their_infos[e]["terminal_observation"], infos["final_obs"][e])
                assert their_infos[e]["episode"]["r"] == pytest.approx(returns[e], abs=1e-3)
                for key in ("corpus", "labels", "cost", "stopped"):
                    assert infos["final_info"][key][e] == their_infos[e][key] == info[key]
                for ids in (infos["final_info"]["ids"][e], their_infos[e]["ids"]):
                    np.testing.assert_array_equal(ids, info["ids"])
                assert their_infos[e]["accuracy"] == pytest.approx(info["accuracy"], abs=0.04)
                assert their_infos[e]["area"] == pytest.approx(info["area"], abs=0.04)
                returns[e] = 0.0
                own, _ = env.reset()
            else:
                for key in ("corpus", "labels", "cost", "stopped"):
                    assert infos[key][e] == their_infos[e][key] == info[key]
                for ids in (infos["ids"][e], their_infos[e]["ids"]):
                    np.testing.assert_array_equal(ids, info["ids"])
            np.testing.assert_allclose(observed[e], own, atol=1e-4)
    assert ends >= 2 * n, "several episodes were played by each"


def test_seeds_given_one_by_one_are_those_of_single_environments() -> None:
    vector = LabelingVectorEnv(2, **settings())
    observed, infos = vector.reset(seed=[3, 9])
    for e, seed in enumerate((3, 9)):
        single, info = LabelingEnv(**settings()).reset(seed=seed)
        np.testing.assert_allclose(observed[e], single, atol=1e-4)
        assert infos["corpus"][e] == info["corpus"]


@pytest.mark.parametrize("seeds", [[], [3], [3, 9, 4]])
def test_a_wrong_number_of_seeds_is_said_and_the_episodes_stay(seeds: list[int]) -> None:
    vector = LabelingVectorEnv(2, **settings())
    vector.reset(seed=1)
    with pytest.raises(ReActError, match=f"{len(seeds)} seeds do not fit 2 environments; give one for each"):
        vector.reset(seed=seeds)
    vector.step(vector.action_space.sample())


def test_a_seed_of_numpy_is_a_seed() -> None:
    vector = LabelingVectorEnv(2, **settings())
    of_numpy, _ = vector.reset(seed=np.arange(4)[3])
    of_python, _ = vector.reset(seed=3)
    np.testing.assert_array_equal(of_numpy, of_python)


def draws_of(env: LabelingVecEnv, rounds: int) -> set[tuple[int, ...]]:
    """Pools that are met in a number of steps."""
    seen = set()
    env.reset()
    for _ in range(rounds):
        for e in range(env.num_envs):
            seen.add(
                (
                    env.core.parts[0].engine.draw_of(e).corpus,
                    *env.core.parts[0].engine.draw_of(e).pool.tolist(),
                )
            )
        env.step(np.zeros((env.num_envs, *env.action_space.shape), dtype=np.float32))  # type: ignore[misc]
    return seen


def test_seeds_zero_and_one_share_no_episode_and_no_episode_comes_twice() -> None:
    pools = []
    for seed in (0, 1):
        env = LabelingVecEnv(n_episodes=4, **settings())
        env.seed(seed)
        pools.append(draws_of(env, 16))
        assert len(pools[-1]) == 16  # four rounds an episode, so four episodes in each of four places
    assert not pools[0] & pools[1]


@pytest.mark.parametrize("face", ["single", "vector", "baselines"])
def test_the_same_seed_plays_the_same_episodes_again(face: str) -> None:
    def run() -> list[list[float]]:
        if face == "single":
            env = LabelingEnv(**settings())
            found = [env.reset(seed=4)[0].tolist()]
            return found + [env.reset()[0].tolist() for _ in range(3)]
        if face == "vector":
            vector = LabelingVectorEnv(2, **settings())
            return [vector.reset(seed=4)[0].ravel().tolist(), vector.reset()[0].ravel().tolist()]
        baselines = LabelingVecEnv(n_episodes=2, **settings())
        baselines.seed(4)
        return [np.asarray(baselines.reset()).ravel().tolist() for _ in range(3)]

    once, again = run(), run()
    assert once == again
    assert len({tuple(one) for one in once}) == len(once)


def test_without_a_seed_two_environments_differ() -> None:
    one, other = (LabelingEnv(**settings()).reset()[0] for _ in range(2))
    assert one.tolist() != other.tolist()


def test_reset_options_play_an_episode_of_a_comparison() -> None:
    env, other = LabelingEnv(**settings()), LabelingEnv(**settings("choose-strategy"))
    env.reset(seed=1)
    options = {"corpus": "classes-4", "episode": 12}
    one, info = env.reset(options=options)
    two, _ = other.reset(seed=8, options=options)
    assert info["corpus"] == "classes-4"
    np.testing.assert_array_equal(one, two)
    for name in ("pool", "dev", "initial"):
        np.testing.assert_array_equal(
            getattr(env.core.parts[0].engine.draw_of(0), name),
            getattr(other.core.parts[0].engine.draw_of(0), name),
        )
    assert env.reset(options={"corpus": "classes-2", "episode": 12})[0].tolist() != one.tolist()
    assert {env.reset(options={"corpus": "classes-2"})[1]["corpus"] for _ in range(8)} == {"classes-2"}


def test_an_unknown_corpus_in_the_reset_options_names_the_nearest() -> None:
    with pytest.raises(ReActError, match=r"classes-22.*Did you mean 'classes-2'"):
        LabelingEnv(**settings()).reset(options={"corpus": "classes-22"})


@pytest.mark.parametrize("face", ["single", "vector", "baselines"])
def test_observations_and_rewards_are_fresh_arrays(face: str) -> None:
    action = np.zeros((2, 5), dtype=np.float32)
    if face == "single":
        env = LabelingEnv(**settings())
        kept = [env.reset(seed=0)[0]]
        kept += [env.step(action[0])[0] for _ in range(3)]
    elif face == "vector":
        vector = LabelingVectorEnv(2, **settings())
        kept = [vector.reset(seed=0)[0]]
        for _ in range(6):
            observed, rewards, *_ = vector.step(action)
            kept += [observed, rewards]
    else:
        baselines = LabelingVecEnv(n_episodes=2, **settings())
        kept = [np.asarray(baselines.reset())]
        for _ in range(6):
            theirs, their_rewards, *_ = baselines.step(action)
            kept += [np.asarray(theirs), their_rewards]
    for i, one in enumerate(kept):
        assert one.flags.writeable
        assert not any(np.shares_memory(one, other) for other in kept[i + 1 :])


def test_writing_into_an_observation_changes_nothing_that_follows() -> None:
    spoiled, clean = LabelingEnv(**settings()), LabelingEnv(**settings())
    for env in (spoiled, clean):
        observation, _ = env.reset(seed=0)
        if env is spoiled:
            observation[...] = np.nan
    for _ in range(3):
        one, other = (env.step(np.zeros(5, dtype=np.float32)) for env in (spoiled, clean))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
        one[0][...] = np.nan
        one[4]["ids"][...] = -7


def test_the_vector_environment_restarts_in_the_step_that_ends_an_episode() -> None:
    env = LabelingVectorEnv(2, **settings("choose-strategy with stop"))
    env.reset(seed=0)
    stop = env.single_action_space.n - 1  # type: ignore[attr-defined]
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    _, _, ended, _, infos = env.step(np.array([0, stop]))
    assert ended.tolist() == [False, True]
    assert infos["_final_obs"].tolist() == [False, True]
    assert infos["final_obs"][0] is None
    assert infos["labels"].tolist() == [9, 5]
    assert infos["final_info"]["labels"].tolist() == [0, 5]
    assert infos["final_info"]["_labels"].tolist() == [False, True]
    _, _, ended, _, infos = env.step(np.array([0, 0]))
    assert "final_obs" not in infos
    assert infos["labels"].tolist() == [13, 9]


def test_the_vec_env_answers_questions_about_its_parts() -> None:
    env = LabelingVecEnv(n_episodes=3, **settings())
    assert env.get_attr("n_episodes") == [3, 3, 3]
    assert env.get_attr("n_episodes", indices=[0, 2]) == [3, 3]
    assert env.get_attr("n_episodes", indices=1) == [3]
    assert env.env_method("corpus_index", "classes-4", indices=0) == [1]
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    env.close()


MAKE = """
import sys
{first}
import gymnasium
import numpy as np
env = gymnasium.make("react_rl:ReActRL/Labeling-v0", action_space="choose-strategy", stop=True)
one, info = env.reset(seed=3)
assert env.observation_space.contains(one), one
step = env.step(0)
assert step[4]["labels"] == 10, step[4]
assert len(step) == 5
vector = gymnasium.make_vec("react_rl:ReActRL/Labeling-v0", num_envs=3, reward="gain")
many, infos = vector.reset(seed=[3, 4, 5])
assert many.shape == (3, one.size) and np.allclose(many[0], one, atol=1e-4)
vector.step(vector.action_space.sample())
assert type(vector.unwrapped).__name__ == "LabelingVectorEnv", vector
assert gymnasium.make("ReActRL/Labeling-v0").spec.id == "ReActRL/Labeling-v0"
gone = [name for name in ("transformers", "datasets") if name in sys.modules]
assert not gone, gone
"""


@pytest.mark.parametrize(
    "first", ["", "import react_rl", "import react_rl.envs", "import gymnasium, react_rl.envs.single"]
)
def test_gymnasium_makes_it_by_its_id_in_a_fresh_process(first: str) -> None:
    script = MAKE.format(first=first)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def same(one: Any, other: Any) -> None:
    """Compare infos of vector environments, masks, types and nested infos included."""
    assert sorted(one) == sorted(other)
    for key, value in one.items():
        if isinstance(value, dict):
            same(value, other[key])
        elif key == "final_obs":
            for mine, theirs in zip(value, other[key], strict=True):
                assert (mine is None) == (theirs is None)
                if mine is not None:
                    np.testing.assert_allclose(mine, theirs, atol=1e-4)
        else:
            assert value.dtype == other[key].dtype, key
            if value.dtype.kind == "f":
                np.testing.assert_allclose(value, other[key], atol=0.04)
            else:
                np.testing.assert_array_equal(value, other[key], key)


@pytest.mark.parametrize("limit", [None, 3])
@every_space
def test_infos_are_those_of_gymnasiums_own_vector_environment(space: str, limit: int | None) -> None:
    def single() -> gymnasium.Env[Any, Any]:
        env: gymnasium.Env[Any, Any] = LabelingEnv(**settings(space))
        return env if limit is None else gymnasium.wrappers.TimeLimit(env, limit)

    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    theirs = gymnasium.vector.SyncVectorEnv([single] * 3, autoreset_mode=mode)
    ours = LabelingVectorEnv(3, max_episode_steps=limit, **settings(space))
    first, other = ours.reset(seed=[4, 5, 6]), theirs.reset(seed=[4, 5, 6])
    np.testing.assert_allclose(first[0], other[0], atol=1e-4)
    same(first[1], other[1])
    for actions in actions_of(space, 3, 12):
        step, their_step = ours.step(actions), theirs.step(actions)
        for mine, his in zip(step[:2], their_step[:2], strict=True):
            np.testing.assert_allclose(mine, his, atol=1e-4)
        assert step[2].tolist() == their_step[2].tolist()
        assert step[3].tolist() == their_step[3].tolist()
        same(step[4], their_step[4])


@every_space
def test_a_step_limit_truncates_in_every_face_alike(space: str) -> None:
    env_id = "react_rl:ReActRL/Labeling-v0"
    single = gymnasium.make(env_id, max_episode_steps=2, **settings(space))
    vector = gymnasium.make_vec(env_id, num_envs=2, max_episode_steps=2, **settings(space))
    baselines = LabelingVecEnv(n_episodes=2, max_episode_steps=2, **settings(space))
    spread = baselines.seed(7)
    single.reset(seed=spread[0])
    vector.reset(seed=7)
    baselines.reset()
    cuts = []
    for actions in actions_of(space, 2, 8):
        _, _, ended, cut, _ = single.step(actions[0])
        _, _, vector_ended, vector_cut, _ = vector.step(actions)
        _, _, done, infos = baselines.step(actions)
        assert (ended, cut) == (vector_ended[0], vector_cut[0])
        assert done[0] == (ended or cut)
        assert infos[0]["TimeLimit.truncated"] == (cut and not ended)
        cuts.append(cut)
        if ended or cut:
            single.reset()
    assert sum(cuts) >= 3


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "3"])
def test_a_step_limit_must_be_a_number_of_steps(steps: Any) -> None:
    for face in (LabelingEnv, LabelingVectorEnv, LabelingVecEnv):
        with pytest.raises(ReActError, match=r"max_episode_steps is .*at least 1"):
            face(max_episode_steps=steps, **settings())


def test_a_step_after_the_end_or_before_the_beginning_is_refused() -> None:
    env = LabelingEnv(**settings())
    action = np.zeros(5, dtype=np.float32)
    with pytest.raises(ReActError, match="call reset before step"):
        env.step(action)
    env.reset(seed=0)
    while not env.step(action)[2]:
        pass
    with pytest.raises(ReActError, match=r"over.*call reset"):
        env.step(action)
    env.reset()
    env.step(action)
    for face in (LabelingVectorEnv, LabelingVecEnv):
        with pytest.raises(ReActError, match="call reset before step"):
            face(**settings()).step(action[None])


def test_a_step_after_a_cut_is_refused() -> None:
    env, action = LabelingEnv(max_episode_steps=2, **settings()), np.zeros(5, dtype=np.float32)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(action)[2:4] for _ in range(2)] == [(False, False), (False, True)]
        with pytest.raises(ReActError, match=r"over.*call reset"):
            env.step(action)


def test_the_vec_env_calls_methods_of_an_episode_for_each_environment() -> None:
    env = LabelingVecEnv(n_episodes=3, **settings())
    env.reset()
    env.step(np.zeros((3, 5), dtype=np.float32))
    assert env.env_method("summary") == [env.core.summary(e) for e in range(3)]
    assert env.env_method("summary", indices=[2, 0]) == [env.core.summary(2), env.core.summary(0)]
    with pytest.raises(ReActError, match="share 'n_episodes'"):
        env.set_attr("n_episodes", 4, indices=[1])


def test_reset_options_reach_every_face_and_unknown_ones_are_refused() -> None:
    options = {"corpus": "classes-4", "episode": 12}
    first, _ = LabelingEnv(**settings()).reset(seed=0, options=options)
    vector, infos = LabelingVectorEnv(2, **settings()).reset(options=options)
    baselines = LabelingVecEnv(n_episodes=2, **settings())
    baselines.set_options([options, {"corpus": "classes-2"}])
    theirs = np.asarray(baselines.reset())
    assert infos["corpus"].tolist() == ["classes-4"] * 2
    assert [info["corpus"] for info in baselines.reset_infos] == ["classes-4", "classes-2"]
    for observed in (*vector, theirs[0]):
        np.testing.assert_allclose(observed, first, atol=1e-4)
    with pytest.raises(ReActError, match=r"'episod'. Did you mean 'episode'"):
        LabelingEnv(**settings()).reset(options={"episod": 3})
    with pytest.raises(ReActError, match="'episode' is -1"):
        LabelingVectorEnv(2, **settings()).reset(options={"episode": -1})


@every_space
def test_a_pickled_environment_plays_on_like_the_one_it_was_made_from(space: str) -> None:
    env = LabelingEnv(**settings(space))
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    for action in actions_of(space, 1, 3):
        one, other = env.step(action[0]), copy.step(action[0])
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:3] == other[1:3]
        if one[2]:
            break


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_whatever_an_entry_of_the_learners_holds_can_be_pickled(kind: str) -> None:
    assert pickle.loads(pickle.dumps(LEARNERS[kind])) == LEARNERS[kind]
