"""Which share of the gap between random and a greedy oracle strategies close.

The oracle tries a dozen batches of strategies in each round and buys the one that brings most on dev rows,
whose labels it sees. It is a reference, not an upper bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np

from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.recorded import NAMES, ORACLE, PRICE_BLIND, areas, record_all
from react_rl.experiments.studies.scores import Floats, ScoreTable
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.metrics.curves import gap_closed

_RESAMPLES: Final = 2000


def closed(table: ScoreTable, strategy: str, corpora: Sequence[str]) -> tuple[float, float, float]:
    """Share of the gap that a strategy closes, with a 95 % bootstrap interval over seeds.

    Args:
        table: Areas, those of random and of the oracle among them.
        strategy: The strategy.
        corpora: Corpora whose mean is taken.
    """
    low, own, high = (_mean(table, name, corpora) for name in ("random", strategy, ORACLE))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(own), size=(_RESAMPLES, len(own)))
    shares = [gap_closed(low[some], own[some], high[some]) for some in drawn]
    below, above = np.quantile(shares, (0.025, 0.975))
    return gap_closed(low, own, high), float(below), float(above)


def _mean(table: ScoreTable, strategy: str, corpora: Sequence[str]) -> Floats:
    return np.asarray(np.mean([table.of(strategy, corpus) for corpus in corpora], axis=0))


def _cell(share: float, below: float, above: float) -> str:
    """A share with its interval; none where the oracle is not above random in every sample."""
    interval = f" [{below:.2f}, {above:.2f}]" if np.isfinite([below, above]).all() else ""
    return f"{share:.2f}{interval}"


def shares(table: ScoreTable, oracle: ScoreTable, strategies: Sequence[str]) -> str:
    """Section on the share of the gap that strategies close over all corpora, on the seeds of the oracle.

    Args:
        table: Areas in rounds of five, those of random among them.
        oracle: Those of the oracle, on the same corpora.
        strategies: Whose shares are told, the largest area first.
    """
    seeds = min(len(oracle.seeds), len(table.seeds))
    values = {name: own[:seeds] for name, own in {**table.values, **oracle.values}.items()}
    both = ScoreTable(table.corpora, table.seeds[:seeds], values)
    lines = [
        "",
        "## Share of the gap to a greedy oracle",
        "",
        f"Rounds of 5, {len(table.corpora)} corpora, {seeds} seeds: of the distance from random "
        f"({both.mean('random'):.4f}) to the oracle ({both.mean(ORACLE):.4f}), with 95 % bootstrap intervals "
        "over seeds.",
        "",
        "| strategy | area | share |",
        "| --- | ---: | --- |",
    ]
    for name in sorted(strategies, key=both.mean, reverse=True):
        share, below, above = closed(both, name, table.corpora)
        lines.append(f"| {name} | {both.mean(name):.4f} | {share:.2f} [{below:.2f}, {above:.2f}] |")
    return "\n".join([*lines, ""])


def markdown(table: ScoreTable) -> str:
    """Shares over all corpora and on each."""
    names = [name for name in PRICE_BLIND if name != "random"]
    lines = [
        "# Share of the gap to a greedy oracle, in numbers",
        "",
        f"Area under the test accuracy curve, 16 rounds of 5, {len(table.seeds)} paired seeds; "
        "95 % bootstrap intervals over seeds.",
        "",
        f"| where | random | {ORACLE} | {' | '.join(names)} |",
        f"| --- | ---: | ---: |{' --- |' * len(names)}",
    ]
    chosen_on = [corpus for corpus in table.corpora if corpus in CHOICES]
    others = [corpus for corpus in table.corpora if corpus not in CHOICES]
    places = {"all": table.corpora, f"{len(chosen_on)} chosen on": chosen_on, f"{len(others)} others": others}
    for where, corpora in (places | {corpus: [corpus] for corpus in table.corpora}).items():
        if corpora:
            cells = [_cell(*closed(table, name, corpora)) for name in names]
            ends = [f"{_mean(table, name, corpora).mean():.4f}" for name in ("random", ORACLE)]
            lines.append(f"| {where} | {' | '.join(ends)} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write the shares."""
    curves = GrowingTable(asked.out / "curves.csv", NAMES, digits=3)
    ground, priced = (TransferCorpora(asked.data, asked.corpora, cost) for cost in (None, "tokens"))
    record_all(ground, priced, curves, asked.seeds, asked.seeds)
    found = areas(curves.frame[curves.frame["strategy"].isin((*PRICE_BLIND, ORACLE))])
    text = markdown(score_table(found, [corpus.name for corpus in ground.corpora], asked.seeds))
    write_atomically(asked.out / "oracle_gap.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "oracle_gap", "results/ablations", seeds=16, data=True)
    parser.add_argument("--corpora", nargs="+", help="names in `transfer`; the default is all")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
