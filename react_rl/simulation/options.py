"""What one simulated labelling episode looks like: sizes, budget, initial labels, annotator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from react_rl.errors import suggestion
from react_rl.validation import numbers_alone

_Classes = Annotated[int, Field(ge=2, le=10**6)]
_Share = Annotated[float, Field(gt=0, le=10**6)]


class EpisodeOptions(BaseModel):
    """Sizes and costs of one episode.

    The initial labelled set is drawn from the pool and is free: the budget pays for what the
    query strategy asks for. Rows of the dev set are never in the pool.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    pool_size: int = Field(default=500, ge=2, le=10**9)
    """Train rows of one episode, the initial labelled set included."""
    dev_size: int = Field(default=300, ge=2, le=10**9)
    """Rows on which the reward is measured. 200 rows give an accuracy a standard error of 0.025."""
    initial: Literal["random", "stratified", "balanced"] = "random"
    """How the initial labelled set is drawn: as it comes, with the pool's class shares, or evenly."""
    initial_size: int = Field(default=10, ge=0, le=10**9)
    """Rows labelled before the first round; 0 leaves the first choice to what a learner knows without labels,
    as learner.kind prompt does."""
    budget: float = Field(default=80.0, gt=0, le=1e12)
    """Cost units that one episode may spend (labels, unless the corpus has another cost model)."""
    batch_size: int = Field(default=5, ge=1, le=10**9)
    """Rows queried in one round."""
    classes: tuple[_Classes, _Classes] | None = None
    """Smallest and largest number of classes of a random class subset; None takes all classes."""
    phases: Literal["even", "ignored"] | tuple[_Share, ...] = "even"
    """Of a corpus that comes in phases: shares of the budget that each phase gets, all the same (even), or
    ignored: all phases at once."""
    label_noise: float | Literal["crowd"] = 0.0
    """Probability that the oracle answers with another class, drawn once for each row; or 'crowd': one minus
    the row's confidence, for corpora that carry one."""
    confusion: Literal["similar"] | dict[str, dict[str, float]] | None = None
    """Which other class a wrong answer names: None, any evenly; 'similar', near ones more often; or rates by
    class names, {positive: {neutral: 0.2}}, which also say how often (label_noise stays 0)."""
    abstention: float = Field(default=0.0, ge=0, lt=1)
    """Probability that the oracle charges for a row and gives no label."""

    @field_validator("label_noise", mode="plain")
    @classmethod
    def _check_noise(cls, value: object) -> float | Literal["crowd"]:
        if value == "crowd":
            return "crowd"
        rate = _number(value)
        if not 0 <= rate < 1:
            raise ValueError(
                f"{value!r} is no noise{_hint(value, 'crowd')}; "
                "give a number from 0 to less than 1, or 'crowd'"
            )
        return rate

    @field_validator("confusion", mode="plain")
    @classmethod
    def _check_confusion(cls, value: object) -> Literal["similar"] | dict[str, dict[str, float]] | None:
        if value is None or value == "similar":
            return None if value is None else "similar"
        if not isinstance(value, Mapping):
            raise ValueError(
                f"{value!r} is no confusion{_hint(value, 'similar')}; "
                "give 'similar', or rates by class names such as {positive: {neutral: 0.2}}"
            )
        return {str(name): _rates(str(name), row) for name, row in value.items()}

    @model_serializer(mode="wrap")
    def _without_empty_confusion(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Results are filed under these options: what an episode does not have is left out.
        values: dict[str, Any] = handler(self)
        if self.confusion is None:
            values.pop("confusion", None)
        if self.phases == "even":
            values.pop("phases", None)
        return values

    @model_validator(mode="wrap")
    @classmethod
    def _check_numbers(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return numbers_alone(cls, values, handler)

    @model_validator(mode="after")
    def _check_annotator(self) -> EpisodeOptions:
        if isinstance(self.confusion, dict) and self.label_noise != 0:
            raise ValueError(
                f"confusion gives rates by class, so label_noise must be 0, not {self.label_noise!r}; "
                "or set confusion to 'similar'"
            )
        if self.confusion == "similar" and self.label_noise == 0:
            raise ValueError(
                "confusion 'similar' says which class a wrong answer names, but label_noise is 0; "
                "set label_noise to a rate or to 'crowd'"
            )
        return self

    @field_validator("phases")
    @classmethod
    def _check_shares(cls, value: str | tuple[float, ...]) -> str | tuple[float, ...]:
        if isinstance(value, tuple) and len(value) < 2:
            raise ValueError(f"shares {value} are not those of two or more phases")
        return value

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


def _hint(value: object, word: str) -> str:
    return f" (did you mean {word!r}?)" if isinstance(value, str) and suggestion(value, [word]) else ""


def _number(value: object) -> float:
    """The number that ``value`` is or spells, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def _rates(name: str, row: object) -> dict[str, float]:
    """Check the rates at which a class is answered as others."""
    if not isinstance(row, Mapping):
        raise ValueError(
            f"class {name!r} is given {row!r}; give the rates of the classes it is taken for, "
            "such as {neutral: 0.2}"
        )
    rates = {str(other): _number(rate) for other, rate in row.items()}
    for other, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ValueError(
                f"class {name!r} is taken for {other!r} at rate {row.get(other)!r}; give a number from 0 to 1"
            )
    if name in rates:
        raise ValueError(f"class {name!r} is taken for itself; name only the wrong answers")
    if sum(rates.values()) > 1 + 1e-9:
        raise ValueError(
            f"class {name!r} is taken for others at rates that sum to {sum(rates.values()):g}; "
            "they may sum to at most 1"
        )
    return rates
