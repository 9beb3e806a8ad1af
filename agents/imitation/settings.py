"""What is imitated, where, and how the network is fitted."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from react_rl.acquisition.batching.row_features import ROW_FEATURES
from react_rl.acquisition.features import feature_named
from react_rl.errors import ReActError
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import validated

Size = Annotated[int, Field(ge=1, le=10**6)]


class ImitationSettings(BaseModel):
    """How a row scorer learns from a look-ahead expert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    states: int = Field(default=16_000, ge=1, le=10**7)
    """States of mixed behaviour at which candidates are tried."""
    dagger_rounds: int = Field(default=1, ge=0, le=100)
    """Times that further states are collected where the policy itself goes."""
    dagger_states: int = Field(default=16_000, ge=1, le=10**7)
    """States of each of these rounds."""
    own: float = Field(default=0.75, ge=0, le=1)
    """Share of these states that the policy itself visits."""
    candidates: int = Field(default=24, ge=3, le=10**4)
    """Rows tried in each state: a third by the mixture, a third by random weights, a third at random."""
    inside: float = Field(default=0.5, ge=0, le=1)
    """Share of states inside a batch, with some of its rows picked already."""
    generated: float = Field(default=1.0, ge=0, le=1)
    """Share of episodes under invented labels; the others have the corpus's own."""
    n_envs: int = Field(default=16, ge=1, le=10**4)
    """Episodes that run side by side, each on a task of its own."""
    initial_sizes: tuple[Size, ...] = Field(default=(4, 10, 10, 20), min_length=1)
    """Initial labels, drawn for each group of episodes."""
    batch_sizes: tuple[Size, ...] = Field(default=(1, 5, 5, 10), min_length=1)
    """Rows of a round, likewise."""
    rounds: tuple[Size, ...] = Field(default=(8, 12, 16), min_length=1)
    """Rounds of an episode, likewise."""
    features: tuple[str, ...] = ROW_FEATURES
    """Features of a row that the network sees."""
    networks: int = Field(default=3, ge=1, le=100)
    """Networks, fitted from different weights, whose scores are averaged."""
    hidden: int = Field(default=48, ge=1, le=4096)
    """Units of each hidden layer."""
    epochs: int = Field(default=10, ge=1, le=10**4)
    """Passes over the states."""
    minibatch: int = Field(default=256, ge=1, le=10**6)
    """States of a step."""
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    """Step size at the start; it falls linearly to nothing."""
    weight_decay: float = Field(default=1e-3, ge=0, le=1)
    """Of the networks' weights."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of tasks, episodes, candidates and networks."""

    @model_validator(mode="after")
    def _check(self) -> ImitationSettings:
        for feature in self.features:
            try:
                feature_named(feature)
            except ReActError as error:
                raise ValueError(str(error).rstrip(".")) from error
        if len(set(self.features)) != len(self.features) or not self.features:
            raise ValueError("features must be at least one, each named once")
        return self

    def extremes(self, episode: EpisodeOptions) -> tuple[EpisodeOptions, EpisodeOptions]:
        """The largest budget, and the largest initial set, that can be drawn."""
        batch, rounds = max(self.batch_sizes), max(self.rounds)
        return (
            sized(episode, min(self.initial_sizes), batch, rounds),
            sized(episode, max(self.initial_sizes), batch, rounds),
        )


def sized(episode: EpisodeOptions, initial: int, batch: int, rounds: int) -> EpisodeOptions:
    """An episode with another initial set, batch and number of rounds.

    Raises:
        ReActError: The pool is too small for them.
    """
    changes = {"initial_size": initial, "batch_size": batch, "budget": float(batch * rounds)}
    return validated(EpisodeOptions, episode.model_dump() | changes, "Episodes of imitation")
