"""What is different for one task where a config has corpora of several."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from react_rl.experiments.config.frozen import Frozen
from react_rl.experiments.config.learners import AnyLearner
from react_rl.simulation.options import EpisodeOptions


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
