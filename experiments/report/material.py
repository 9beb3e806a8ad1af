"""What the sections of a report share: the comparison as it was read, and the numbers computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from react_rl.experiments.analysis.diagnostics import RunFiles
from react_rl.experiments.analysis.numbers import Scores
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.figures.curves import key_of
from react_rl.experiments.figures.looks import Looks, looks_of, metric_name
from react_rl.experiments.report.page import legend

NOTHING_SHARED: Final = "Left out: no seed is finished by every strategy on a corpus that all were played on."


class _EpisodeShape(BaseModel):
    model_config = ConfigDict(extra="allow")

    initial_size: int
    batch_size: int


class PlanShape(BaseModel):
    """What a report shows of the config in a plan, by whichever version it was written."""

    model_config = ConfigDict(extra="allow")

    name: str
    seeds: int
    first_seed: int
    strategies: list[str]
    encoder: dict[str, Any]
    learner: dict[str, Any]
    episode: _EpisodeShape


@dataclass(frozen=True)
class Material:
    """What a report says of the corpora of one task is made of this.

    Args:
        folder: The comparison's folder.
        plan: Its config as it was written, as if there were no other corpora.
        config: The same as a model; None where this version cannot read it.
        results: Curves of all runs.
        table: The summary.
        runs: Area, final metric, labels and cost of each run.
        curves: Mean curves with intervals.
        scores: Aligned scores, if there are any.
        files: What only the run files say.
        shown: Strategies drawn in colour.
        sign: 1 where a higher metric is better, else -1.
    """

    folder: Path
    plan: dict[str, Any]
    config: CompareConfig | None
    results: Results
    table: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    scores: Scores | None
    files: RunFiles
    shown: list[str]
    sign: float

    @property
    def looks(self) -> Looks:
        """Lines of all strategies, in their order."""
        looks = looks_of(self.results.strategies, self.results.trained)
        return {strategy: looks[strategy] for strategy in self.results.strategies}

    @property
    def key(self) -> Markup:
        """The legend of all line figures."""
        return legend(key_of(self.looks, self.shown))

    @property
    def group(self) -> str:
        """The rows of the summary that stand for the whole: mean of the corpora, or the only corpus."""
        corpora = self.table["corpus"]
        return ALL_CORPORA if (corpora == ALL_CORPORA).any() else str(corpora.iloc[0])

    @property
    def metric(self) -> str:
        """The metric as it is written in texts."""
        return metric_name(self.results.metric)


@dataclass(frozen=True)
class ReportMaterial:
    """What a report is made of.

    Args:
        folder: The comparison's folder.
        plan: Its config as it was written.
        tasks: What there is to say of each task's corpora.
        files: What only the run files say, of all runs.
    """

    folder: Path
    plan: dict[str, Any]
    tasks: list[Material]
    files: RunFiles

    @property
    def policies(self) -> Mapping[str, str]:
        """Folder of each trained policy by its name."""
        return self.tasks[0].results.policies
