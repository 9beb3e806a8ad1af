"""What prompt learning looks like: one frozen model of settings."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from react_rl.errors import ReActError
from react_rl.learners.prompts.templates import check_template, several_words

Calibration = Literal["none", "content-free", "pool"]
Answers = Literal["gap", "sum", "mean"]
Trained = Literal["both", "gap", "embedding", "nothing"]

CONTENT_FREE: Final = ("N/A", "{mask}", "")
"""Texts that say nothing (Zhao et al. 2021); ``{mask}`` is the model's own mask."""


class PromptSettings(BaseModel):
    """How classes become words in a gap, and what is trained beside what the model says of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    model: str = "bert-base-uncased"
    """A masked language model, or a decoder for answers: a local folder or a hub name."""
    templates: tuple[str, ...] = Field(default=("{text} It was {mask}.",), min_length=1)
    """Each with one {text} and one {mask}; the mean of their scores counts."""
    words: dict[str, tuple[str, ...]] = {}
    """Words of each class: {positive: [great, good], ...}; a class that is left out has its name's."""
    answers: Answers = "gap"
    """gap: a masked language model fills the gap; sum, mean: a decoder answers at the end of the template,
    and the log-probabilities of an answer's pieces are summed or averaged."""
    calibration: Calibration = "pool"
    """What scores are made even by: the mean over the unlabelled pool, texts without content, or nothing."""
    strength: float | None = Field(default=0.7, ge=0, le=1000)
    """Standard deviation over the pool that the scores of the words are scaled to: the more, the longer they
    count against labels. None leaves them as the model gives them."""
    train: Trained = "embedding"
    """What a head beside the words learns from: the vector of the gap, the encoder's embedding, both, or
    nothing."""
    demonstrations: int = Field(default=0, ge=0, le=1000)
    """train nothing: labelled rows that stand before each text, as many of these as fit; every round reads
    all rows again."""
    l2: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Weight of the squared distance from what the words say."""
    bias: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Scale of the penalised intercept; large values leave it free."""
    tolerance: float = Field(default=1e-2, gt=0, le=1)
    """A refit ends when no entry of the gradient exceeds this."""
    max_steps: int = Field(default=20, ge=1, le=10**5)
    """Most steps of one refit."""
    max_length: int = Field(default=128, ge=4, le=10**6)
    """Tokens of a filled template; the text in it is cut where it does not fit."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the transformer."""

    @model_validator(mode="after")
    def _check(self) -> PromptSettings:
        if self.demonstrations and self.train != "nothing":
            raise ValueError(
                "demonstrations change with every purchase what the model reads, which a head cannot follow; "
                "set train to nothing"
            )
        if self.answers != "gap" and self.train in ("gap", "both"):
            raise ValueError(
                "answers of a decoder have no vector of a gap to train on; set train to embedding or nothing"
            )
        if self.answers != "gap" and self.demonstrations:
            raise ValueError("demonstrations stand before a gap, not before answers; set demonstrations to 0")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.answers == "gap":  # results are filed as before there were answers
            values.pop("answers", None)
        return values

    @field_validator("templates", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("templates")
    @classmethod
    def _have_gaps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(check_template(one) for one in value)
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None

    @field_validator("words", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return several_words(value)

    @field_validator("words")
    @classmethod
    def _no_class_is_empty(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, words in value.items():
            if not words or not all(word.strip() for word in words):
                raise ValueError(f"class {name!r} has an empty word or none; give it one word at least")
        return value
