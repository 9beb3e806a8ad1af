"""What must be in the files of a comparison for tables, figures and reports to rely on them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from react_rl.experiments.run.altered import CLEAN
from react_rl.validation import Name

_Ids = list[Annotated[int, Field(ge=0)]]


class _Read(BaseModel):
    """What must be in a file for the rest to rely on it; whatever else is in it stays."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class _Identity(_Read):
    corpus: Name
    strategy: Name
    seed: int = Field(ge=0)
    key: str = Field(min_length=10)


class _Phases(_Read):
    """What a run says of phases that have ended: a row of each matrix for each of them."""

    names: Annotated[list[Name], Field(min_length=2)]
    classes: int = Field(ge=1)
    test: dict[str, list[list[float]]]

    @model_validator(mode="after")
    def _check_rows(self) -> _Phases:
        for name, rows in self.test.items():
            if len(rows) > len(self.names) or any(len(row) != len(self.names) for row in rows):
                raise ValueError(f"a row of {name} does not have {len(self.names)} values")
        return self


class _Bins(_Read):
    rows: list[int]
    confidence: list[float]
    correct: list[int]

    @model_validator(mode="after")
    def _check_lengths(self) -> _Bins:
        if not len(self.rows) == len(self.confidence) == len(self.correct) > 0:
            raise ValueError("its bins have different numbers of rows, confidence and correct")
        return self


class _Calibration(_Read):
    temperature: float
    before: _Bins
    after: _Bins


class _Group(_Read):
    rows: int = Field(ge=0)
    correct: int = Field(ge=0)


class _Counts(_Read):
    """Rows and right ones: of each class, and of each group."""

    rows: list[int]
    correct: list[int]
    predicted: list[int]
    groups: dict[Name, _Group]


class _Disturbed(_Counts):
    """Counts under a disturbance, and the rows that it has predicted as another class."""

    changed: int = Field(ge=0)


class _Analysis(_Read):
    """What a run keeps of its last model."""

    classes: list[str]
    calibration: _Calibration | None = None
    per_class: _Counts | None = Field(default=None, alias="per-class")
    robustness: dict[str, _Disturbed] | None = None

    @model_validator(mode="after")
    def _check_classes(self) -> _Analysis:
        counts = [*(self.robustness or {}).values(), *([] if self.per_class is None else [self.per_class])]
        for one in counts:
            if not len(one.rows) == len(one.correct) == len(one.predicted) == len(self.classes):
                raise ValueError(f"its counts are not those of {len(self.classes)} classes")
        if self.robustness is not None and CLEAN not in self.robustness:
            raise ValueError(f"its robustness has no {CLEAN!r}")
        return self


class RunFile(_Identity):
    """A run file."""

    cost: Annotated[list[float], Field(min_length=1)]
    labels: list[int]
    dev: dict[str, list[float]]
    test: dict[str, list[float]]
    initial: _Ids
    batches: list[_Ids]
    full: dict[str, float] = {}
    features: list[str] = []
    weights: list[list[float]] = []
    phases: _Phases | None = None
    analysis: _Analysis | None = None

    @model_validator(mode="after")
    def _check_lengths(self) -> RunFile:
        columns = {"labels": self.labels}
        columns |= {f"{split}.{n}": v for split in ("dev", "test") for n, v in getattr(self, split).items()}
        for name, column in columns.items():
            if len(column) != len(self.cost):
                raise ValueError(f"{name} has {len(column)} values where cost has {len(self.cost)}")
        if self.cost != sorted(self.cost):
            raise ValueError("its cost falls")
        if self.features and any(len(row) != len(self.features) for row in self.weights):
            raise ValueError(f"a row of its weights does not have {len(self.features)} values")
        return self


class CircumstancesFile(_Read):
    """What a report shows of the circumstances of a run."""

    versions: dict[str, str] = {}
    git_dirty: bool | None = None
    selection_seconds: float | None = None
    training_seconds: float | None = None


class _Episode(_Read):
    budget: float = Field(gt=0)


class _Config(_Read):
    """What tables and figures need of the config of a comparison."""

    metrics: Annotated[list[str], Field(min_length=1)]
    episode: _Episode
    reference: Name
    strategies: list[str] = []


class _Task(_Read):
    """What a plan says of the corpora of one task."""

    config: _Config
    corpora: Annotated[list[Name], Field(min_length=1)]


class PlanFile(_Read):
    """A plan file."""

    config: _Config
    runs: Annotated[list[_Identity], Field(min_length=1)]
    policies: dict[Name, str] = {}
    tasks: dict[Name, _Task] = {}
    corpora: dict[Name, str] = {}
