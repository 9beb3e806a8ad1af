"""A training that was stopped goes on from its checkpoint and ends where an undisturbed one ends."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.agents import AgentSettings, TrainingProgress, Validation, train
from react_rl.agents.folder import PolicyCard
from react_rl.agents.settings import Algorithm
from react_rl.envs import RewardSettings, make_interface
from react_rl.envs.many_worlds import labeling
from react_rl.simulation import EncodedCorpus, EpisodeOptions, synthetic_encoded
from react_rl.simulation.drawn_options import DrawSettings, drawn_options
from react_rl.simulation.world import World

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=12, batch_size=4)
CORPUS = synthetic_encoded(n_rows=200)


class Stop(Exception):
    """Stands for whatever ends a process."""


PRICED = CORPUS.with_corpus(
    replace(CORPUS.corpus, cost=np.random.default_rng(0).choice([0.5, 1.0, 2.0], CORPUS.corpus.n_rows))
)
REWARD = RewardSettings(cost_weight=0.01)
SPACES = {"PPO": "weigh-scores", "A2C": "choose-strategy", "SAC": "weigh-scores", "DQN": "choose-strategy"}


def _train(
    folder: Path,
    algorithm: Algorithm = "PPO",
    stop_at: int | None = None,
    seed: int = 3,
    stop: bool = False,
    corpus: EncodedCorpus = CORPUS,
    reward: RewardSettings = REWARD,
    draws: DrawSettings | None = None,
    **changes: Any,
) -> PolicyCard:
    def report(state: TrainingProgress) -> None:
        if stop_at is not None and state.episodes >= stop_at:
            raise Stop

    values: dict[str, Any] = {
        "algorithm": algorithm,
        "episodes": 64,
        "n_envs": 4,
        "minibatches": 2,
        "epochs": 2,
        "evaluations": 8,
        "evaluation_episodes": 4,
        "layers": (8,),
        "seed": seed,
    }
    settings = AgentSettings(**(values | changes))
    space = make_interface(SPACES[algorithm], stop=stop)
    worlds = [World([corpus], OPTIONS)]
    core = labeling(worlds, space, reward, settings.n_envs, draws)
    return train(core, Validation(worlds, 4), settings, reward, folder, report=report)


def _weights(folder: Path) -> bytes:
    return (folder / "policy" / "policy.safetensors").read_bytes()


def _log(folder: Path) -> list[dict[str, str]]:
    """Lines of the log without what a clock says."""
    with (folder / "logs" / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("time/fps", "time/time_elapsed")} for row in rows]


def _events(folder: Path) -> list[tuple[int, list[tuple[str, float]]]]:
    """Steps and numbers of the TensorBoard log without what a clock says."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    (file,) = (folder / "logs").glob("*tfevents*")
    events = [Event.FromString(raw) for raw in RawEventFileLoader(str(file)).Load()]
    return [
        (event.step, [(v.tag, v.simple_value) for v in event.summary.value if v.tag != "time/fps"])
        for event in events
    ]


def _assert_same(one: Path, other: Path) -> None:
    assert _weights(one) == _weights(other)
    assert (one / "validation.csv").read_bytes() == (other / "validation.csv").read_bytes()
    assert _log(one) == _log(other)
    assert _events(one) == _events(other)
    assert not (other / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC", "DQN"])
def test_a_training_stopped_twice_equals_an_undisturbed_one(tmp_path: Path, algorithm: Algorithm) -> None:
    # SAC and DQN write a line for a hundred episodes.
    episodes = 64 if algorithm in ("PPO", "A2C") else 224
    straight = _train(tmp_path / "straight", algorithm, episodes=episodes)
    for share in (3, 5):
        with pytest.raises(Stop):
            _train(tmp_path / "stopped", algorithm, stop_at=share * episodes // 8, episodes=episodes)
        assert (tmp_path / "stopped" / "checkpoint.safetensors").is_file()
    resumed = _train(tmp_path / "stopped", algorithm, episodes=episodes)
    assert resumed == straight
    assert len(_log(tmp_path / "straight")) >= 2
    _assert_same(tmp_path / "straight", tmp_path / "stopped")


def test_a_finished_training_is_kept_and_another_one_replaces_it(tmp_path: Path) -> None:
    card = _train(tmp_path, "PPO")
    before = _weights(tmp_path)
    with pytest.warns(
        UserWarning, match=r"holds this training, finished, so nothing was trained; with --over"
    ):
        assert _train(tmp_path, "PPO", stop_at=0) == card  # the first report would stop it
    assert _weights(tmp_path) == before
    with pytest.raises(Stop):
        _train(tmp_path, "PPO", seed=1, stop_at=0)
    assert not (tmp_path / "finished").exists()
    with pytest.raises(Stop):  # its policy may be replaced by now
        _train(tmp_path, "PPO", stop_at=0)


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "DQN"])
def test_episodes_of_different_lengths_go_on_where_they_were(tmp_path: Path, algorithm: Algorithm) -> None:
    """Prices and a stop action let episodes end at different steps, so most are under way at a checkpoint."""
    straight = _train(tmp_path / "straight", algorithm, stop=True, corpus=PRICED, evaluations=13)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", algorithm, stop_at=37, stop=True, corpus=PRICED, evaluations=13)
    assert _train(tmp_path / "stopped", algorithm, stop=True, corpus=PRICED, evaluations=13) == straight
    _assert_same(tmp_path / "straight", tmp_path / "stopped")


def test_paired_rewards_of_episodes_under_way_come_back(tmp_path: Path) -> None:
    paired = REWARD.model_copy(update={"against": "mixture", "group_size": 2})
    how: dict[str, Any] = {"stop": True, "corpus": PRICED, "evaluations": 13, "reward": paired}
    straight = _train(tmp_path / "straight", **how)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", stop_at=37, **how)
    assert _train(tmp_path / "stopped", **how) == straight
    _assert_same(tmp_path / "straight", tmp_path / "stopped")


def test_groups_of_drawn_sizes_go_on_where_they_were(tmp_path: Path) -> None:
    draws = DrawSettings(
        pool_sizes=(40, 60),
        initial_sizes=(4, 8),
        batch_sizes=(1, 3, 6),
        rounds=(2, 4),
        label_noise=(0.0, 0.2),
    )
    how: dict[str, Any] = {"evaluations": 13, "draws": draws}
    straight = _train(tmp_path / "straight", **how)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", stop_at=37, **how)
    assert _train(tmp_path / "stopped", **how) == straight
    _assert_same(tmp_path / "straight", tmp_path / "stopped")
    sizes = drawn_options(draws, OPTIONS, 4)
    assert straight.episode == {
        f"classification, slots {slot} to {slot}": one.model_dump(mode="json")
        for slot, one in enumerate(sizes)
    }
    # Other sizes are another training: what was begun with these is no checkpoint of it.
    with pytest.raises(Stop):
        _train(tmp_path / "other", stop_at=37, **how)
    other = _train(tmp_path / "other", **(how | {"draws": draws.model_copy(update={"seed": 1})}))
    assert other.validation != straight.validation


def test_a_full_replay_buffer_and_a_changing_exploration_come_back(tmp_path: Path) -> None:
    """The buffer is overwritten from its start, and exploration still falls after the resumption."""
    straight = _train(tmp_path / "straight", "DQN", episodes=400, n_envs=32)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", "DQN", stop_at=160, episodes=400, n_envs=32)
    assert _train(tmp_path / "stopped", "DQN", episodes=400, n_envs=32) == straight
    _assert_same(tmp_path / "straight", tmp_path / "stopped")
    rates = [float(row["rollout/exploration_rate"]) for row in _log(tmp_path / "stopped")]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("algorithm", ["SAC", "DQN"])
def test_returns_over_several_steps_come_back_also_from_a_full_buffer(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    how: dict[str, Any] = {"episodes": 160, "n_envs": 16, "n_steps": 3, "extra": {"buffer_size": 320}}
    straight = _train(tmp_path / "straight", algorithm, **how)
    with pytest.raises(Stop):
        _train(tmp_path / "stopped", algorithm, stop_at=120, **how)
    assert _train(tmp_path / "stopped", algorithm, **how) == straight
    _assert_same(tmp_path / "straight", tmp_path / "stopped")
    one = _train(tmp_path / "one", algorithm, **(how | {"n_steps": 1}))
    assert one.validation != straight.validation or _weights(tmp_path / "one") != _weights(
        tmp_path / "straight"
    )


def test_removed_logs_do_not_stop_a_training(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _train(tmp_path, stop_at=40)
    shutil.rmtree(tmp_path / "logs")
    _train(tmp_path)
    assert 0 < len(_log(tmp_path)) < 8
    assert len(_events(tmp_path)) == 1 + len(_log(tmp_path))


def test_a_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _train(tmp_path, stop_at=40, seed=4)
    assert _train(tmp_path, seed=3) == _train(tmp_path / "fresh", seed=3)
    assert _log(tmp_path) == _log(tmp_path / "fresh"), "the logs of the other training are replaced"


def test_a_damaged_checkpoint_begins_the_training_again(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _train(tmp_path, stop_at=40)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert _train(tmp_path) == _train(tmp_path / "fresh")
