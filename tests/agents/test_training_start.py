"""A training that begins from an existing policy, and the sentences for policies that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch

from react_rl.agents import AgentSettings, Validation, load_policy, train
from react_rl.agents.start import starting_weights
from react_rl.envs.batched import BatchedLabeling
from react_rl.envs.interfaces import make_interface
from react_rl.envs.observations import make_observation
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError
from react_rl.learners.finetune import FineTune, FineTuneSettings
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.world import World

EPISODE = EpisodeOptions(pool_size=40, dev_size=30, initial_size=4, budget=12, batch_size=4)
SETTINGS = AgentSettings(
    episodes=8, n_envs=4, episodes_per_update=1, evaluations=1, evaluation_episodes=2, minibatches=2,
    epochs=1, layers=(8,), start=Path("somewhere"),
)  # fmt: skip

Train = Callable[..., Any]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_policy(folder)[0].state_dict()
    return state


def distance(one: Path, other: Path) -> float:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def test_steps_of_no_length_keep_the_weights_it_began_from(
    trained: Any, small_training: Train, tmp_path: Path
) -> None:
    same = small_training(tmp_path / "same", start=trained.policy, learning_rate=1e-30)
    assert distance(same.policy, trained.policy) == 0.0
    assert same.card.settings["start"] == str(trained.policy)
    fresh = small_training(tmp_path / "fresh", seed=9, learning_rate=1e-30)
    assert distance(fresh.policy, trained.policy) > 0.01
    assert "start" not in fresh.card.settings


def test_the_first_measurement_is_that_of_the_policy_it_began_from(
    trained: Any, small_training: Train, tmp_path: Path
) -> None:
    further = small_training(tmp_path, start=trained.policy, seed=5)
    best = max(point["area"] for point in trained.card.validation)
    assert further.card.validation[0] == {**further.card.validation[0], "episodes": 0.0, "area": best}
    assert max(point["area"] for point in further.card.validation) >= best


@pytest.mark.parametrize(("space", "algorithm"), [("weigh-scores", "SAC"), ("choose-strategy", "DQN")])
def test_off_policy_algorithms_begin_from_a_policy_too(
    small_training: Train, tmp_path: Path, space: str, algorithm: str
) -> None:
    first = small_training(tmp_path / "first", space, algorithm=algorithm)
    same = small_training(
        tmp_path / "same", space, algorithm=algorithm, start=first.policy, seed=9, learning_rate=1e-30
    )
    assert distance(same.policy, first.policy) < 1e-6


def test_a2c_and_ppo_share_their_network(trained: Any, small_training: Train, tmp_path: Path) -> None:
    same = small_training(tmp_path, start=trained.policy, algorithm="A2C", learning_rate=1e-30)
    assert distance(same.policy, trained.policy) == 0.0


def test_the_global_random_state_is_left_alone(trained: Any, small_training: Train, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    small_training(tmp_path, start=trained.policy)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_policy_of_the_frozen_encoder_is_trained_further_on_fine_tuned_transformers(
    trained: Any,
    tmp_path: Path,
    save_bert: Callable[[Path, Sequence[str]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "cache"))
    corpus = synthetic_encoded(200, 3)
    words = {word for text in corpus.corpus.texts for word in text.split()}
    learner: LearnerSettings = FineTuneSettings(
        model=str(save_bert(tmp_path / "bert", sorted(words))), precision="fp32", epochs=1, max_length=12
    )
    settings = SETTINGS.model_copy(update={"start": trained.policy})
    core = BatchedLabeling([corpus], EPISODE, make_interface("weigh-scores"), RewardSettings(), 4, learner)
    validation = Validation([World([corpus], EPISODE, learner)], 2)
    card = train(core, validation, settings, RewardSettings(), tmp_path / "further")
    assert [point["episodes"] for point in card.validation] == [0.0, 8.0]
    assert isinstance(core.engine.learner, FineTune)
    assert core.engine.learner.steps > 0, "transformers were trained"


def refused(trained: Any, space: dict[str, Any] | None = None, **changes: Any) -> str:
    settings = SETTINGS.model_copy(update={"start": trained.policy} | changes)
    with pytest.raises(ReActError) as caught:
        starting_weights(settings, make_interface(**(space or {"name": "weigh-scores"})))
    message = str(caught.value)
    assert "\n" not in message
    assert str(settings.start) in message
    return message


def test_a_policy_for_another_action_space_is_refused(trained: Any) -> None:
    said = refused(trained, {"name": "choose-strategy"}, algorithm="DQN")
    assert "its action_space.name is weigh-scores, here it is choose-strategy" in said
    assert "set action_space.name to the same or leave agent.start out" in said
    assert "its action_space.stop is False, here it is True" in refused(
        trained, {"name": "weigh-scores", "stop": True}
    )
    assert "action_space.features is ['margin'" in refused(
        trained, {"name": "weigh-scores", "features": ["entropy", "novelty"]}
    )
    # The same numbers mean other weights around another center.
    assert "action_space.center" in refused(trained, {"name": "weigh-scores", "center": {"margin": 1.0}})


def test_a_policy_of_another_network_is_refused(trained: Any) -> None:
    assert "its agent.layers is [8], here it is [16, 16]" in refused(trained, layers=(16, 16))
    said = refused(trained, algorithm="SAC")
    assert "was trained with PPO, whose network SAC cannot use; set agent.algorithm to PPO or A2C" in said


def test_a_policy_that_is_no_row_scorer_is_not_sharpened(trained: Any) -> None:
    assert "leave agent.sharpness out" in refused(trained, {"name": "weigh-scores"}, sharpness=4.0)


def test_a_policy_with_another_observation_is_refused(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    observation = make_observation()
    described = observation.describe() | {"numbers": 3}
    monkeypatch.setattr(type(observation), "describe", lambda _: described)
    with pytest.raises(ReActError, match=r"expects the observation .* train it again"):
        starting_weights(
            SETTINGS.model_copy(update={"start": trained.policy}),
            make_interface("weigh-scores", observation),
        )


def test_a_folder_without_policy_is_refused(tmp_path: Path, trained: Any) -> None:
    assert "is no policy" in refused(trained, start=tmp_path)


def test_a_training_does_not_write_over_the_policy_it_began_from(
    small_training: Train, tmp_path: Path
) -> None:
    first = small_training(tmp_path)
    before = (first.policy / "policy.safetensors").read_bytes()
    with pytest.raises(ReActError, match="is where this training writes; give the training another name"):
        small_training(tmp_path, start=first.policy)
    assert (first.policy / "policy.safetensors").read_bytes() == before


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def test_a_stopped_training_is_not_resumed_from_another_start(
    trained: Any, small_training: Train, tmp_path: Path
) -> None:
    other = small_training(tmp_path / "other", seed=7)

    def stop(state: Any) -> None:
        if state.episodes >= 8:
            raise Interrupted

    def checkpoint_key() -> str:
        with safetensors.safe_open(tmp_path / "stopped" / "checkpoint.safetensors", "pt") as file:
            return str(json.loads(file.metadata()["state"])["key"])

    keys = []
    link = tmp_path / "start"
    for policy in (trained.policy, other.policy):
        # The same path with other weights behind it.
        link.unlink(missing_ok=True)
        link.symlink_to(policy)
        with pytest.raises(Interrupted):
            small_training(tmp_path / "stopped", start=link, report=stop)
        keys.append(checkpoint_key())
    assert keys[0] != keys[1]
