"""Training: repeatable, polite to global random states, and the best policy by validation is kept."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from react_rl.acquisition import make_strategy
from react_rl.agents import AgentSettings, LearnedStrategy, TrainingProgress, Validation, read_card, train
from react_rl.agents.settings import algorithm_arguments
from react_rl.envs.build import build_environment
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.world import World

FITTING = [
    ("PPO", "weigh-scores"),
    ("PPO", "choose-strategy"),
    ("A2C", "weigh-scores"),
    ("A2C", "choose-strategy"),
    ("SAC", "weigh-scores"),
    ("DQN", "choose-strategy"),
]


@pytest.mark.parametrize(("algorithm", "space"), FITTING)
def test_the_same_seed_trains_the_same_policy_and_another_seed_another(
    small_training: Any, tmp_path: Path, algorithm: str, space: str
) -> None:
    made = [
        small_training(tmp_path / str(i), space, algorithm=algorithm, seed=seed)
        for i, seed in enumerate((3, 3, 4))
    ]
    bytes_of = [(one.policy / "policy.safetensors").read_bytes() for one in made]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    cards = [(one.policy / "card.json").read_bytes() for one in made]
    assert cards[0] == cards[1] != cards[2]


@pytest.mark.parametrize(("algorithm", "space"), FITTING)
def test_a_policy_learns_something_and_its_card_says_how(
    small_training: Any, tmp_path: Path, algorithm: str, space: str
) -> None:
    done = small_training(tmp_path, space, algorithm=algorithm)
    points = done.card.validation
    assert points[0]["episodes"] == 0
    assert points[-1]["episodes"] >= 16
    assert [p["episodes"] for p in points] == sorted({p["episodes"] for p in points})
    best = max(points, key=lambda p: p["area"])
    assert done.card.chosen_at == best["episodes"]
    assert done.card.algorithm == algorithm
    assert done.card.action_space["name"] == space
    assert set(done.card.baselines) == {"random", "margin", "mixture"}
    assert read_card(done.policy) == done.card
    written = list(csv.DictReader((tmp_path / "validation.csv").open()))
    assert [{k: float(v) for k, v in row.items()} for row in written] == points


def test_training_leaves_the_global_random_states_as_they_were(small_training: Any, tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(3)
    expected = random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(3)
    for algorithm, space in (("PPO", "weigh-scores"), ("DQN", "choose-strategy")):
        small_training(tmp_path / algorithm, space, algorithm=algorithm)
    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected  # noqa: NPY002


def test_global_random_states_do_not_leak_into_training(small_training: Any, tmp_path: Path) -> None:
    weights = []
    for i in range(2):
        random.seed(i)
        np.random.seed(i)  # noqa: NPY002
        torch.manual_seed(i)
        done = small_training(tmp_path / str(i), "weigh-scores", algorithm="SAC")
        weights.append((done.policy / "policy.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("algorithm", "space", "able"),
    [
        ("DQN", "weigh-scores", "PPO, A2C, TRPO, RecurrentPPO, SAC, TD3, ARS"),
        (
            "SAC",
            "choose-strategy",
            "PPO, A2C, TRPO, MaskablePPO, RecurrentPPO, DQN, QRDQN, BoltzmannDQN, ARS",
        ),
    ],
)
def test_an_algorithm_that_cannot_act_in_the_space_is_refused_before_anything_is_written(
    small_training: Any, tmp_path: Path, algorithm: str, space: str, able: str
) -> None:
    with pytest.raises(ReActError, match=rf"^{algorithm} cannot act in .*; use one of {able}\.$"):
        small_training(tmp_path / "out", space, algorithm=algorithm)
    assert not (tmp_path / "out").exists()


def test_every_rollout_that_is_played_is_learned_from(
    small_training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected, learned = [], []
    collect, learn = OnPolicyAlgorithm.collect_rollouts, algorithm_class("A2C").train

    def counted_collect(self: Any, *arguments: Any, **named: Any) -> bool:
        finished = collect(self, *arguments, **named)
        collected.append(finished)
        return finished

    def counted_learn(self: Any) -> None:
        learned.append(True)
        learn(self)

    monkeypatch.setattr(OnPolicyAlgorithm, "collect_rollouts", counted_collect)
    monkeypatch.setattr(algorithm_class("A2C"), "train", counted_learn)
    small_training(tmp_path, algorithm="A2C", episodes=10, n_envs=4)
    # 10 episodes of 4 side by side are 3 rollouts.
    assert sum(collected) == len(learned) == 3


def test_a_training_shorter_than_one_rollout_still_learns(small_training: Any, tmp_path: Path) -> None:
    saved: list[dict[str, torch.Tensor]] = []

    def note(progress: TrainingProgress) -> None:
        saved.append(load_file(tmp_path / "policy" / "policy.safetensors"))

    done = small_training(tmp_path, report=note, episodes=3, n_envs=4, learning_rate=0.05)
    areas = {point["area"] for point in done.card.validation}
    assert len(areas) > 1, "the policy after the only update must not be the one before it"


def test_the_kept_weights_are_those_of_the_best_validation(small_training: Any, tmp_path: Path) -> None:
    snapshots: dict[float, bytes] = {}

    def note(progress: TrainingProgress) -> None:
        # The best weights are on disk whenever progress is told.
        snapshots[progress.best] = (tmp_path / "policy" / "policy.safetensors").read_bytes()

    done = small_training(tmp_path, report=note, episodes=48, evaluations=12, learning_rate=0.05, seed=1)
    best = max(point["area"] for point in done.card.validation)
    assert len({point["area"] for point in done.card.validation}) > 2
    assert list(snapshots) == sorted(snapshots), "best never falls"
    assert (done.policy / "policy.safetensors").read_bytes() == snapshots[best]
    again = done.validation.areas(LearnedStrategy.load(done.policy)).mean()
    assert again == pytest.approx(best, abs=1e-6)


def test_progress_counts_up_to_the_episodes_that_were_asked_for(small_training: Any, tmp_path: Path) -> None:
    told: list[TrainingProgress] = []
    small_training(tmp_path, report=told.append)
    counts = [progress.episodes for progress in told]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 16
    assert {progress.total for progress in told} == {16}


def test_progress_tells_of_the_whole_last_rollout_as_the_card_does(
    small_training: Any, tmp_path: Path
) -> None:
    told: list[TrainingProgress] = []
    # 10 episodes of 4 side by side are 3 rollouts: 12 episodes.
    done = small_training(tmp_path, report=told.append, algorithm="A2C", episodes=10, n_envs=4)
    assert (told[0].episodes, told[0].total) == (0, 10)
    assert (told[-1].episodes, told[-1].total) == (12, 12)
    assert told[-1].episodes == done.card.validation[-1]["episodes"]


def test_an_interrupted_training_leaves_the_best_policy_so_far(small_training: Any, tmp_path: Path) -> None:
    def interrupt(progress: TrainingProgress) -> None:
        if progress.episodes >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_training(tmp_path, report=interrupt)
    strategy = LearnedStrategy.load(tmp_path / "policy")
    assert strategy.name == "learned"
    rows = list(csv.DictReader((tmp_path / "validation.csv").open()))
    assert float(rows[0]["episodes"]) == 0
    card = read_card(tmp_path / "policy")
    assert card.chosen_at in {float(row["episodes"]) for row in rows}


def test_logs_are_written_beside_the_policy_and_not_into_it(small_training: Any, tmp_path: Path) -> None:
    small_training(tmp_path)
    with (tmp_path / "logs" / "progress.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"validation/area", "train/loss", "time/total_timesteps"} <= set(columns)
    assert {file.name for file in (tmp_path / "policy").iterdir()} == {"card.json", "policy.safetensors"}


@pytest.mark.parametrize(("price", "rounds"), [(1.0, 3), (4.0, 1), (0.25, 9)])
def test_rollouts_follow_from_the_cost_of_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, price: float, rounds: int
) -> None:
    # Pool 40 less 4 leaves 9 batches of 4; a budget of 12 at price 1 buys 3 of them.
    data = synthetic_encoded(200, 3)
    priced = replace(
        data,
        corpus=replace(data.corpus, cost=np.full(data.corpus.n_rows, price)),
        cost=torch.full_like(data.cost, price),
    )
    budget = min(12.0, 36 * price)
    options = EpisodeOptions(pool_size=40, dev_size=30, initial_size=4, budget=budget, batch_size=4)
    settings = AgentSettings(episodes=4, n_envs=2, evaluations=1, evaluation_episodes=2, layers=(4,))
    seen: list[int] = []

    def spy(agent: AgentSettings, count: int, space: Any) -> dict[str, Any]:
        seen.append(count)
        return algorithm_arguments(agent, count, space)

    monkeypatch.setattr("react_rl.agents.training.algorithm_arguments", spy)
    core = build_environment(priced, episode=options, n_episodes=2)
    train(core, Validation([World([priced], options)], 2), settings, RewardSettings(), tmp_path)
    assert seen == [rounds]


@pytest.mark.parametrize(
    "wrong",
    [{"algorithm": "TRPX"}, {"episodes": 0}, {"gamma": 1.5}, {"learning_rate": 0}, {"episode": 4}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AgentSettings(**wrong)


def test_ppo_rollouts_hold_whole_episodes_and_split_into_minibatches() -> None:
    settings = AgentSettings(n_envs=16, episodes_per_update=3, minibatches=4)
    space = gymnasium.spaces.Discrete(3)
    arguments = algorithm_arguments(settings, 5, space)
    assert arguments["n_steps"] == 15
    assert arguments["batch_size"] == 15 * 16 / 4
    assert "batch_size" not in algorithm_arguments(settings.model_copy(update={"algorithm": "A2C"}), 5, space)


def test_the_card_is_plain_json_that_names_corpora_by_content(trained: Any) -> None:
    card = json.loads((trained.policy / "card.json").read_text())
    corpus = synthetic_encoded(200, 3).corpus
    assert card["trained_on"] == {"synthetic": corpus.digest()}
    assert card["validated_on"] == {"synthetic": corpus.digest()}
    assert card["episode"]["budget"] == 12
    assert card["settings"]["algorithm"] == "PPO"
    assert {"torch", "stable-baselines3", "react-rl"} <= set(card["versions"])


def algorithm_class(name: str) -> Any:
    from react_rl.agents import ALGORITHMS

    return ALGORITHMS[name].kind


def test_the_best_policy_is_chosen_by_the_metric_it_is_paid_for() -> None:
    episode = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=20, batch_size=4)
    strategy = make_strategy("margin")
    by_accuracy = Validation([World([synthetic_encoded()], episode)], 6).areas(strategy)
    by_loss = Validation([World([synthetic_encoded()], episode)], 6, metric="log_loss").areas(strategy)
    both = Validation([World([synthetic_encoded()], episode)], 6, observed=("log_loss",)).areas(strategy)
    assert (by_accuracy > 0).all()
    assert (by_loss < 0).all()  # a loss counts negatively: larger is better
    np.testing.assert_array_equal(by_accuracy, both)


def test_a_card_names_the_metric_that_the_policy_sees(small_training: Any, tmp_path: Path) -> None:
    done = small_training(tmp_path, "weigh-scores")
    assert done.card.observation["metric"] == done.card.reward["metric"] == "accuracy"
    env = build_environment(reward={"kind": "gain", "metric": "log_loss"})
    assert env.interface.observation.describe()["metric"] == "log_loss"
    env.reset([Streams(0)])
    assert env.summary(0)["log_loss"] == env.parts[0].engine.current["log_loss"][0]
