"""Which share of the gap between random and a greedy oracle strategies close, on eight corpora.

The oracle tries a dozen batches of strategies in each round and buys the one that brings most on dev rows,
whose labels it sees. It is a reference, not an upper bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from react_rl.experiments.studies.command import GrowingTable, run_study, study_parser
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.recorded import KEY, ORACLE, PRICE_BLIND, areas, record_all
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.metrics.curves import gap_closed

_RESAMPLES: Final = 2000


def closed(table: ScoreTable, strategy: str, corpus: str | None = None) -> tuple[float, float, float]:
    """Share of the gap that a strategy closes, with a 95 % bootstrap interval over seeds.

    Args:
        table: Areas, those of random and of the oracle among them.
        strategy: The strategy.
        corpus: One corpus; None takes the mean of all.
    """
    low, own, high = (table.of(name, corpus) for name in ("random", strategy, ORACLE))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(own), size=(_RESAMPLES, len(own)))
    shares = [gap_closed(low[some], own[some], high[some]) for some in drawn]
    below, above = np.quantile(shares, (0.025, 0.975))
    return gap_closed(low, own, high), float(below), float(above)


def markdown(table: ScoreTable) -> str:
    """Shares over all corpora and on each."""
    names = [name for name in PRICE_BLIND if name != "random"]
    lines = [
        "# Share of the gap to a greedy oracle, in numbers",
        "",
        f"Area under the test accuracy curve, 16 rounds of 5, {len(table.seeds)} paired seeds, "
        f"{len(table.corpora)} corpora: random {table.of('random').mean():.4f}, "
        f"{ORACLE} {table.of(ORACLE).mean():.4f}. 95 % bootstrap intervals over seeds.",
        "",
        f"| where | random | {ORACLE} | {' | '.join(names)} |",
        f"| --- | ---: | ---: |{' --- |' * len(names)}",
    ]
    for corpus in (None, *table.corpora):
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*closed(table, name, corpus)) for name in names]
        ends = [f"{table.of(name, corpus).mean():.4f}" for name in ("random", ORACLE)]
        lines.append(f"| {corpus or 'all'} | {' | '.join(ends)} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write the shares."""
    curves = GrowingTable(asked.out / "curves.csv", KEY, digits=3)
    ground, priced = (TransferCorpora(asked.data, asked.corpora, cost) for cost in (None, "tokens"))
    record_all(ground, priced, curves, asked.seeds, asked.seeds)
    found = areas(curves.frame[curves.frame["strategy"].isin((*PRICE_BLIND, ORACLE))])
    text = markdown(score_table(found, asked.corpora, asked.seeds))
    write_atomically(asked.out / "oracle_gap.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "oracle_gap", "results/ablations", seeds=16)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=list(CHOICES), help="names in `transfer`")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
