"""Policies, their training and their explanation on a CUDA device, or a simulated one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.agents import LearnedStrategy, Validation
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.adjustment.training import adjust
from react_rl.agents.folder import build_policy
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.training import imitate
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer
from react_rl.envs import BatchedLabeling, build_environment
from react_rl.envs.interfaces import make_interface
from react_rl.envs.observations import make_observation
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.explain.explaining import explain
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.encoded import synthetic_tagged
from react_rl.simulation.world import World

pytestmark = pytest.mark.gpu
OPTIONS = EpisodeOptions(pool_size=40, dev_size=30, initial_size=5, budget=14, batch_size=3)

SMALL: dict[str, Any] = {
    "states": 4, "dagger_states": 4, "n_envs": 2, "candidates": 6, "networks": 2, "hidden": 8, "epochs": 1,
    "initial_sizes": (5,), "batch_sizes": (3,), "rounds": (2,), "features": ("margin", "novelty", "variance"),
}  # fmt: skip


def encoded(device: str, n_classes: int = 3) -> EncodedCorpus:
    return synthetic_encoded(200, n_classes, seed=1, device=device)


def started(corpus: EncodedCorpus, metric: str = "accuracy", learner: Any = None) -> LabelingEngine:
    engine = LabelingEngine([corpus], OPTIONS, 20, [metric], learner)
    engine.reset([Streams(seed) for seed in range(20)])
    return engine


@pytest.mark.parametrize("name", ["learned", "imitated", "learned-tagging"])
def test_a_policy_that_ships_chooses_what_it_chooses_on_a_cpu(name: str, cuda: str) -> None:
    policy = LearnedStrategy.from_pretrained(name)
    if name == "learned-tagging":
        corpora = [synthetic_tagged(200, 3, device=device) for device in ("cpu", cuda, "cpu")]
        engines = [started(corpus, "entity_f1", TaggerSettings()) for corpus in corpora]
    else:
        engines = [started(encoded(device)) for device in ("cpu", cuda, "cpu")]
    found = [policy.select(engine.view, 3) for engine in engines]
    assert found[1].is_cuda
    assert torch.equal(found[0], found[1].cpu())
    assert torch.equal(found[0], found[2]), "the policy goes back to where the pools are"
    torch.testing.assert_close(
        policy.score(engines[0].view), policy.score(engines[1].view).cpu(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    "name", ["per-cost:learned", "proxy:learned", "subsample:learned", "distinct:learned"]
)
def test_strategies_that_ask_the_policy_choose_on_the_device(name: str, cuda: str) -> None:
    engine = started(encoded(cuda))
    ids = make_strategy(name).select(engine.view, 3)
    assert ids.is_cuda
    engine.step(ids)
    engine.step(make_strategy("random").select(engine.view, 2).tolist())
    engine.step(make_strategy("random").select(engine.view, 2).cpu().numpy())
    engine.step(make_strategy("random").select(engine.view, 2).cpu())
    assert engine.spent.tolist() == [9.0] * 20


@pytest.mark.parametrize("network", ["scorer", "attention"])
def test_imitation_learns_on_the_device(network: str, tmp_path: Path, cuda: str) -> None:
    settings = ImitationSettings(**SMALL, network=network)
    corpus = encoded(cuda)
    imitate([corpus], Validation([World([corpus], OPTIONS)], 2), OPTIONS, settings, tmp_path, "mine")
    policy = load_scorer(tmp_path / "policy")
    assert policy.select(started(corpus).view, 3).is_cuda


def test_a_policy_is_adjusted_on_the_device(tmp_path: Path, cuda: str) -> None:
    settings = AdjustmentSettings(
        directions=("mixture",), gates=("number of classes, log scale",), updates=1, pairs=2, tasks=2,
        checks=1, batch_sizes=(3,), rounds=(2,), initial_sizes=(5,), pool_sizes=(40,), validation_groups=1,
        kinds={"own": 1.0}, least_labels=2, most_labels=10,
    )  # fmt: skip
    adjust([encoded(cuda), encoded(cuda, 4)], OPTIONS, settings, tmp_path, "mine")
    assert isinstance(load_scorer(tmp_path / "policy"), ScorerStrategy)


SPACES: dict[str, dict[str, Any]] = {
    "weigh-scores": {"stop": True},
    "choose-strategy": {"strategies": ["random", "margin", "mixture"], "stop": True},
    "pick-candidate": {"candidates": 6, "stop": True},
    "decision-units": {
        "strategies": ["margin", "mixture"], "batch_sizes": [1, 3], "recipes": ["plain", "smooth"],
    },
}  # fmt: skip


@pytest.mark.parametrize("space", SPACES)
def test_an_environment_steps_on_the_device(space: str, cuda: str) -> None:
    env = build_environment(
        encoded(cuda), action_space=space, episode=OPTIONS, n_episodes=3, device=cuda, **SPACES[space]
    )
    assert isinstance(env, BatchedLabeling)
    env.reset([Streams(seed) for seed in range(3)])
    actions = env.interface.action_space
    actions.seed(0)
    for _ in range(3):
        transition = env.step(np.stack([actions.sample() for _ in range(3)]))
        assert np.isfinite(transition.rewards).all()
    env.load_state(env.state())


@pytest.mark.parametrize("space", ["scorer", "pick-candidate"])
def test_a_policy_is_explained_on_the_device(space: str, cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_rl.experiments.explain.explaining.EXPLAINED", 2)
    config = CompareConfig.model_validate(
        {"name": "s", "corpora": [{"corpus": "synthetic"}], "seeds": 2, "episode": OPTIONS.model_dump()}
    )
    policy: Any = LearnedStrategy.from_pretrained()
    if space != "scorer":
        interface = make_interface(space, make_observation("context", "accuracy"))
        made = build_policy("PPO", {}, interface.observation_space, interface.action_space)
        policy = LearnedStrategy("mine", made, interface)
    found = explain(policy, [encoded(cuda)], config, "1", terms=2)
    assert len(found.drivers) > 0
