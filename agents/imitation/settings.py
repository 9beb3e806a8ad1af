"""What is imitated, where, and how the network is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from react_rl.acquisition.batching.row_features import FEATURES_OF_TASKS, ROW_FEATURES
from react_rl.acquisition.features import feature_named
from react_rl.agents.networks.registry import SCORER
from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.simulation.drawn_options import Size, sized
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions

PRICE: Final = "cheapness"
"""The feature that says what a row costs."""


class ImitationSettings(BaseModel):
    """How a row scorer learns from a look-ahead expert."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    states: int = Field(default=16_000, ge=1, le=10**7)
    """States of mixed behaviour at which candidates are tried."""
    dagger_rounds: int = Field(default=1, ge=0, le=100)
    """Times that further states are collected where the policy itself goes."""
    dagger_states: int = Field(default=16_000, ge=1, le=10**7)
    """States of each of these rounds."""
    own: float = Field(default=0.75, ge=0, le=1)
    """Share of these states that the policy itself visits."""
    candidates: int = Field(default=24, ge=3, le=10**4)
    """Rows tried in each state: equally many by the policy, once there is one, by the mixture, by random
    weights, and at random."""
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
    pool_sizes: tuple[Size, ...] | None = Field(default=None, min_length=1)
    """Rows of a pool, likewise, among those that hold the labels; None leaves the episode's."""
    most_labels: int = Field(default=10**6, ge=1, le=10**9)
    """Labels that an episode buys at most; it has fewer rounds where batches are large."""
    gathered: float = Field(default=0.0, ge=0, le=1)
    """Share of the groups of episodes in whose tasks rows are pulled together in clusters, as real classes
    often are."""
    beyond: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = Field(default=(0,), min_length=1)
    """Rows that would be picked next, and that are bought together with each candidate where it is tried: a
    candidate whose work they do anyway gains little. Drawn for each group."""
    gain: Literal["auto", "whole", "per-cost"] = "auto"
    """What of a candidate is learned: its gain, or its gain for each unit that it costs; auto is the latter
    where rows differ in price, as sentences do that are paid by the token."""
    features: tuple[str, ...] = ROW_FEATURES
    """Features of a row that the network sees; where rows have no classes, others unless told otherwise, and
    where they differ in price, cheapness as well."""
    network: str = SCORER
    """What is fitted: scorer, which scores each row by itself; deep-sets or attention, which look at other
    rows of the pool, too; or one's own, module:Name."""
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

    def of_task(self, task: str, corpora: Sequence[Corpus] = ()) -> ImitationSettings:
        """The same with the features of a task, where none are named; prices where rows differ in price."""
        if self.features != ROW_FEATURES:
            return self
        features = FEATURES_OF_TASKS.get(task, ROW_FEATURES)
        if PRICE not in features and any(map(_has_prices, corpora)):
            features = (*features, PRICE)
        return self.model_copy(update={"features": features})

    @property
    def sees_pool(self) -> bool:
        """Whether the network looks at other rows of the pool."""
        return self.network != SCORER

    def by_cost(self, corpora: Sequence[EncodedCorpus]) -> bool:
        """Whether gains are learned for each unit that a row costs."""
        if self.gain == "auto":
            return any(_has_prices(one.corpus) for one in corpora)
        return self.gain == "per-cost"

    def extremes(self, episode: EpisodeOptions, price: float = 1.0) -> tuple[EpisodeOptions, EpisodeOptions]:
        """The largest budget, and the largest initial set, that can be drawn; ``price`` is that of a row."""
        batch = max(self.batch_sizes, key=lambda size: size * self.rounds_of(size, max(self.rounds)))
        rounds = self.rounds_of(batch, max(self.rounds))
        episode = episode.model_copy(update={"pool_size": max(self.pool_sizes or (episode.pool_size,))})
        return (
            sized(episode, min(self.initial_sizes), batch, rounds, price),
            sized(episode, max(self.initial_sizes), batch, rounds, price),
        )

    def rounds_of(self, batch: int, drawn: int) -> int:
        """Rounds of an episode with batches of this size, where ``drawn`` were drawn."""
        return min(drawn, max(self.most_labels // batch, 1))


def _has_prices(corpus: Corpus) -> bool:
    """Whether train rows differ in price."""
    return bool(np.unique(corpus.cost[corpus.ids("train")]).size > 1)
