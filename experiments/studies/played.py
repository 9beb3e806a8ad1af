"""Corpora of a comparison, and areas of strategies on them: what the studies of the policy have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.contract import QueryStrategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import unknown
from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.curves import area_to_budget
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus

PRESET: Final = "transfer"
"""The comparison whose corpora and episodes are taken."""

METRIC: Final = "accuracy"


class TransferCorpora:
    """Corpora and episodes of the comparison ``transfer``.

    Args:
        data: Folder of the corpora.
        names: Some of them; None takes all.
        cost: Cost model of their labels; None leaves it as it is.
        max_rows: Most rows of each; None leaves it as it is.
        encoder: What embeds them; None leaves it as it is.
        episode: Sizes of an episode that differ.
        others: Corpora that are taken in place of the comparison's.

    Raises:
        ReActError: The comparison has no corpus of such a name.
    """

    def __init__(
        self,
        data: Path,
        names: Sequence[str] | None = None,
        cost: str | None = None,
        max_rows: int | None = None,
        encoder: EncoderConfig | None = None,
        episode: Mapping[str, float] = MappingProxyType({}),
        others: Sequence[CorpusConfig] = (),
    ) -> None:
        config = load_config(CompareConfig, PRESET)
        sizes = config.episode.model_copy(update=dict(episode))
        self.config = config.model_copy(update={"episode": sizes})
        self.corpora: list[EncodedCorpus] = prepare(
            list(others) or self._chosen(data, names, cost, max_rows),
            encoder or config.encoder,
            "cpu",
            episode=self.config.episode,
        )

    def _chosen(
        self, data: Path, names: Sequence[str] | None, cost: str | None, max_rows: int | None
    ) -> list[CorpusConfig]:
        """Corpora of the comparison, in the folder of corpora."""
        known = {str(corpus.name): corpus for corpus in self.config.corpora}
        chosen = list(known) if names is None else list(names)
        for name in chosen:
            if name not in known:
                raise unknown("corpus", name, list(known))
        configs = []
        for name in chosen:
            changes: dict[str, object] = {
                "corpus": str(data / Path(known[name].corpus).relative_to("data")),
                "cost": cost,
            }
            if max_rows is not None:
                changes["max_rows"] = max_rows
            configs.append(known[name].model_copy(update=changes))
        return configs

    def areas(
        self,
        corpus: EncodedCorpus,
        strategy: QueryStrategy,
        name: str,
        seeds: int,
        learner: LearnerSettings | None = None,
        dev_size: int | None = None,
    ) -> pd.DataFrame:
        """Area under the test accuracy of each seed: columns corpus, strategy, seed, area.

        Args:
            corpus: One of ``corpora``.
            strategy: What is played.
            name: Its name in the table.
            seeds: Paired episodes.
            learner: Another learner than the softmax regression.
            dev_size: Rows of the dev set, or as many as there are; None leaves the episode's.
        """
        episode, size = self.config.episode, self.config.test_size
        if dev_size is not None:
            rows = min(dev_size, len(corpus.corpus.ids("dev")))
            episode = episode.model_copy(update={"dev_size": rows})
        played = play(corpus, strategy, range(seeds), episode, [METRIC], size, learner).results
        budget = self.config.episode.budget
        areas = [
            area_to_budget(np.array(one["cost"]), np.array(one["test"][METRIC]), budget) for one in played
        ]
        return pd.DataFrame({"corpus": corpus.name, "strategy": name, "seed": range(seeds), "area": areas})


def score_table(areas: pd.DataFrame, corpora: Sequence[str], seeds: int) -> ScoreTable:
    """Areas as a table of scores: the corpora and seeds named, strategies in order of appearance."""
    some = areas[areas["corpus"].isin(corpora) & (areas["seed"] < seeds)]
    values = {
        str(name): own.pivot(index="seed", columns="corpus", values="area")[list(corpora)].to_numpy(float)
        for name, own in some.groupby("strategy", sort=False)
    }
    return ScoreTable(tuple(corpora), tuple(range(seeds)), values)
