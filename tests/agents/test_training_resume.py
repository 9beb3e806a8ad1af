"""A training that was stopped goes on from its checkpoint and ends where an undisturbed one ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from react_rl.agents import AgentSettings, TrainingProgress, Validation, train
from react_rl.agents.folder import PolicyCard
from react_rl.agents.settings import Algorithm
from react_rl.envs import BatchedLabeling, RewardSettings, make_action_space, make_observation
from react_rl.simulation import EpisodeOptions, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=12, batch_size=4)
CORPUS = synthetic_encoded(n_rows=200)


class Stop(Exception):
    """Stands for whatever ends a process."""


def _train(
    folder: Path, algorithm: Algorithm = "PPO", stop_at: int | None = None, seed: int = 3
) -> PolicyCard:
    def report(state: TrainingProgress) -> None:
        if stop_at is not None and state.episodes >= stop_at:
            raise Stop

    settings = AgentSettings(
        algorithm=algorithm,
        episodes=64,
        n_envs=4,
        minibatches=2,
        epochs=2,
        evaluations=8,
        evaluation_episodes=4,
        layers=(8,),
        seed=seed,
    )
    core = BatchedLabeling(
        [CORPUS], OPTIONS, make_action_space("weigh-scores"), make_observation(), RewardSettings(), 4
    )
    return train(core, Validation([CORPUS], OPTIONS, 4), settings, RewardSettings(), folder, report=report)


@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_a_resumed_training_equals_an_undisturbed_one(tmp_path: Path, algorithm: Algorithm) -> None:
    straight = _train(tmp_path / "straight", algorithm)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", algorithm, stop_at=40)
    state = json.loads((tmp_path / "stopped" / "checkpoint" / "state.json").read_text())
    assert 0 < state["finished"] < 64
    resumed = _train(tmp_path / "stopped", algorithm)
    assert resumed == straight
    one = safetensors.torch.load_file(tmp_path / "straight" / "policy" / "policy.safetensors")
    other = safetensors.torch.load_file(tmp_path / "stopped" / "policy" / "policy.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (tmp_path / "stopped" / "checkpoint").exists()


def test_a_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _train(tmp_path, stop_at=40, seed=4)
    assert _train(tmp_path, seed=3) == _train(tmp_path / "fresh", seed=3)


def test_a_damaged_checkpoint_begins_the_training_anew(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _train(tmp_path, stop_at=40)
    (tensors,) = (tmp_path / "checkpoint").glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:100])
    assert _train(tmp_path) == _train(tmp_path / "fresh")
