"""What is different for one task where a config has corpora of several."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from pydantic import Field, field_validator

from react_rl.errors import ReActError, unknown
from react_rl.experiments.config.frozen import Frozen
from react_rl.experiments.config.learners import AnyLearner, LearnerConfig, learner_config
from react_rl.learners.registry import LEARNERS, entry_of, learner_for
from react_rl.simulation.options import EpisodeOptions
from react_rl.tasks.registry import TASKS
from react_rl.validation import validated


class TaskConfig(Frozen):
    """How episodes of one task are played, where that differs from the rest of the config."""

    learner: AnyLearner | None = None
    """Model trained on bought labels; None is the config's, or a cheap one if it cannot learn the task."""
    episode: dict[str, Any] = Field(default={})
    """Keys of the episode that are different, such as the budget."""

    @field_validator("episode")
    @classmethod
    def _known_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key not in EpisodeOptions.model_fields:
                known = ", ".join(EpisodeOptions.model_fields)
                raise ValueError(f"unknown key {key!r} of an episode. Known: {known}")
        return value


class HasTasks(Protocol):
    """A config that may have corpora of several tasks."""

    @property
    def learner(self) -> LearnerConfig:
        """The learner, unless a task has its own."""
        ...

    @property
    def episode(self) -> EpisodeOptions:
        """Episodes, but for the keys that are different for a task."""
        ...

    @property
    def tasks(self) -> dict[str, TaskConfig]:
        """What is different, by the name of the task."""
        ...


def check_task_names(config: HasTasks) -> None:
    """Check that tasks exist and that their keys fit the rest of the config.

    Raises:
        ValueError: One does not.
    """
    for task in config.tasks:
        try:
            if task not in TASKS:
                raise unknown("task", task, TASKS)
            episode_of(config, task)
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None


def without_empty_tasks(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a config; those of one task read as if there were no key ``tasks``."""
    return {key: one for key, one in values.items() if key != "tasks" or one}


def of_several(config: HasTasks, tasks: Collection[str]) -> bool:
    """Whether the config plays tasks each in its own way.

    Args:
        config: The config.
        tasks: Tasks of its corpora.

    Raises:
        ReActError: The config says something of a task that no corpus is of.
    """
    for task in config.tasks:
        if task not in tasks:
            raise ReActError(
                f"'tasks' has settings for {task}, which no corpus is of; there is {', '.join(tasks)}."
            )
    return len(tasks) > 1 or bool(config.tasks)


def episode_of(config: HasTasks, task: str) -> EpisodeOptions:
    """Episodes of a task.

    Raises:
        ReActError: Its own keys do not fit the rest.
    """
    own = config.tasks[task].episode if task in config.tasks else {}
    if not own:
        return config.episode
    return validated(EpisodeOptions, config.episode.model_dump() | own, f"Episodes of {task}")


def kinds_in(config: HasTasks) -> set[str]:
    """Kinds of the learners that a config names, for all tasks and for single ones."""
    named = (config.learner, *(own.learner for own in config.tasks.values()))
    return {learner.kind for learner in named if learner is not None}


def learner_of(config: HasTasks, task: str) -> LearnerConfig:
    """The learner of a task: its own, the config's, or a cheap one that learns the task."""
    own = config.tasks[task].learner if task in config.tasks else None
    if own is not None:
        return own
    asked = config.learner.settings()
    fitting = learner_for(task, asked)
    if fitting is asked:
        return config.learner
    kind = next(name for name, entry in LEARNERS.items() if entry is entry_of(fitting))
    return learner_config({"kind": kind})
