"""Does the policy that ships adapt to the pool, or does it only have better weights?

Beside a row's features it sees numbers that all rows share: how far the episode is and what the pool looks
like. Here these numbers are recorded while it plays, and given to it in another order, or as their mean.
Nothing is trained. The corpora are those of ``packaged``, on which nothing of it was made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from react_rl.acquisition.registry import make_strategy
from react_rl.agents.learned import LearnedStrategy
from react_rl.agents.scorer import ScorerStrategy, row_context
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.packaged_corpora import add_data_option, packaged_configs
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import POLICY
from react_rl.files import write_atomically
from react_rl.simulation.view import PoolView

VARIANTS: Final = {
    "other pools": "numbers of another episode, on any corpus, in the same round",
    "other pools and rounds": "numbers of any episode in any round",
    "mean of the round": "mean of all episodes in the same round",
    "mean": "mean of all episodes and rounds",
}
"""What the policy is shown in place of its context."""

RIVALS: Final = ("mixture", "uncertainty-herding")

FEW: Final = 8
"""Most classes of a corpus with few."""

COLOURS: Final = dict(zip(VARIANTS, ("#D55E00", "#CC79A7", "#0072B2", "#009E73"), strict=True))


class Recorder:
    """Plays a policy and keeps the context of each round.

    Args:
        policy: The policy.
    """

    def __init__(self, policy: ScorerStrategy) -> None:
        self.name = policy.name
        self._policy = policy
        self.contexts: list[Tensor] = []

    def score(self, view: PoolView) -> Tensor:
        """Scores of the policy ``(E, P)``."""
        return self._policy.score(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose as the policy does, and keep what it saw ``(E, G)``. Mutates."""
        self.contexts.append(row_context(view, self._policy.context))
        return self._policy.select(view, n)


class WithContext:
    """A policy that is given a context in each round, whatever the pool looks like.

    Args:
        policy: The policy.
        name: Name in tables.
        given: ``(T, E, G)`` contexts of each round.
    """

    def __init__(self, policy: ScorerStrategy, name: str, given: Tensor) -> None:
        self.name = name
        self._policy, self._given, self._turn = policy, given, 0

    def _now(self) -> ScorerStrategy:
        network = _Given(self._policy.network, self._given[self._turn])
        return ScorerStrategy(self.name, network, self._policy.features, self._policy.context)

    def score(self, view: PoolView) -> Tensor:
        """Scores of all rows as the first pick ``(E, P)``."""
        return self._now().score(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows; the next call takes the next round's context. Mutates."""
        ids = self._now().select(view, n)
        self._turn += 1
        return ids


class _Given(nn.Module):
    """A network that sees one context in place of all others."""

    def __init__(self, network: nn.Module, context: Tensor) -> None:
        super().__init__()
        self.network, self._context = network, context

    def forward(self, rows: Tensor, _: Tensor) -> Tensor:
        scores: Tensor = self.network(rows, self._context)
        return scores


def replaced(contexts: Tensor, variant: str, seed: int = 0) -> Tensor:
    """What is shown in place of contexts.

    Args:
        contexts: ``(C, T, E, G)`` by corpus, round and episode.
        variant: One of ``VARIANTS``.
        seed: Of the permutation.

    Returns:
        As many, in the same order of axes.
    """
    corpora, rounds, episodes, numbers = contexts.shape
    if variant == "mean":
        return contexts.mean((0, 1, 2)).expand_as(contexts)
    if variant == "mean of the round":
        return contexts.mean((0, 2), keepdim=True).expand_as(contexts)
    rng = np.random.default_rng(seed)
    if variant == "other pools and rounds":
        order = torch.from_numpy(rng.permutation(corpora * rounds * episodes))
        return contexts.reshape(-1, numbers)[order].reshape(contexts.shape)
    by_round = contexts.transpose(0, 1).reshape(rounds, corpora * episodes, numbers)
    shuffled = torch.stack([one[torch.from_numpy(rng.permutation(len(one)))] for one in by_round])
    return shuffled.reshape(rounds, corpora, episodes, numbers).transpose(0, 1)


def markdown(tables: dict[str, ScoreTable]) -> str:
    """Differences to the policy as it ships, by group of corpora, then by corpus."""
    whole = next(iter(tables.values()))
    lines = [
        "# The policy without its context, in numbers",
        "",
        f"Area under the test accuracy curve minus that of `{POLICY}` as it ships, x 1,000; "
        f"{len(whole.seeds)} paired seeds, 16 rounds of 5, 95 % t-intervals over seeds, "
        "* where they exclude 0.",
        "",
        f"| shown in place of the context | {' | '.join(tables)} |",
        f"| --- |{' --- |' * len(tables)}",
    ]
    names = [name for name in whole.values if name != POLICY]
    lines += [
        f"| {VARIANTS.get(name, f'({name})')} | "
        f"{' | '.join(gap(table, name, POLICY).long for table in tables.values())} |"
        for name in names
    ]
    lines += [
        "",
        "## By corpus",
        "",
        f"| corpus | area | {' | '.join(names)} |",
        f"| --- | ---: |{' ---: |' * len(names)}",
    ]
    for corpus in whole.corpora:
        cells = [gap(whole, name, POLICY, [corpus]).short for name in names]
        lines.append(f"| {corpus} | {whole.of(POLICY, corpus).mean():.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(table: ScoreTable) -> Figure:
    """One row for each corpus, one mark for each variant: area minus that of the policy."""
    order = sorted(table.corpora, key=lambda corpus: gap(table, "mean", POLICY, [corpus]).mean)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.36 * len(order) + 1.1), layout="constrained")
        panel = figure.subplots()
        for y in range(0, len(order), 2):
            panel.axhspan(y - 0.5, y + 0.5, color="0.95", zorder=0)
        for k, (variant, colour) in enumerate(COLOURS.items()):
            found = [gap(table, variant, POLICY, [corpus]) for corpus in order]
            panel.errorbar(
                [one.mean for one in found],
                [y + 0.2 * (k - 1.5) for y in range(len(order))],
                xerr=[one.half for one in found],
                fmt="o", markersize=3.2, linewidth=0.9, color=colour, label=variant,
            )  # fmt: skip
        panel.axvline(0, color="0.3", linewidth=0.9, zorder=1)
        panel.set_yticks(range(len(order)), order)
        panel.set_ylim(len(order) - 0.5, -0.5)
        panel.set_xlabel(f"area minus that of {POLICY} with its own context (95 % intervals over seeds)")
        panel.grid(axis="y", visible=False)
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def study(asked: argparse.Namespace) -> str:
    """Record, shuffle, play; write areas, tables and figure."""
    policy = LearnedStrategy.from_pretrained()
    areas = GrowingTable(asked.out / "context.csv", ["corpus", "strategy"], settings={POLICY: repr(policy)})
    ground = TransferCorpora(asked.data, others=packaged_configs(asked.data, asked.corpora))
    missing = any(
        not areas.holds(asked.seeds, corpus=corpus.name, strategy=name)
        for corpus in ground.corpora
        for name in (POLICY, *VARIANTS)
    )
    if missing:
        contexts = []
        for corpus in ground.corpora:
            recorder = Recorder(policy)
            areas.add(ground.areas(corpus, recorder, POLICY, asked.seeds))
            contexts.append(torch.stack(recorder.contexts))
            say(f"{corpus.name} is recorded")
        for variant in VARIANTS:
            given = replaced(torch.stack(contexts), variant)
            for corpus, own in zip(ground.corpora, given, strict=True):
                if not areas.holds(asked.seeds, corpus=corpus.name, strategy=variant):
                    strategy = WithContext(policy, variant, own)
                    areas.add(ground.areas(corpus, strategy, variant, asked.seeds))
            say(f"{variant}: played")
    for name in RIVALS:
        for corpus in ground.corpora:
            if not areas.holds(asked.seeds, corpus=corpus.name, strategy=name):
                areas.add(ground.areas(corpus, make_strategy(name), name, asked.seeds))
    classes = {corpus.name: corpus.corpus.n_classes for corpus in ground.corpora}
    groups = {
        f"all {len(classes)} corpora": list(classes),
        f"more than {FEW} classes": [name for name, many in classes.items() if many > FEW],
        f"{FEW} or fewer": [name for name, many in classes.items() if many <= FEW],
    }
    tables = {
        title: score_table(areas.frame, members, asked.seeds) for title, members in groups.items() if members
    }
    text = markdown(tables)
    write_atomically(asked.out / "context.md", text)
    save_figures(asked.out, {"context": draw(next(iter(tables.values())))})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "context", "results/ablations", seeds=24)
    add_data_option(parser)
    parser.add_argument("--corpora", nargs="+", help="some of these corpora; the default is all")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
