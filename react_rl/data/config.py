"""The corpus as a config, an environment or a command names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from react_rl.validation import changed


class CorpusConfig(BaseModel):
    """One corpus, and which of its rows take part."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    corpus: str
    """Built-in name, a file (CSV, TSV, JSONL, Parquet; .gz), a folder, hub:owner/name, one's own function,
    module:Name, or one of these under invented labels: generated:NAME?seed=0 (seed=0-9 for ten tasks)."""
    name: str | None = None
    """Name in tables and figures; the default is the corpus's own."""
    text: str = "text"
    """Column of the texts (files and hub)."""
    label: str = "label"
    """Column of the labels (files and hub)."""
    splits: str | None = None
    """Column that names the split of each row (files)."""
    confidence: str | None = None
    """Column of the annotators' agreement, 0 to 1, for episode.label_noise crowd (files)."""
    id: str | None = None
    """Column of the rows' own ids, for bought.csv; the default is a column called id (files and hub)."""
    encoding: str | None = None
    """Encoding of text files, e.g. cp1252 or utf-16; the default is UTF-8 (files)."""
    separator: str | None = None
    """What separates the columns of CSV and TSV files; the default finds it out (files)."""
    task: Literal["classification", "tagging", "question-answering"] | None = None
    """What a target is; None sees it from the keys below and the columns: tokens and tags; question, context
    and answers (or SQuAD's format); text and label."""
    tokens: str = "tokens"
    """Column of the tokens of tagged sentences (tables of files)."""
    tags: str = "tags"
    """Column of their tags (tables of files)."""
    column: int = Field(default=-1, ge=-100, le=100)
    """Which column of a column file is the tag, counted from the first (0) or from the last (-1)."""
    scheme: Literal["iob1", "iob2", "bioes"] | None = None
    """What the tags are written in; None finds out."""
    question: str = "question"
    """Column of the questions, in question answering (tables of files)."""
    context: str = "context"
    """Column of what they are about (tables of files)."""
    answers: str = "answers"
    """Column of their answers (tables of files)."""
    cost: str | None = None
    """Cost of a label: uniform, words, tokens, or column:NAME; of a tagged sentence tokens, uniform, or
    tokens+K*entities; of a question uniform or context+question. None is uniform, for sentences tokens."""
    half: Literal["first", "second"] | None = None
    """Use only one half of the rows, so that the other half can tell how a policy generalises."""
    max_rows: int | None = Field(default=None, ge=10, le=10**9)
    """Keep this many rows, drawn by seed 0."""
    imbalance: float | None = Field(default=None, ge=1, le=1e6)
    """Thin the classes until the largest has this many times the rows of the smallest; 1 makes them equal."""
    then: tuple[str, ...] = ()
    """Corpora that follow this one, phase by phase; its other keys hold for them, too. Classes of one name
    are one class."""
    phases: int | None = Field(default=None, ge=2, le=255)
    """Deal the rows out to this many phases that differ in their class shares."""
    drift: float = Field(default=1.0, gt=0, le=1)
    """phases: share of a class that comes in one phase, the rest in the others; 1 gives every phase classes
    of its own, 1 / phases is no drift."""
    embeddings: Path | None = None
    """Vectors that stand in for an encoder's: a .npy or .safetensors file, one line for each row of the
    corpus in the order of its file."""

    @model_validator(mode="after")
    def _check_phases(self) -> CorpusConfig:
        if self.then and self.phases is not None:
            raise ValueError("then and phases both say what the phases are; leave one out")
        if self.embeddings is not None and (self.then or self.phases is not None):
            raise ValueError("embeddings of a file do not know the rows of phases; leave one of the two out")
        if self.phases is None and self.drift != 1.0:
            raise ValueError(f"drift {self.drift:g} says how phases differ; give phases, too")
        return self

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        return changed(self)

    @model_serializer(mode="wrap")
    def _without_empty_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Plans read as if there were no such keys where they are not used.
        values: dict[str, Any] = handler(self)
        # No cost stands for what rows of the task cost, and a config does not know the task of a file.
        for key in ("cost", "embeddings", "encoding", "id", "separator", "task", "scheme", "phases"):
            if getattr(self, key) is None:
                values.pop(key, None)
        for key in ("tokens", "tags", "question", "context", "answers"):
            if getattr(self, key) == key:
                values.pop(key, None)
        for key in ("then", "drift", "column"):
            if getattr(self, key) == type(self).model_fields[key].default:
                values.pop(key, None)
        return values
