"""Episodes of drawn sizes: other pools, first sets, batches and budgets for groups of episodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from react_rl.data.corpus import Corpus
from react_rl.seeding import entropy_of
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import validated

Size = Annotated[int, Field(ge=1, le=10**6)]
NoiseRate = Annotated[float, Field(ge=0, lt=1)]

RANGES: Final = ("pool_sizes", "initial_sizes", "batch_sizes", "rounds", "label_noise")
"""What ``DrawSettings`` draws, by the names of its keys."""


class SizeRanges(Protocol):
    """What the sizes of a group are drawn from."""

    @property
    def pool_sizes(self) -> Sequence[int] | None:
        """Rows of a pool; None leaves the episode's."""
        ...

    @property
    def initial_sizes(self) -> Sequence[int] | None:
        """First labels; None leaves the episode's."""
        ...

    @property
    def rounds(self) -> Sequence[int] | None:
        """Rounds of an episode; None leaves its budget."""
        ...

    @property
    def least_labels(self) -> int:
        """Labels that an episode of so many rounds buys at least."""
        ...

    @property
    def most_labels(self) -> int:
        """Labels that it buys at most."""
        ...


class DrawSettings(BaseModel):
    """Sizes that are drawn for groups of episodes side by side (domain randomisation).

    Each group keeps its sizes, so that what is played in it is what an environment of these sizes plays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    pool_sizes: tuple[Annotated[int, Field(ge=2, le=10**9)], ...] | None = Field(default=None, min_length=1)
    """Rows of a pool, drawn for each group among those that hold its labels; None leaves the episode's."""
    initial_sizes: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] | None = Field(
        default=None, min_length=1
    )
    """Labels before the first round, drawn for each group; None leaves the episode's."""
    batch_sizes: tuple[Size, ...] | None = Field(default=None, min_length=1)
    """Rows of a round; groups take them in turn. None leaves the episode's."""
    rounds: tuple[Size, ...] | None = Field(default=None, min_length=1)
    """Rounds of an episode, drawn for each group among those that least_labels and most_labels allow; its
    budget buys so many batches at the mean price of a row. None leaves the episode's budget."""
    least_labels: int = Field(default=1, ge=1, le=10**6)
    """Labels that an episode of drawn rounds buys at least."""
    most_labels: int = Field(default=10**6, ge=1, le=10**6)
    """Labels that it buys at most."""
    label_noise: tuple[NoiseRate, ...] | None = Field(default=None, min_length=1)
    """Probability of a wrong answer, dealt out evenly to the groups; None leaves the episode's."""
    groups: int = Field(default=8, ge=1, le=10**5)
    """Groups that the episodes side by side are dealt out to, at most one for each of them."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the sizes."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Configs and cards of trainings of one size read as if there were no draws.
        values: dict[str, Any] = handler(self)
        return values if self.some else {}

    @property
    def some(self) -> bool:
        """Whether anything is drawn."""
        return any(getattr(self, name) is not None for name in RANGES)

    def groups_among(self, slots: int, group_size: int = 1) -> int:
        """Groups of so many episodes side by side, where ``group_size`` neighbours share a draw."""
        return max(min(self.groups, slots // group_size), 1)


def mean_price(corpora: Iterable[Corpus]) -> float:
    """Cost of a train row, the mean over the corpora."""
    return float(np.mean([one.cost[one.ids("train")].mean() for one in corpora]))


def sized(
    episode: EpisodeOptions, initial: int, batch: int, rounds: int, price: float = 1.0
) -> EpisodeOptions:
    """An episode with another initial set, batch, and a budget of so many rounds at this price of a row.

    Raises:
        ReActError: The pool is too small for them.
    """
    return _changed(episode, initial_size=initial, batch_size=batch, budget=batch * rounds * price)


def draw_pool(sizes: Sequence[int], labels: int, rng: np.random.Generator) -> int:
    """Draw the size of a pool, among those that hold so many labels where one does."""
    return int(rng.choice([size for size in sizes if size >= labels] or sizes))


def draw_sizes(
    ranges: SizeRanges, episode: EpisodeOptions, batch: int, rng: np.random.Generator, price: float = 1.0
) -> EpisodeOptions:
    """Draw the sizes of one group of episodes.

    Args:
        ranges: What is drawn from.
        episode: All that is not drawn.
        batch: Rows of a round.
        rng: Draws.
        price: Of a row, in cost units.

    Raises:
        ReActError: The pool is too small for the rest.
    """
    labels, budget = int(np.ceil(episode.budget / price)), episode.budget
    if ranges.rounds is not None:
        allowed = [
            rounds for rounds in ranges.rounds if ranges.least_labels <= rounds * batch <= ranges.most_labels
        ]
        labels = batch * int(rng.choice(allowed or [max(ranges.most_labels // batch, 1)]))
        budget = labels * price
    initial = int(rng.choice(ranges.initial_sizes or (episode.initial_size,)))
    pool = draw_pool(ranges.pool_sizes or (episode.pool_size,), initial + labels, rng)
    return _changed(episode, pool_size=pool, initial_size=initial, batch_size=batch, budget=budget)


def drawn_options(
    settings: DrawSettings, episode: EpisodeOptions, groups: int, price: float = 1.0
) -> list[EpisodeOptions]:
    """Episodes of each of some groups, the first ones the same however many there are.

    Args:
        settings: What is drawn.
        episode: All that is not drawn.
        groups: How many.
        price: Of a row, in cost units.

    Raises:
        ReActError: Sizes that were drawn do not fit each other.
    """
    batches = settings.batch_sizes or (episode.batch_size,)
    found = []
    for group in range(groups):
        rng = np.random.default_rng(np.random.SeedSequence(entropy_of(settings.seed, "draws", str(group))))
        options = draw_sizes(settings, episode, batches[group % len(batches)], rng, price)
        if settings.label_noise is not None:
            options = _changed(options, label_noise=_dealt(settings.label_noise, group, settings.seed))
        found.append(options)
    return found


def _dealt(values: Sequence[float], group: int, seed: int) -> float:
    """The value of a group: each comes once in as many groups as there are values, in random order."""
    turn, place = divmod(group, len(values))
    entropy = entropy_of(seed, "dealt draws", str(turn))
    return float(np.random.default_rng(np.random.SeedSequence(entropy)).permutation(values)[place])


def _changed(episode: EpisodeOptions, **changes: float) -> EpisodeOptions:
    return validated(EpisodeOptions, episode.model_dump() | changes, "Episodes of drawn sizes")
