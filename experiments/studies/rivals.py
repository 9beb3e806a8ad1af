"""How strategies from the literature do: paired differences of areas, over all corpora and on each.

The comparison is the preset ``rivals``. What this writes is made from a small table of areas, which is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.figures.page import SCREEN
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.gaps import Gap, gap
from react_rl.experiments.studies.scores import FOLDER, Measure, ScoreTable, collect, read_scores
from react_rl.files import write_atomically

NAME: Final = "rivals"
MEASURES: Final = {NAME: Measure("rivals")}
"""The table of areas by name."""

REFERENCES: Final = ("random", "margin", "uncertainty-herding", "mixture")
"""Strategies that all others are set against."""
POLICIES: Final = ("learned", "imitated")
"""Trained policies among the strategies."""


Gaps = dict[tuple[str, str, str], Gap]
"""What a strategy has over a rival on a corpus, ``""`` for all corpora."""


def gaps_of(table: ScoreTable) -> Gaps:
    """Every strategy, best first, against every reference, on all corpora and on each."""
    order = sorted(table.values, key=lambda strategy: -float(table.of(strategy).mean()))
    references = [rival for rival in REFERENCES if rival in table.values]
    return {
        (strategy, rival, corpus): gap(table, strategy, rival, [corpus] if corpus else None)
        for strategy in order
        for rival in references
        if rival != strategy
        for corpus in ("", *table.corpora)
    }


def markdown(table: ScoreTable, found: Gaps) -> str:
    """The differences as two tables: over all corpora, and to random by corpus."""
    order = list(dict.fromkeys(strategy for strategy, _, _ in found))
    rivals = [rival for rival in REFERENCES if rival in table.values]

    def cell(strategy: str, rival: str) -> str:
        one = found.get((strategy, rival, ""))
        return "" if one is None else f"{one.long} ({one.won:.2f})"

    def of_corpus(strategy: str, corpus: str) -> str:
        one = found.get((strategy, rivals[0], corpus))
        return "" if one is None else one.short

    return "\n".join(
        [
            "# Rivals, in numbers",
            "",
            "Area under the test accuracy curve x 1,000 minus that of four strategies, "
            f"{len(table.seeds)} paired seeds on {len(table.corpora)} corpora; 95 % t-interval over seeds, "
            "* where it excludes 0; in brackets the share of pairs won.",
            "",
            f"| strategy | area | minus {' | minus '.join(rivals)} |",
            f"| --- | ---: |{' --- |' * len(rivals)}",
            *(
                f"| {strategy} | {table.of(strategy).mean():.4f} | "
                f"{' | '.join(cell(strategy, rival) for rival in rivals)} |"
                for strategy in order
            ),
            "",
            f"## By corpus, minus {rivals[0]}",
            "",
            f"| strategy | {' | '.join(table.corpora)} |",
            f"| --- |{' ---: |' * len(table.corpora)}",
            *(
                f"| {strategy} | {' | '.join(of_corpus(strategy, corpus) for corpus in table.corpora)} |"
                for strategy in order
                if strategy != rivals[0]
            ),
            "",
        ]
    )


def draw(table: ScoreTable, found: Gaps) -> Figure:
    """Every strategy minus the first reference, over all corpora and on each; policies are black."""
    rival = next(one for one in REFERENCES if one in table.values)
    order = [one for one in dict.fromkeys(strategy for strategy, _, _ in found) if one != rival][::-1]
    panels = ["", *table.corpora]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + 2.1 * len(panels), 0.21 * len(order) + 1.0), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, corpus in zip(axes, panels, strict=True):
            for level, strategy in enumerate(order):
                one = found[strategy, rival, corpus]
                look = {"color": "#000000" if strategy in POLICIES else "#0072B2", "linewidth": 1.6}
                ax.plot([1000 * one.low, 1000 * one.high], [level, level], **look)
                ax.plot([1000 * one.mean], [level], marker="o", markersize=4.5, **look)
            ax.axvline(0.0, color="#444444", linewidth=0.8)
            ax.set_title(corpus or f"mean of {len(table.corpora)} corpora")
        axes[0].set_yticks(range(len(order)), order)
        axes[0].set_ylim(-0.6, len(order) - 0.4)
        figure.supxlabel(f"area under the test accuracy curve x 1,000 minus that of {rival}", fontsize=9)
    return figure


def write(results: Path, out: Path) -> str:
    """Read what was played, and write areas, differences, tables and the figure.

    Args:
        results: Folder of the comparisons; the table in ``out`` stands in where it is not there.
        out: Folder to write.

    Returns:
        The tables.

    Raises:
        ReActError: There is neither the comparison nor the table.
    """
    collect(results, out, MEASURES)
    if not (out / FOLDER / f"{NAME}.csv").is_file():
        raise ReActError(f"{results} does not hold the comparison; run `react-rl compare rivals` first.")
    table = read_scores(out, NAME, MEASURES)
    found = gaps_of(table)
    text = markdown(table, found)
    lines = [(*names, one.mean, one.half, one.won) for names, one in found.items()]
    frame = pd.DataFrame(lines, columns=["strategy", "rival", "corpus", "mean", "half", "won"])
    write_atomically(out / "gaps.csv", csv_text(frame.round(6)))
    write_atomically(out / "tables.md", text)
    save_figures(out, {"gains": draw(table, found)}, SCREEN, ("png",))
    return text


def study(asked: argparse.Namespace) -> str:
    """Write the tables of what was played."""
    return write(asked.results, asked.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "rivals", "results/rivals")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the comparisons")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
