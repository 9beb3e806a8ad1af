"""Small trainings on the corpus that is made in code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from react_rl.agents import AgentSettings, PolicyCard, TrainingProgress, Validation, train
from react_rl.envs.build import build_environment
from react_rl.envs.rewards import RewardSettings
from react_rl.simulation import EncodedCorpus, EpisodeOptions, synthetic_encoded
from react_rl.simulation.world import World

EPISODE = EpisodeOptions(pool_size=40, dev_size=30, initial_size=4, budget=12, batch_size=4)
SMALL: dict[str, Any] = {
    "episodes": 16, "n_envs": 4, "episodes_per_update": 1, "evaluations": 4, "evaluation_episodes": 4,
    "minibatches": 2, "epochs": 2, "layers": (8,),
}  # fmt: skip


@cache
def corpus() -> EncodedCorpus:
    return synthetic_encoded(200, 3)


@dataclass(frozen=True)
class Training:
    """What a training left behind."""

    folder: Path
    card: PolicyCard
    validation: Validation

    @property
    def policy(self) -> Path:
        return self.folder / "policy"


class Train(Protocol):
    def __call__(
        self,
        folder: Path,
        space: str = "weigh-scores",
        report: Callable[[TrainingProgress], None] | None = None,
        stop: bool = False,
        name: str = "learned",
        **changes: Any,
    ) -> Training: ...


@pytest.fixture(scope="session")
def small_training() -> Train:
    """Trains in about a tenth of a second; keyword arguments change the agent's settings."""

    def run(
        folder: Path,
        space: str = "weigh-scores",
        report: Callable[[TrainingProgress], None] | None = None,
        stop: bool = False,
        name: str = "learned",
        **changes: Any,
    ) -> Training:
        settings = AgentSettings(**(SMALL | changes))
        core = build_environment(
            corpus(), space, reward="area", episode=EPISODE, n_episodes=settings.n_envs, stop=stop
        )
        validation = Validation([World([corpus()], EPISODE)], settings.evaluation_episodes)
        card = train(core, validation, settings, RewardSettings(), folder, name, report)
        return Training(folder, card, validation)

    return run


@pytest.fixture(scope="session")
def trained(small_training: Train, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A weigh-scores policy of PPO; tests must not change its files."""
    return small_training(tmp_path_factory.mktemp("trained"), name="weigher")


@pytest.fixture(scope="session")
def trained_chooser(small_training: Train, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A choose-strategy policy of DQN with a stop action; tests must not change its files."""
    return small_training(
        tmp_path_factory.mktemp("chooser"), "choose-strategy", stop=True, algorithm="DQN", name="chooser"
    )
