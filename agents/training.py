"""Training a policy with Stable-Baselines3 and keeping the one that validation episodes like best."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from react_rl.acquisition.features import code_of_feature, is_packaged_feature
from react_rl.acquisition.origin import is_packaged, parts_behind
from react_rl.acquisition.registry import make_strategy
from react_rl.agents.algorithms import ALGORITHMS
from react_rl.agents.checkpoint import Point, Resumed, TrainingCheckpoint
from react_rl.agents.evaluation import Validation
from react_rl.agents.finished import finished, mark_finished
from react_rl.agents.folder import (
    WEIGHTS,
    PolicyCard,
    curve_point,
    is_policy,
    read_card,
    save_card,
    save_policy,
    versions_of,
)
from react_rl.agents.learned import LearnedStrategy
from react_rl.agents.logs import TrainingLog
from react_rl.agents.networks.registry import NETWORKS, PLAIN, assembled, network_named
from react_rl.agents.settings import (
    AgentSettings,
    algorithm_arguments,
    check_fit,
    policy_arguments,
)
from react_rl.agents.start import network_of_start, start_folder, starting_weights
from react_rl.envs.interfaces import ACTION_SPACES
from react_rl.envs.many_worlds import Labeling
from react_rl.envs.observations import OBSERVATIONS
from react_rl.envs.paired import GROUP
from react_rl.envs.rewards import REWARDS, RewardSettings, reward_form
from react_rl.envs.sb3 import LabelingVecEnv
from react_rl.errors import ReActError
from react_rl.files import digest, write_atomically
from react_rl.learners.registry import entry_of
from react_rl.own_code import source_of, sources_outside

BASELINES = ("random", "margin", "mixture")
"""Fixed strategies whose validation areas are written beside the policy's."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands, for those who show it.

    Args:
        episodes: Training episodes finished.
        total: Training episodes asked for, or those finished where the last rollout went beyond.
        validation: Mean validation area when it was last measured.
        best: Best mean validation area so far.
    """

    episodes: int
    total: int
    validation: float
    best: float


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Give back the global random states, which Stable-Baselines3 seeds and draws from."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


class _KeepBest(BaseCallback):
    """Measures the policy on the validation episodes and saves it whenever it is the best so far."""

    def __init__(
        self,
        validation: Validation,
        strategy: LearnedStrategy,
        settings: AgentSettings,
        save: Callable[[list[dict[str, float]], int], None],
        note: Callable[[list[dict[str, float]]], None],
        report: Callable[[TrainingProgress], None] | None,
        keep: Callable[[Point], None],
    ) -> None:
        super().__init__()
        self._validation = validation
        self._strategy = strategy
        self._settings = settings
        self._save = save
        self._note = note
        self._report = report
        self._keep = keep
        self._every = max(settings.episodes // settings.evaluations, 1)
        self._finished = 0
        self._next = 0
        self._over = False
        self._chosen_at = 0
        self._seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self.best = -math.inf

    def resume(self, resumed: Resumed) -> None:
        """Go on from a checkpoint. Mutates."""
        point, self._seconds = resumed.point, resumed.seconds
        self._finished, self._next = point.finished, point.due
        self.curve, self.best, self._chosen_at = list(point.curve), point.best, point.chosen_at

    def _on_training_start(self) -> None:
        # Speed is that of the whole training, as if it had never been stopped.
        self.model.start_time -= int(self._seconds * 1e9)
        self.model._num_timesteps_at_start = 0

    def _on_rollout_start(self) -> None:
        if self._finished >= self._next:
            self.measure()
            self._next = self._finished + self._every
            self._keep(Point(self._finished, self._next, self.curve, self.best, self._chosen_at))
        # A rollout that is cut short is never learned from, so training ends between two of them.
        self._over = self._finished >= self._settings.episodes

    def _on_step(self) -> bool:
        if not self._over:
            self._finished += int(np.sum(self.locals["dones"]))
        return not self._over

    def _on_rollout_end(self) -> None:
        self._tell()

    def _on_training_end(self) -> None:
        self.measure()

    def measure(self) -> None:
        """Measure the policy now; save it if it is the best."""
        if self.curve and self.curve[-1]["episodes"] == self._finished:
            return
        self._strategy.policy.set_training_mode(False)
        areas = self._validation.areas(self._strategy)
        self.curve.append(curve_point(self._finished, areas))
        self._note(self.curve)
        self.logger.record("validation/area", self.curve[-1]["area"])
        self.logger.record("validation/episodes", self._finished)
        if self.curve[-1]["area"] > self.best:
            self.best, self._chosen_at = self.curve[-1]["area"], self._finished
            self._save(self.curve, self._finished)
        self._tell()

    def _tell(self) -> None:
        if self._report is not None and self.curve:
            self._report(
                TrainingProgress(
                    self._finished,
                    max(self._finished, self._settings.episodes),
                    self.curve[-1]["area"],
                    self.best,
                )
            )


def train(
    core: Labeling,
    validation: Validation,
    settings: AgentSettings,
    reward: RewardSettings,
    folder: Path,
    name: str = "policy",
    report: Callable[[TrainingProgress], None] | None = None,
) -> PolicyCard:
    """Train a policy and write the best one by validation to ``folder/policy``.

    Logs go to ``folder/logs`` (CSV, and TensorBoard where it is installed); ``folder/validation.csv``
    holds the validation curve. An interrupted training leaves the best policy so far and goes on, logs
    included, from the last evaluation when the same training is started again; a finished one is kept.

    Args:
        core: Training episodes, ``settings.n_envs`` side by side.
        validation: Validation episodes; the test split plays no part.
        settings: Algorithm, length and seed.
        reward: What the policy was paid for, for the card.
        folder: Where to write.
        name: Name of the learned strategy.
        report: Called after each rollout and each evaluation.

    Returns:
        The card of the kept policy.

    Raises:
        ReActError: The algorithm cannot act in the action space, or the policy to start from does not fit.
        WriteError: A file cannot be written; the best policy so far is kept.
    """
    interface = core.interface
    spaces = (interface.observation_space, interface.action_space)
    check_fit(settings, *spaces)
    begun_from = start_folder(settings)
    if begun_from is not None and begun_from.resolve() == (folder / "policy").resolve():
        raise ReActError(
            f"Policy {settings.start} is where this training writes; give the training another name."
        )
    with preserved_random_state():
        start = starting_weights(settings, interface)
    network = network_of_start(settings) | policy_arguments(settings, *spaces)
    about = _about(core, validation, settings, reward, name, network)
    rounds = _rounds(core)
    with preserved_random_state():
        environment = LabelingVecEnv(core)
        environment.seed(settings.seed)
        model = _algorithm(settings, environment, network, rounds)
        if start is not None:
            start(model.policy)
        strategy = LearnedStrategy(name, model.policy, interface)
        cards: list[PolicyCard] = []

        def save(curve: list[dict[str, float]], episodes: int) -> None:
            card = PolicyCard(**about, validation=list(curve), chosen_at=episodes)
            save_policy(folder / "policy", model.policy, card)
            cards[:] = [card]

        key = _key(core, settings, reward, about, begun_from)
        done = finished(folder, key)
        if done is not None:
            return done
        checkpoint = TrainingCheckpoint(folder, key, model, environment)
        resumed = checkpoint.restore() if is_policy(folder / "policy") else None
        log = TrainingLog(folder / "logs", None if resumed is None else resumed.log)
        model.set_logger(log)
        note = functools.partial(_write_curve, folder / "validation.csv")
        keep = functools.partial(checkpoint.save, log=log)
        callback = _KeepBest(validation, strategy, settings, save, note, report, keep)
        if resumed is not None:
            callback.resume(resumed)
            cards.append(read_card(folder / "policy"))
        _learn(model, callback, settings.episodes * rounds * 2)
    card = cards[0].model_copy(update={"validation": callback.curve})
    # The card of the kept weights shows the whole curve, also the part after them.
    save_card(folder / "policy", card)
    mark_finished(folder, key)
    checkpoint.remove()
    return card


def _about(
    core: Labeling,
    validation: Validation,
    settings: AgentSettings,
    reward: RewardSettings,
    name: str,
    network: dict[str, Any],
) -> dict[str, Any]:
    """What the card of a policy says whenever it is kept; measures the baselines."""
    engines = [part.engine for part in core.parts]
    return {
        "name": name,
        "algorithm": settings.algorithm,
        "network": network,
        "observation": core.interface.observation.describe(),
        "action_space": core.interface.describe(),
        "reward": reward.model_dump(mode="json"),
        "episode": _episode(core),
        "trained_on": {c.name: c.corpus.digest() for engine in engines for c in engine.corpora},
        "validated_on": {c.name: c.corpus.digest() for c in validation.corpora},
        "settings": settings.model_dump(mode="json"),
        "baselines": {one: round(float(validation.areas(make_strategy(one)).mean()), 6) for one in BASELINES},
        "versions": _versions(settings.algorithm),
    }


def _episode(core: Labeling) -> dict[str, Any]:
    """Options of an episode; where slots differ, by task and slots."""
    said = {}
    start, tasks = 0, [part.engine.task.name for part in core.parts]
    for part, task in zip(core.parts, tasks, strict=True):
        end = start + part.n_episodes
        name = task if tasks.count(task) == 1 else f"{task}, slots {start} to {end - 1}"
        said[name] = part.engine.options.model_dump(mode="json")
        start = end
    return next(iter(said.values())) if len(said) == 1 else said


def _key(
    core: Labeling,
    settings: AgentSettings,
    reward: RewardSettings,
    about: dict[str, Any],
    begun_from: Path | None,
) -> str:
    """Digest of all that determines what a training becomes."""
    engines = [part.engine for part in core.parts]
    parts = (
        settings,
        [engine.options for engine in engines],
        reward,
        about["action_space"],
        about["observation"],
        [engine.learner_settings for engine in engines],
        about["trained_on"],
        about["validated_on"],
        about["versions"],
        about["name"],
    )
    begun = b"" if begun_from is None else (begun_from / WEIGHTS).read_bytes()
    return digest(*map(str, parts), begun, *own_sources(core, reward, about["network"].get("name", PLAIN)))


def own_sources(core: Labeling, reward: RewardSettings, network: str = PLAIN) -> tuple[str, ...]:
    """Source of what a training uses from outside this package: with other code it begins again."""
    said = core.interface.describe()
    paired = () if reward.against in (None, GROUP) else (reward.against,)
    named = [name for name in (*said.get("strategies", ()), *paired) if not is_packaged(name)]
    parts = [part for name in named for part in parts_behind(name)]
    parts += [code_of_feature(name) for name in said.get("features", ()) if not is_packaged_feature(name)]
    if reward.kind not in REWARDS:
        parts.append(reward_form(reward.kind).of)
    if core.interface.observation.describe()["name"] not in OBSERVATIONS:
        parts.append(type(core.interface.observation))
    if said["name"] not in ACTION_SPACES:
        parts.append(type(core.interface))
    if network not in NETWORKS:
        parts.append(network_named(network).extractor)
    engines = [part.engine for part in core.parts]
    taught = [one for engine in engines for one in (engine.task, entry_of(engine.learner_settings).build)]
    return tuple(text for part in parts for text in source_of(part)) + sources_outside(taught)


def _algorithm(
    settings: AgentSettings, environment: LabelingVecEnv, network: dict[str, Any], rounds: int
) -> BaseAlgorithm:
    """The algorithm with fresh weights."""
    spaces = (environment.observation_space, environment.action_space)
    arguments = algorithm_arguments(settings, rounds, environment.action_space)
    policy, arguments["policy_kwargs"] = assembled(settings.algorithm, network, *spaces, imports=True)
    try:
        return ALGORITHMS[settings.algorithm].kind(policy, environment, **arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError) as error:
        if not settings.extra:
            raise
        raise ReActError(
            f"{settings.algorithm} refuses agent.extra {settings.extra}: {error or type(error).__name__}."
        ) from error


def _rounds(core: Labeling) -> int:
    """Actions of an average episode: until the budget or the pool is used up."""
    actions = 0.0
    for part in core.parts:
        options, corpora = part.engine.options, part.engine.corpora
        costs = [float(c.corpus.cost[c.corpus.ids("train")].mean()) for c in corpora]
        rows = min(options.budget / float(np.mean(costs)), options.pool_size - options.initial_size)
        own = core.interface.expected_actions(rows, options.batch_size)
        actions += own * part.n_episodes / core.n_episodes
    return max(round(actions), 1)


def _learn(model: BaseAlgorithm, callback: _KeepBest, steps: int) -> None:
    # Episodes can be shorter than planned, so steps are only an upper bound; the callback counts episodes.
    on_policy = isinstance(model, OnPolicyAlgorithm)
    # They are those of the whole training: schedules depend on the share that has been taken.
    left = steps - model.num_timesteps
    model.learn(left, callback, log_interval=1 if on_policy else 100, reset_num_timesteps=False)


def _versions(algorithm: str) -> dict[str, str]:
    packages = ["react-rl", "torch", "stable-baselines3", "gymnasium", "numpy"]
    if any(kind.__module__.startswith("sb3_contrib.") for kind in ALGORITHMS[algorithm].kind.__mro__):
        packages.append("sb3-contrib")
    return versions_of(packages)


def _write_curve(path: Path, curve: list[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["episodes", "area", "error"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_atomically(path, buffer.getvalue())
