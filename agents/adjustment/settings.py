"""What is searched, on which tasks, and in what steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from react_rl.agents.adjustment.space import GATES
from react_rl.simulation.drawn_options import Size

TaskKind = Literal["own", "dealt", "any", "gathered"]


class AdjustmentSettings(BaseModel):
    """How a row scorer is adjusted by the area of whole episodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    start: str = "imitated"
    """Policy that is adjusted: a name that comes with the package, or the folder of a row scorer."""
    directions: tuple[str, ...] = Field(
        default=("mixture", "margin", "density", "novelty", "unsure_herding", "variance_reduction"),
        min_length=1,
    )
    """What the scores may get more or less of: features that the policy sees, or ``mixture``."""
    gates: tuple[str, ...] = GATES
    """Numbers of the context that these weights may follow."""
    sigma: float = Field(default=0.2, gt=0, le=10)
    """Deviation of each weight that is tried, in deviations of the policy's scores."""
    rate: float = Field(default=40.0, gt=0, le=10**4)
    """How far a step goes for a slope: in sigmas, for an area that rises by 1 with each sigma; it falls
    linearly to a quarter."""
    longest: float = Field(default=1.5, gt=0, le=10**4)
    """Longest step, in sigmas."""
    updates: int = Field(default=60, ge=1, le=10**6)
    """Steps."""
    averaged: float = Field(default=0.4, gt=0, le=1)
    """Share of the steps so far, the last ones, whose points are averaged in what is kept."""
    checks: int = Field(default=4, ge=1, le=1000)
    """Times that this average is played on the validation episodes; the best of these is kept."""
    pairs: int = Field(default=32, ge=1, le=10**4)
    """Pairs of episodes side by side: one task, one seed, two opposite changes."""
    seeds_per_task: int = Field(default=2, ge=1, le=1000)
    """Pairs in a group that share a task."""
    cut: float = Field(default=0.08, gt=0, le=1)
    """Largest difference of areas that a pair counts with."""
    batch_sizes: tuple[Size, ...] = Field(default=(1, 5, 5, 25), min_length=1)
    """Rows of a round; each step plays one group of pairs with each of these."""
    rounds: tuple[Size, ...] = Field(default=(6, 8, 12, 16, 24, 40), min_length=1)
    """Rounds of an episode, drawn for each group among those that least_labels and most_labels allow."""
    least_labels: int = Field(default=20, ge=1, le=10**6)
    """Labels that an episode buys at least."""
    most_labels: int = Field(default=200, ge=1, le=10**6)
    """Labels that an episode buys at most."""
    initial_sizes: tuple[Size, ...] = Field(default=(4, 10, 10, 20), min_length=1)
    """Initial labels, drawn for each group."""
    pool_sizes: tuple[Size, ...] = Field(default=(300, 400, 500), min_length=1)
    """Rows of a pool, drawn for each group among those that hold its labels; corpora that are too small take
    no part in the group."""
    tasks: int = Field(default=200, ge=1, le=10**5)
    """Tasks, made once; groups draw from them."""
    kinds: dict[TaskKind, Annotated[float, Field(ge=0, le=10**6)]] = Field(
        default={"own": 0.5, "dealt": 0.15, "any": 0.25, "gathered": 0.1}, min_length=1
    )
    """How often a task has the corpus's own labels, these dealt out to fewer classes, invented ones of any
    kind, or rows that are pulled together in clusters."""
    validation_groups: int = Field(default=12, ge=1, le=10**5)
    """Groups of episodes by which the result is chosen; they are no part of the search."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of tasks, episodes and changes."""
