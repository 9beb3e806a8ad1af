"""Fine-tuning inside engine and environments: only the settings differ, and seeds decide everything."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check

from react_rl.acquisition import make_strategy
from react_rl.envs import LabelingEnv, LabelingVecEnv
from react_rl.envs.build import build_environment
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.with_answers import values_with_answers

SMALL = {"pool_size": 20, "dev_size": 10, "initial_size": 4, "budget": 6, "batch_size": 3}


@pytest.fixture
def corpora(tiny_corpus: Callable[..., Any]) -> list[EncodedCorpus]:
    found = []
    for n_classes in (2, 3):
        corpus = tiny_corpus(n_classes, n_classes)
        vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
        found.append(EncodedCorpus.build(corpus, vectors))
    return found


def history(corpora: list[EncodedCorpus], settings: Any, seeds: list[int], strategy: str = "margin") -> Any:
    engine = LabelingEngine(corpora, EpisodeOptions(**SMALL), len(seeds), learner=settings)  # type: ignore[arg-type]
    engine.reset([Streams(seed) for seed in seeds])
    ids, scores = [], [engine.view.logits.clone()]
    while not engine.finished.all():
        ids.append(engine.step(make_strategy(strategy).select(engine.view, 3)).ids)
        scores.append(engine.view.logits.clone())
    return np.stack(ids), torch.stack(scores)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_seed_decides_every_bit_and_no_global_state_moves(
    method: str, corpora: list[EncodedCorpus], finetuning: Callable[..., Any]
) -> None:
    settings = finetuning(method=method, epochs=1)
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    ids, scores = history(corpora, settings, [1, 2, 3])
    torch.manual_seed(77)
    again, same = history(corpora, settings, [1, 2, 3])
    assert (ids == again).all()
    assert torch.equal(scores, same)
    others, different = history(corpora, settings, [4, 5, 6])
    assert not torch.equal(scores, different)
    assert (ids != others).any()
    torch.random.set_rng_state(before)
    history(corpora, settings, [1, 2, 3])
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # type: ignore[index] # noqa: NPY002


def test_another_seed_begins_with_another_head_on_the_same_rows(
    corpora: list[EncodedCorpus], finetuning: Callable[..., Any]
) -> None:
    engine = LabelingEngine(corpora[:1], EpisodeOptions(**SMALL), 2, learner=finetuning())  # type: ignore[arg-type]
    engine.reset([Streams(1), Streams(1)])
    one, other = engine.view.logits.clone()
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    engine.reset([Streams(2)], [1])
    assert not torch.allclose(engine.view.logits[1], other, atol=1e-2)
    torch.testing.assert_close(engine.view.logits[0], one)


def test_the_labels_of_a_learner_without_chance_are_not_moved_by_the_new_stream(
    corpora: list[EncodedCorpus],
) -> None:
    ids, _ = history(corpora, None, [1, 2], "random")
    assert ids.shape == (2, 2, 3)
    engine = LabelingEngine(corpora, EpisodeOptions(**SMALL), 1)  # type: ignore[arg-type]
    streams = Streams(1)
    engine.reset([streams])
    assert "learner" not in streams.__dict__  # nothing was drawn from it


@pytest.mark.parametrize("strategy", ["margin", "badge", "cal", "bald", "k-center", "mixture"])
def test_strategies_run_on_a_fine_tuned_learner(
    strategy: str, corpora: list[EncodedCorpus], finetuning: Callable[..., Any]
) -> None:
    ids, scores = history(corpora, finetuning(epochs=1), [1, 2], strategy)
    assert all(len(set(ids[:, e].ravel().tolist())) == 6 for e in range(2))
    assert torch.isfinite(scores).all()


def test_a_reference_that_tries_batches_out_says_what_it_needs(
    corpora: list[EncodedCorpus], finetuning: Callable[..., Any]
) -> None:
    engine = LabelingEngine(corpora, EpisodeOptions(**SMALL), 1, learner=finetuning())  # type: ignore[arg-type]
    engine.reset([Streams(1)])
    with pytest.raises(ReActError, match="needs a learner that can be copied"):
        values_with_answers(engine, engine.view.ids[:, None, :3])


def test_scores_of_a_test_split_come_from_the_present_model(
    corpora: list[EncodedCorpus], finetuning: Callable[..., Any]
) -> None:
    engine = LabelingEngine(corpora[1:], EpisodeOptions(**SMALL), 2, learner=finetuning())  # type: ignore[arg-type]
    engine.reset([Streams(1), Streams(2)])
    view = engine.view
    rows = view.ids[0][view.available[0]]
    found = engine.scores(rows.numpy())
    assert found.shape == (2, 3, len(rows))
    torch.testing.assert_close(found[0], view.logits[0][:, view.available[0]], rtol=1e-4, atol=1e-4)


@pytest.fixture
def world(corpora: list[EncodedCorpus], finetuning: Callable[..., Any]) -> dict[str, Any]:
    return {"corpus": corpora, "episode": SMALL, "learner": finetuning(epochs=1)}


def test_gymnasium_and_stable_baselines_find_nothing_to_complain_about(world: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(LabelingEnv(**world), skip_render_check=True)
        sb3_check(LabelingEnv(**world))


def test_a_policy_trains_on_episodes_that_are_fine_tuned_side_by_side(world: dict[str, Any]) -> None:
    env = LabelingVecEnv(**world, n_episodes=3)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=6, n_epochs=1, seed=0, device="cpu")
    model.learn(12)
    assert model.num_timesteps == 12


def test_one_environment_gives_what_it_gives_among_others(world: dict[str, Any]) -> None:
    rewards = []
    for n in (1, 3):
        env = build_environment(**world, n_episodes=n)
        env.reset([Streams(seed) for seed in range(n)])
        space = env.interface.action_space
        action = np.zeros((n, *(space.shape or ())), space.dtype)
        rewards.append([float(env.step(action).rewards[0]) for _ in range(2)])
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-5)
