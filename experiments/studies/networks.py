"""Which network imitation should fit: the row scorer, deep sets or attention, on the same states.

States, candidates and what the expert said are those of the base of the small trainings. Each kind is fitted
twice, one network each time, from different first weights, and judged on ten corpora.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

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

NETWORKS: Final = ("scorer", "deep-sets", "attention")

MANY_CLASSES: Final = ("banking77", "clinc150")
"""The context helps where there are many classes; what others of the pool say may, too."""

JUDGED_ON: Final = (*CHOICES, *MANY_CLASSES)
"""Written down before anything was trained."""

FITS: Final = 2
"""Times that each network is fitted, from other first weights and in another order of the states."""

REFERENCES: Final = ("mixture", "uncertainty-herding", "learned")

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


def fitted(name: str, fit: int, states: States, settings: ImitationSettings) -> ScorerStrategy:
    """The policy of a network."""
    own = settings.model_copy(update={"network": name, "networks": 1, "seed": settings.seed + fit})
    return ScorerStrategy(called(name, fit), fit_ensemble(states, own), settings.features)


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


def averaged(table: ScoreTable) -> ScoreTable:
    """The table with the mean of the fits in place of each, under the network's name."""
    values = dict(table.values)
    for name in NETWORKS:
        fits = [values.pop(called(name, fit)) for fit in range(FITS)]
        values[name] = sum(fits[1:], fits[0]) / FITS
    order = [*NETWORKS, *(one for one in values if one not in NETWORKS)]
    return ScoreTable(table.corpora, table.seeds, {one: values[one] for one in order})


def markdown(table: ScoreTable, shares: dict[str, float], states: int) -> str:
    """Areas and differences by network, then differences to the row scorer by fit and by corpus."""
    mean = averaged(table)
    lines = [
        "# Networks under imitation, in numbers",
        "",
        f"Area under the test accuracy curve, {len(table.corpora)} corpora, {len(table.seeds)} paired seeds, "
        f"mean of {FITS} fits of one network each to the same {states:,} states; differences x 1,000 with "
        "95 % t-intervals over seeds, * where they exclude 0. Explained: share of the variance of the "
        "expert's gains on states of other tasks.",
        "",
        f"| network | explained | area | minus scorer | minus mixture | minus scorer, "
        f"{len(CHOICES)} chosen on | minus scorer, {' and '.join(MANY_CLASSES)} |",
        "| --- | ---: | ---: | --- | --- | --- | --- |",
    ]
    for name in mean.values:
        own = [shares[called(name, fit)] for fit in range(FITS)] if name in NETWORKS else []
        cells = [
            gap(mean, name, rival, corpora).long if name != rival else ""
            for rival, corpora in (
                ("scorer", None),
                ("mixture", None),
                ("scorer", CHOICES),
                ("scorer", MANY_CLASSES),
            )
        ]
        share = f"{sum(own) / FITS:.3f}" if own else ""
        lines.append(f"| {name} | {share} | {mean.of(name).mean():.4f} | {' | '.join(cells)} |")
    lines += ["", "| fit | explained | area | minus scorer (1) |", "| --- | ---: | ---: | --- |"]
    for name in NETWORKS:
        for fit in range(FITS):
            own_name = called(name, fit)
            cell = gap(table, own_name, called("scorer", 0)).long if own_name != called("scorer", 0) else ""
            lines.append(
                f"| {own_name} | {shares[own_name]:.3f} | {table.of(own_name).mean():.4f} | {cell} |"
            )
    lines += ["", "| corpus | deep-sets minus scorer | attention minus scorer |", "| --- | --- | --- |"]
    for corpus in table.corpora:
        cells = [gap(mean, name, "scorer", [corpus]).long for name in ("deep-sets", "attention")]
        lines.append(f"| {corpus} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Collect, fit, judge; what is on disk already is not done again."""
    config = load_config(ImitateConfig, str(asked.config))
    shared = SharedStates(config, asked.data, asked.out / "states")
    corpora = TransferCorpora(asked.data, JUDGED_ON)
    areas = GrowingTable(asked.out / "networks.csv", _NAMES)
    states, fresh = shared.states, shared.kept_back()
    shares: dict[str, float] = {}
    policies = [fitted(name, fit, states, shared.settings) for fit in range(FITS) for name in NETWORKS]
    for policy in policies:
        shares[policy.name] = explained(policy, fresh)
        say(f"{policy.name}: {shares[policy.name]:.3f} of the variance explained")
    for strategy in (*policies, *map(make_strategy, REFERENCES)):
        for corpus in corpora.corpora:
            if not areas.holds(asked.seeds, strategy=strategy.name, corpus=corpus.name):
                areas.add(corpora.areas(corpus, strategy, strategy.name, asked.seeds))
        say(f"{strategy.name} is judged")
    text = markdown(score_table(areas.frame, JUDGED_ON, asked.seeds), shares, len(states))
    write_atomically(asked.out / "networks.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "networks", "results/ablations", seeds=16, data=True)
    parser.add_argument(
        "--config", type=Path, default=Path("results/ablations/base.yaml"), help="the base training"
    )
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
