"""Which network imitation should fit: the row scorer, deep sets or attention, on the same states.

States, candidates and what the expert said are those of the base of the small trainings. One network of each
kind is fitted and judged on the eight corpora of these trainings, then one more from other first weights, and
so on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.fitting import fit_ensemble
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States, weighted_mean
from react_rl.agents.networks import PoolScorer
from react_rl.agents.scorer import ScorerStrategy
from react_rl.experiments.config.models import ImitateConfig, load_config
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.trainings import Collection
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.simulation.encoded import EncodedCorpus

NETWORKS: Final = ("scorer", "deep-sets", "attention")

REFERENCES: Final = ("mixture",)

KEPT_BACK: Final = 960
"""States of other tasks on which it is measured how much of the expert's gains a network explains."""

_FRESH: Final = 90_000
"""Numbers of their groups of episodes begin here."""

_NAMES: Final = ("corpus", "strategy")


class SharedStates:
    """States that the networks are fitted to and measured on.

    Args:
        config: The base of the small trainings.
        data: Folder of the corpora.
        folder: Where states are kept.
    """

    def __init__(self, config: ImitateConfig, data: Path, folder: Path) -> None:
        # Rows that stand for the pool are recorded for networks that look at some; all else is the same.
        seen = config.imitation.model_copy(update={"network": "deep-sets"})
        self.settings = config.imitation
        self._config = config.model_copy(update={"imitation": seen})
        self._folder = folder
        self._collection = Collection(self._config, data, folder)

    @property
    def states(self) -> States:
        """The states of the base."""
        return self._collection["base"]

    def kept_back(self) -> States:
        """States of mixed behaviour on tasks that no network was fitted to."""
        parts: list[States] = []
        while sum(len(part) for part in parts) < KEPT_BACK:
            group = _FRESH + len(parts)

            def collected(group: int = group) -> States:
                corpora = self._collection.invented()
                return collect(corpora, self._config.episode, self._config.imitation, group)

            parts.append(States.kept(self._folder / f"fresh-{group:06d}.safetensors", collected))
        return States.join(parts)


def fitted(
    name: str, fit: int, states: States, settings: ImitationSettings, networks: int = 1
) -> ScorerStrategy:
    """The policy of one fit of a network, or of the mean of several from this one on."""
    changes = {"network": name, "networks": networks, "seed": settings.seed + fit}
    own = called(name, fit) if networks == 1 else together(name)
    return ScorerStrategy(own, fit_ensemble(states, settings.model_copy(update=changes)), settings.features)


def together(name: str) -> str:
    """Name of the averaged fits in the table."""
    return f"{name} (averaged)"


def called(name: str, fit: int) -> str:
    """Name of a fit in the table."""
    return f"{name} ({fit + 1})"


@torch.inference_mode()
def explained(policy: ScorerStrategy, states: States) -> float:
    """Share of the variance of the expert's gains, in deviations of each state, that a policy explains."""
    targets, missed = states.targets, []
    for chosen in torch.split(torch.arange(len(states)), 256):
        seen = (states.rows[chosen].float(), states.context[chosen])
        parts = []
        for member in policy.network.members:  # type: ignore[union-attr]
            further = (states.beside[chosen].float(),) if isinstance(member, PoolScorer) else ()
            parts.append(member(*seen, *further))
        scores = torch.stack(parts).mean(0)
        missed.append(scores - weighted_mean(scores, states.weights[chosen]) - targets[chosen])
    return 1.0 - float(torch.cat(missed).square().mean() / targets.square().mean())


def averaged(table: ScoreTable, fits: int) -> ScoreTable:
    """The table with the mean of the fits in place of each, under the network's name."""
    values = {
        name: sum((table.values[called(name, fit)] for fit in range(fits)), np.zeros(1)) / fits
        for name in NETWORKS
    }
    return ScoreTable(table.corpora, table.seeds, values | {one: table.values[one] for one in REFERENCES})


def markdown(table: ScoreTable, shares: Mapping[str, float], fits: int, states: int) -> str:
    """Areas and differences by network, then differences to the row scorer by fit and by corpus."""
    mean = averaged(table, fits)
    lines = [
        "# Networks under imitation, in numbers",
        "",
        f"Area under the test accuracy curve, {len(table.corpora)} corpora, {len(table.seeds)} paired seeds, "
        f"{fits} network{'s' * (fits > 1)} of each kind fitted to the same {states:,} states; differences x "
        "1,000 with 95 % t-intervals over seeds, * where they exclude 0. Explained: share of the variance of "
        "the expert's gains on states of other tasks.",
        "",
        "| network | explained | area | minus scorer | minus mixture |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for name in mean.values:
        cells = [gap(mean, name, rival).long if name != rival else "" for rival in ("scorer", "mixture")]
        share = sum(shares[called(name, fit)] for fit in range(fits)) / fits if name in NETWORKS else None
        said = "" if share is None else f"{share:.3f}"
        lines.append(f"| {name} | {said} | {mean.of(name).mean():.4f} | {' | '.join(cells)} |")
    if fits > 1:
        lines += ["", "| fit | explained | area | minus the row scorer's |", "| --- | ---: | ---: | --- |"]
        for fit in range(fits):
            for name in NETWORKS:
                one, base = called(name, fit), called("scorer", fit)
                cell = gap(table, one, base).long if one != base else ""
                lines.append(f"| {one} | {shares[one]:.3f} | {table.of(one).mean():.4f} | {cell} |")
        lines += [
            "",
            "| all fits in one policy | area | minus the row scorer's | minus mixture |",
            "| --- | ---: | --- | --- |",
        ]
        for name in NETWORKS:
            one, base = together(name), together("scorer")
            cells = [gap(table, one, rival).long if one != rival else "" for rival in (base, "mixture")]
            lines.append(f"| {name} | {table.of(one).mean():.4f} | {' | '.join(cells)} |")
    lines += ["", "| corpus | deep-sets minus scorer | attention minus scorer |", "| --- | --- | --- |"]
    for corpus in table.corpora:
        cells = [gap(mean, name, "scorer", [corpus]).long for name in ("deep-sets", "attention")]
        lines.append(f"| {corpus} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Collect, fit, judge; what is on disk already is not done again."""
    config = load_config(ImitateConfig, str(asked.config))
    shared = SharedStates(config, asked.data, asked.out / "states")
    corpora = TransferCorpora(asked.data, CHOICES)
    areas = GrowingTable(asked.out / "networks.csv", _NAMES)
    explains = GrowingTable(asked.out / "networks_explained.csv", ("strategy",), (), 4)

    def unjudged(name: str) -> list[EncodedCorpus]:
        return [
            one for one in corpora.corpora if not areas.holds(asked.seeds, strategy=name, corpus=one.name)
        ]

    def judge(strategy: QueryStrategy) -> None:
        for corpus in unjudged(strategy.name):
            areas.add(corpora.areas(corpus, strategy, strategy.name, asked.seeds))
        say(f"{strategy.name} is judged")

    states, fresh = shared.states, shared.kept_back()
    for name in REFERENCES:
        judge(make_strategy(name))
    for fit in range(asked.fits):
        for name in NETWORKS:
            own = called(name, fit)
            if explains.holds(strategy=own) and not unjudged(own):
                continue
            policy = fitted(name, fit, states, shared.settings)
            share = explained(policy, fresh)
            explains.add(pd.DataFrame({"strategy": [own], "explained": [share]}))
            say(f"{own}: {share:.3f} of the variance explained")
            judge(policy)
    for name in NETWORKS if asked.fits > 1 else ():
        if unjudged(together(name)):
            judge(fitted(name, 0, states, shared.settings, asked.fits))
    shares = dict(zip(explains.frame["strategy"], explains.frame["explained"], strict=True))
    text = markdown(score_table(areas.frame, CHOICES, asked.seeds), shares, asked.fits, len(states))
    write_atomically(asked.out / "networks.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "networks", "results/ablations", seeds=16, data=True)
    parser.add_argument(
        "--config", type=Path, default=Path("results/ablations/base.yaml"), help="the base training"
    )
    parser.add_argument("--fits", type=int, default=1, help="networks of each kind, each judged by itself")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
