"""Whether the policy that ships wins where it has never been: paired differences to its rivals, by corpus.

The comparisons are the presets ``transfer``, ``transfer-batch1`` and ``transfer-batch25``. What this writes
is made from one small table of areas for each of them; these tables are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.gaps import Gap, gap
from react_rl.experiments.studies.scores import FOLDER, Measure, ScoreTable, collect, read_scores
from react_rl.files import write_atomically

POLICY: Final = "learned"

MEASURES: Final = {
    "batch-1": Measure("transfer-batch1"),
    "batch-5": Measure("transfer"),
    "batch-25": Measure("transfer-batch25"),
}
"""The tables of areas by name."""

LABELS: Final = {"batch-1": "40 rounds of 1", "batch-5": "16 rounds of 5", "batch-25": "8 rounds of 25"}

CHOICES: Final = ("trec6", "subj", "cr", "sms_spam", "fpb_allagree", "dbpedia14_few", "ag_news", "imdb")
"""Corpora by which the policy was chosen among others. It was trained on none of them, either."""

UNSEEN: Final = "unseen"
CHOSEN_ON: Final = "chosen on"

SHOWN: Final = ("random", "uncertainty-herding", "mixture")
"""Rivals in the figure."""

COLOURS: Final = {"batch-1": "#009E73", "batch-5": "#0072B2", "batch-25": "#D55E00"}


Gaps = dict[tuple[str, str, str], Gap]
"""What the policy has over a rival, by table, corpus or group of corpora, and rival."""


def groups(table: ScoreTable) -> dict[str, list[str]]:
    """Corpora of the table by group; empty groups are left out."""
    found = {
        UNSEEN: [corpus for corpus in table.corpora if corpus not in CHOICES],
        CHOSEN_ON: [corpus for corpus in table.corpora if corpus in CHOICES],
    }
    return {name: corpora for name, corpora in found.items() if corpora}


def gaps_of(tables: Mapping[str, ScoreTable]) -> Gaps:
    """Compare the policy with every rival, in groups of corpora and on each corpus; the best rival first."""
    found: Gaps = {}
    for name, table in tables.items():
        for where, corpora in (groups(table) | {corpus: [corpus] for corpus in table.corpora}).items():
            rivals = [strategy for strategy in table.values if strategy != POLICY]
            for rival in reversed(sorted(rivals, key=lambda rival: table.mean(rival, corpora))):
                found[name, where, rival] = gap(table, POLICY, rival, corpora)
    return found


def markdown(tables: Mapping[str, ScoreTable], found: Gaps) -> str:
    """The differences as tables: by group and rival, then by corpus."""
    lines = ["# The policy that ships against its rivals, in numbers", ""]
    for where in (UNSEEN, CHOSEN_ON):
        for name, table in tables.items():
            if where in groups(table):
                lines += [*_group(name, where, table, found), ""]
    lines += ["## By corpus", "", "Difference of areas x 1,000; * where the 95 % interval excludes 0.", ""]
    for name, table in tables.items():
        lines += [*_by_corpus(name, table, found), ""]
    return "\n".join(lines)


def _group(name: str, where: str, table: ScoreTable, found: Gaps) -> list[str]:
    corpora = groups(table)[where]
    what = "on which no choice was made" if where == UNSEEN else "by which the policy was chosen"
    return [
        f"## {LABELS[name]}, {len(corpora)} corpora {what}",
        "",
        f"Mean area of `{POLICY}`: {table.mean(POLICY, corpora):.4f}; {len(table.seeds)} paired seeds.",
        "",
        "| rival, best first | its area | `learned` minus rival [95 % interval] | pairs won | corpora ahead "
        "| surely ahead | surely behind |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {rival} | {table.mean(rival, corpora):.4f} | {one.plain} | {one.won:.3f} "
            f"| {one.ahead} of {one.corpora} | {one.surely_ahead} | {one.surely_behind} |"
            for (of, place, rival), one in found.items()
            if (of, place) == (name, where)
        ),
    ]


def _by_corpus(name: str, table: ScoreTable, found: Gaps) -> list[str]:
    rivals = [strategy for strategy in table.values if strategy != POLICY]
    return [
        f"### {LABELS[name]}",
        "",
        f"| corpus | area of `{POLICY}` | minus {' | minus '.join(rivals)} |",
        f"| --- | ---: |{' ---: |' * len(rivals)}",
        *(
            f"| {corpus} | {table.mean(POLICY, [corpus]):.4f} | "
            f"{' | '.join(found[name, corpus, rival].short for rival in rivals)} |"
            for members in groups(table).values()
            for corpus in members
        ),
    ]


def draw(tables: Mapping[str, ScoreTable], found: Gaps) -> Figure:
    """One panel for each rival shown, one row for each corpus, one mark for each batch size."""
    table = tables.get("batch-5", next(iter(tables.values())))
    order = [corpus for members in reversed(groups(table).values()) for corpus in members]
    shown = [rival for rival in SHOWN if rival in table.values]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 0.27 * len(order) + 1.3), layout="constrained")
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for panel, rival in zip(panels, shown, strict=True):
            _draw_rival(panel, rival, list(tables), order, found)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tables))
    return figure


def _draw_rival(panel: Axes, rival: str, tables: Sequence[str], order: Sequence[str], found: Gaps) -> None:
    for k, name in enumerate(tables):
        ours = [
            (y, found[name, corpus, rival])
            for y, corpus in enumerate(order)
            if (name, corpus, rival) in found
        ]
        panel.errorbar(
            [one.mean for _, one in ours],
            [y + 0.24 * (k - (len(tables) - 1) / 2) for y, _ in ours],
            xerr=[[one.mean - one.low for _, one in ours], [one.high - one.mean for _, one in ours]],
            fmt="o", markersize=3.2, linewidth=0.9, color=COLOURS[name], label=LABELS[name],
        )  # fmt: skip
    panel.axvline(0, color="0.3", linewidth=0.9, zorder=1)
    chosen_on = sum(corpus in CHOICES for corpus in order)
    if 0 < chosen_on < len(order):
        panel.axhline(chosen_on - 0.5, color="0.6", linewidth=0.7, linestyle="--")
    panel.set_yticks(range(len(order)), order)
    panel.set_ylim(-0.6, len(order) - 0.4)
    panel.set_xlabel(f"area minus that of {rival}")
    panel.grid(axis="y", visible=False)


def write(results: Path, out: Path) -> Gaps:
    """Read what was played, and write areas, differences, tables and figure.

    Args:
        results: Folder of the comparisons; tables in ``out`` stand in for those that are not there.
        out: Folder to write.

    Raises:
        ReActError: There is neither a comparison nor a table.
    """
    collect(results, out, MEASURES)
    names = [name for name in MEASURES if (out / FOLDER / f"{name}.csv").is_file()]
    if not names:
        raise ReActError(f"{results} holds none of the comparisons; run `react-rl compare transfer` first.")
    tables = {name: read_scores(out, name, MEASURES) for name in names}
    found = gaps_of(tables)
    numbers = ["mean", "low", "high", "won", "corpora", "ahead", "surely_ahead", "surely_behind"]
    lines = [(*names, *(getattr(one, number) for number in numbers)) for names, one in found.items()]
    frame = pd.DataFrame(lines, columns=["table", "where", "rival", *numbers])
    write_atomically(out / "transfer.csv", csv_text(frame.round(6)))
    write_atomically(out / "tables.md", markdown(tables, found))
    save_figures(out, {"transfer": draw(tables, found)})
    return found


def study(asked: argparse.Namespace) -> str:
    """Write the tables of what was played, and say how groups of corpora stand."""
    return "\n".join(
        f"{LABELS[name]}, {where}: minus {rival} {one.plain}, {one.won:.3f} of pairs, "
        f"ahead on {one.ahead} of {one.corpora}"
        for (name, where, rival), one in write(asked.results, asked.out).items()
        if where in (UNSEEN, CHOSEN_ON)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "transfer", "results/transfer")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the comparisons")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
