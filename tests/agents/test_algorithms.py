"""Every algorithm trains, is saved, loaded and resumed on spaces that it fits, and is refused on others."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from react_rl.agents import ALGORITHMS, AgentSettings, BoltzmannDQN, LearnedStrategy, Validation, train
from react_rl.agents.algorithms import check_spaces
from react_rl.agents.extra import parameters_of
from react_rl.envs import BatchedLabeling, LabelingVecEnv, RewardSettings, make_interface
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.world import World

OPTIONS = EpisodeOptions(pool_size=30, dev_size=30, initial_size=5, budget=8, batch_size=4)
DATA = synthetic_encoded(200, 3)
BOX = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
DICT = gymnasium.spaces.Dict({"context": BOX})

FITTING = [
    ("MaskablePPO", "pick-candidate", {"candidates": 6, "features": ["margin", "novelty"]}),
    ("RecurrentPPO", "weigh-scores", {}),
    ("TRPO", "choose-strategy", {"strategies": ["random", "margin"]}),
    ("QRDQN", "choose-strategy", {"strategies": ["random", "margin"]}),
    ("BoltzmannDQN", "pick-candidate", {"candidates": 6, "features": ["margin", "novelty"], "stop": True}),
    ("TD3", "weigh-scores", {"features": ["margin", "novelty"]}),
    ("ARS", "weigh-scores", {"features": ["margin", "novelty"]}),
]

EXTRA = {"ARS": {"n_delta": 1}, "QRDQN": {"policy_kwargs": {"n_quantiles": 5}}}


class Killed(Exception):
    """Stands for a kill."""


def trained(folder: Path, algorithm: str, space: str, kill: bool = False, **given: Any) -> Any:
    settings = AgentSettings.model_validate(
        {
            "algorithm": algorithm,
            "episodes": 8,
            "n_envs": 2,
            "episodes_per_update": 1,
            "minibatches": 2,
            "epochs": 1,
            "evaluations": 2,
            "evaluation_episodes": 2,
            "layers": (8,),
            "extra": EXTRA.get(algorithm, {}),
        }
    )
    core = BatchedLabeling([DATA], OPTIONS, make_interface(space, **given), RewardSettings(scale="one"), 2)

    def report(progress: Any) -> None:
        if kill and progress.episodes >= 6:
            raise Killed

    return train(
        core, Validation([World([DATA], OPTIONS)], 2), settings, RewardSettings(), folder, report=report
    )


@pytest.mark.parametrize(("algorithm", "space", "given"), FITTING, ids=[one[0] for one in FITTING])
def test_it_trains_and_resumes_to_the_last_bit(
    algorithm: str, space: str, given: dict[str, Any], tmp_path: Path
) -> None:
    card = trained(tmp_path / "whole", algorithm, space, **given)
    assert card.algorithm == algorithm
    assert card.validation[-1]["episodes"] >= 8
    assert ("sb3-contrib" in card.versions) == (algorithm not in ("TD3", "BoltzmannDQN"))
    with pytest.raises(Killed):
        trained(tmp_path / "cut", algorithm, space, kill=True, **given)
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    again = trained(tmp_path / "cut", algorithm, space, **given)
    assert again == card
    weights = [(tmp_path / name / "policy" / "policy.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    strategy = LearnedStrategy.load(tmp_path / "whole" / "policy")
    ids = []
    for _ in range(2):
        engine = LabelingEngine([DATA], OPTIONS, 2)
        engine.reset([Streams(k) for k in range(2)])
        ids.append(strategy.select(engine.view, 4).tolist())
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("name", "observations", "actions", "sentence"),
    [
        ("MaskablePPO", BOX, BOX, r"MaskablePPO cannot act in the space Box.*use one of PPO, A2C, TRPO"),
        ("TD3", BOX, gymnasium.spaces.Discrete(3), "TD3 cannot act in .*Discrete"),
        ("QRDQN", BOX, gymnasium.spaces.MultiDiscrete([2, 3]), "QRDQN cannot act .* use one of PPO"),
        ("ARS", DICT, gymnasium.spaces.Discrete(3), "ARS cannot see observations that are dicts"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(
    name: str, observations: Any, actions: Any, sentence: str
) -> None:
    with pytest.raises(ReActError, match=sentence):
        check_spaces(name, observations, actions)


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_every_algorithm_fits_some_space_and_says_where_it_comes_from(name: str) -> None:
    entry = ALGORITHMS[name]
    assert entry.spaces
    assert any(digit.isdigit() for digit in entry.source)
    assert not entry.summary.endswith(".")
    own = set(inspect.signature(entry.kind).parameters) - {"args", "kwargs"}
    assert own | {"learning_rate"} <= set(parameters_of(entry.kind))


def boltzmann(**given: Any) -> BoltzmannDQN:
    env = LabelingVecEnv(n_episodes=2, corpus=DATA, episode=OPTIONS, action_space="choose-strategy")
    return BoltzmannDQN("MlpPolicy", env, seed=0, exploration_fraction=0.5, **given)


def test_boltzmann_draws_actions_by_the_softmax_of_their_values() -> None:
    model = boltzmann(initial_alpha=2.0, final_alpha=2.0)
    observation = np.zeros((4000, 22), dtype=np.float32)
    with torch.no_grad():
        values = model.q_net(torch.zeros(1, 22))[0]
    drawn, _ = model.predict(observation)
    shares = np.bincount(drawn, minlength=6) / drawn.size
    np.testing.assert_allclose(shares, torch.softmax(2.0 * values, 0).numpy(), atol=0.03)
    best, _ = model.predict(observation[:3], deterministic=True)
    assert best.tolist() == [int(values.argmax())] * 3


def test_its_temperature_falls_geometrically_and_then_stays() -> None:
    model = boltzmann(initial_alpha=1.0, final_alpha=100.0)
    for left, alpha in ((1.0, 1.0), (0.75, 10.0), (0.5, 100.0), (0.1, 100.0)):
        model._current_progress_remaining = left
        assert model.alpha == pytest.approx(alpha)
    with pytest.raises(ValueError, match=r"initial_alpha 3.0 and final_alpha 2.0"):
        boltzmann(initial_alpha=3.0, final_alpha=2.0)


def test_a_recurrent_policy_remembers_its_episode_and_nobody_elses(tmp_path: Path) -> None:
    trained(tmp_path, "RecurrentPPO", "weigh-scores")
    strategy = LearnedStrategy.load(tmp_path / "policy")
    torch.manual_seed(0)
    for weights in strategy.policy.parameters():
        torch.nn.init.normal_(weights, std=0.5)

    def actions(seeds: list[int], rounds: int) -> list[Any]:
        engine = LabelingEngine([DATA], OPTIONS.model_copy(update={"budget": 16.0}), len(seeds))
        engine.reset([Streams(k) for k in seeds])
        found = []
        for _ in range(rounds):
            found.append(strategy.act(strategy.interface.frame(engine.view)))
            engine.step(strategy.select(engine.view, 4))
        return found

    together, alone = actions([0, 1], 3), actions([1], 3)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[1], other[0], atol=1e-4)
    engine = LabelingEngine([DATA], OPTIONS, 1)
    engine.reset([Streams(1)])
    engine.step(strategy.select(engine.view, 4))
    fresh = LearnedStrategy("another page", strategy.policy, strategy.interface)
    frame = strategy.interface.frame(engine.view)
    assert not np.allclose(fresh.act(frame), strategy.act(frame))
