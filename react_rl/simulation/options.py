"""What one simulated labelling episode looks like: sizes, budget, initial labels, annotator."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EpisodeOptions(BaseModel):
    """Sizes and costs of one episode.

    The initial labelled set is drawn from the pool and is free: the budget pays for what the
    query strategy asks for. Rows of the dev set are never in the pool.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool_size: int = Field(default=500, ge=2)
    """Train rows of one episode, the initial labelled set included."""
    dev_size: int = Field(default=300, ge=2)
    """Rows on which the reward is measured. 200 rows give an accuracy a standard error of 0.025."""
    initial: Literal["random", "stratified", "balanced"] = "random"
    """How the initial labelled set is drawn: as it comes, with the pool's class shares, or evenly."""
    initial_size: int = Field(default=10, ge=1)
    """Rows labelled before the first round."""
    budget: float = Field(default=80.0, gt=0)
    """Cost units that one episode may spend (labels, unless the corpus has another cost model)."""
    batch_size: int = Field(default=5, ge=1)
    """Rows queried in one round."""
    classes: tuple[int, int] | None = None
    """Smallest and largest number of classes of a random class subset; None takes all classes."""
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    """Probability that the oracle answers with another class, drawn once for each row."""
    abstention: float = Field(default=0.0, ge=0, lt=1)
    """Probability that the oracle charges for a row and gives no label."""

    @model_validator(mode="after")
    def _check_sizes(self) -> EpisodeOptions:
        free = self.pool_size - self.initial_size
        if free < 1:
            raise ValueError(
                f"initial_size {self.initial_size} leaves nothing to query in a pool of {self.pool_size}; "
                "make pool_size larger"
            )
        if self.batch_size > free:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than the {free} unlabelled rows of the pool; "
                f"use at most {free}"
            )
        if self.classes is not None and not 2 <= self.classes[0] <= self.classes[1]:
            raise ValueError(f"classes {self.classes} must be two numbers with 2 <= smallest <= largest")
        return self
