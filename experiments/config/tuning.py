"""The config of `tune`: a training, and which of its settings are searched in which ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import tyro
from pydantic import Field, field_validator, model_validator

from react_rl.errors import ReActError
from react_rl.experiments.config.frozen import FolderName, Frozen
from react_rl.experiments.config.models import TrainConfig
from react_rl.experiments.config.sources import read_config
from react_rl.validation import check_key, validated

SEARCHED: Final = ("agent", "action_space", "observation", "reward")
"""Sections of a training whose settings can be searched."""

JUDGES: Final = frozenset(
    {
        *("agent.evaluations", "agent.evaluation_episodes", "agent.seed", "agent.start"),
        *("reward.metric", "reward.cost_weight", "reward.target", "observation.metric"),
    }
)
"""Settings in them by which trials are judged, or that are no matter of taste: they are the same in all."""


class Range(Frozen):
    """Numbers between two ends; whole ones where both ends are."""

    low: int | float
    """Smallest."""
    high: int | float
    """Largest."""
    log: bool = False
    """Search on a logarithmic scale."""

    @model_validator(mode="after")
    def _check(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; on a logarithmic scale it must be above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class TuneConfig(Frozen):
    """Search settings of a training by the validation area."""

    name: FolderName
    """Results go to results/NAME."""
    training: TrainConfig
    """The training: a packaged config by name, a YAML file, or its keys; its validation corpora judge."""
    search: Annotated[dict[str, Range | Annotated[tuple[Any, ...], Field(min_length=1)]], tyro.conf.Suppress]
    """What is searched, by key of the training: {low, high, log} or a list of values, such as
    {agent.learning_rate: {low: 0.0001, high: 0.01, log: true}, agent.layers: [[32], [64, 64]]}."""
    trials: int = Field(default=20, ge=1, le=10**5)
    """Trainings to run; with a larger number, the same command goes on."""
    startup: int = Field(default=8, ge=1, le=10**5)
    """Trials with settings drawn at random, before later ones follow from what was found."""
    prune: bool = True
    """Stop a trial whose best area is below the median of the others at the same number of episodes."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the search."""

    @field_validator("training", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return read_config(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> TuneConfig:
        if not self.search:
            raise ValueError("search is empty; name at least one setting of the training")
        for key, space in self.search.items():
            section = key.split(".")[0]
            if section not in SEARCHED or "." not in key or key in JUDGES:
                raise ValueError(
                    f"search cannot vary {key!r}; it takes settings of {', '.join(SEARCHED)}, and none by "
                    "which trials are judged"
                )
            try:
                check_key(self.training, key, "search")
                for value in (space.low, space.high) if isinstance(space, Range) else space:
                    with_values(self.training, {key: value})
            except ReActError as error:
                raise ValueError(str(error).rstrip(".")) from None
        return self


def with_values(training: TrainConfig, values: Mapping[str, Any], name: str | None = None) -> TrainConfig:
    """A training with other settings.

    Args:
        training: The training.
        values: New values by key, such as ``agent.gamma``.
        name: New name; None keeps it.

    Raises:
        ReActError: A value is not allowed.
    """
    changed = training.model_dump(mode="json")
    for key, value in values.items():
        *parents, last = key.split(".")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    if name is not None:
        changed["name"] = name
    return validated(TrainConfig, changed, "Training")
