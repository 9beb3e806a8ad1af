"""What the commands show while they work and when they are done."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from react_rl.agents.adjustment.search import SearchProgress
from react_rl.agents.imitation.training import ImitationProgress
from react_rl.agents.training import TrainingProgress
from react_rl.data.inspection import CorpusFacts
from react_rl.escaping import for_terminal
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, Summarised
from react_rl.experiments.report.text import counted
from react_rl.experiments.run.tune import TuningProgress
from react_rl.metrics.continual import NUMBERS

# Progress goes to stderr, so that what a command says can be piped.
# A pipe has no width of its own; tables need about 100 columns.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 110)
aside = Console(stderr=True, width=None if sys.stderr.isatty() else 110)

_FOLDED: Final = 20  # letters of a strategy's name that always get one line of a table
_NUMBERS_WIDE: Final = 88  # columns that the numbers of a table take, with what parts them


def show_facts(facts: Sequence[CorpusFacts], where: Console = aside) -> None:
    """Show what corpora hold, and what about them can mislead, before anything is played."""
    table = Table(box=None, pad_edge=False)
    heads = ("corpus", "rows", "classes", "smallest", "largest", "repeated", "two labels", "words")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold", no_wrap=number > 0)
    for one in facts:
        counts = (one.rows, one.classes, one.smallest, one.largest, one.repeated, one.contradicted)
        table.add_row(escape(one.name), *map(str, counts), f"{one.median_words:g}")
    where.print(table)
    for one in facts:
        for note in one.notes:
            said = escape(f"Note: corpus {one.name!r}: {for_terminal(note)}.")
            where.print(said, highlight=False, soft_wrap=True)
        for warning in one.warnings:
            said = escape(f"Warning: corpus {one.name!r}: {for_terminal(warning)}.")
            where.print(said, highlight=False, soft_wrap=True)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=aside,
        transient=True,
        disable=not aside.is_terminal,  # the log says now and then how far the work is
    )


class RunBar:
    """A bar over the runs of a comparison, and a line about what is played.

    Args:
        bar: Where to show them.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("runs", total=None)

    def __call__(self, done: int, total: int) -> None:
        """Show how many runs are finished."""
        self._bar.update(self._task, completed=done, total=total)

    def tell(self, line: str) -> None:
        """Show what is going on."""
        self._bar.update(self._task, description=f"runs ({line})")


@contextmanager
def run_progress() -> Iterator[RunBar]:
    """A bar over the runs of a comparison."""
    with _bar() as bar:
        yield RunBar(bar)


@contextmanager
def working_on(what: str) -> Iterator[Callable[[str], None]]:
    """A line about what is being done."""
    with aside.status(what) as status:
        yield lambda line: status.update(f"{what}: {line}")


@contextmanager
def training_progress() -> Iterator[Callable[[TrainingProgress], None]]:
    """A bar over training episodes, with the validation area."""
    with _bar() as bar:
        task = bar.add_task("training episodes", total=None)

        def report(state: TrainingProgress) -> None:
            areas = f"validation area {state.validation:.4f}, best {state.best:.4f}"
            bar.update(
                task,
                completed=state.episodes,
                total=state.total,
                description=f"training episodes ({areas})",
            )

        yield report


@contextmanager
def tuning_progress() -> Iterator[Callable[[TuningProgress], None]]:
    """A bar over the trials, with the training under way."""
    with _bar() as bar:
        task = bar.add_task("trials", total=None)

        def report(state: TuningProgress) -> None:
            parts = [] if state.best is None else [f"best area {state.best:.4f}"]
            if state.training is not None:
                parts.append(f"{state.training.episodes} of {state.training.total} episodes")
            bar.update(
                task,
                completed=state.trial,
                total=state.total,
                description=f"trials ({', '.join(parts) or 'none yet'})",
            )

        yield report


@contextmanager
def imitation_progress() -> Iterator[Callable[[ImitationProgress], None]]:
    """A bar over the states that the expert judges, with what is being done."""
    with _bar() as bar:
        task = bar.add_task("states", total=None)

        def report(state: ImitationProgress) -> None:
            bar.update(task, completed=state.states, total=state.total, description=f"states ({state.stage})")

        yield report


@contextmanager
def adjustment_progress() -> Iterator[Callable[[SearchProgress], None]]:
    """A bar over the steps of a search, with what it has gained on the validation episodes."""
    with _bar() as bar:
        task = bar.add_task("steps", total=None)

        def report(state: SearchProgress) -> None:
            gain = "" if math.isnan(state.gain) else f" (validation area {state.gain:+.4f} over the start's)"
            bar.update(task, completed=state.step, total=state.total, description=f"steps{gain}")

        yield report


def console_table(table: pd.DataFrame, results: Results, corpus: str, width: int) -> Table:
    """The summary of one corpus for the terminal, best area first.

    No number is cut: a long name folds, and where that is not enough, intervals go below their numbers.

    Args:
        table: What ``summarise`` returns.
        results: The comparison.
        corpus: Whose rows are shown.
        width: Columns of the terminal.
    """
    rows = table[table["corpus"] == corpus].sort_values("area", ascending=not results.higher_is_better)
    seeds = int(rows["seeds"].min()) if len(rows) else 0
    several = f"{seeds} paired seeds, [95 % intervals]"
    title = (
        f"{results.called(corpus)}: test {results.metric}, {several if seeds > 1 else '1 seed, no intervals'}"
    )
    shown = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown.add_column("strategy", overflow="fold")
    longest = min(max((len(str(name)) for name in rows["strategy"]), default=0), _FOLDED)
    gap = "\n" if width < longest + _NUMBERS_WIDE else " "
    against = textwrap.fill(f"area - {results.reference}", 25 if gap == " " else 18)
    for name in (f"area under{gap}the curve", "final", escape(against), "win/tie/loss", "p (Holm)"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        cells = [
            str(row["strategy"]),
            _with_interval(row, "area", ".4f", gap),
            f"{row['final']:.4f}",
        ]
        if row["strategy"] == results.reference or pd.isna(row.get("difference", np.nan)):
            cells += ["", "", ""]
        else:
            cells += [
                _with_interval(row, "difference", "+.4f", gap),
                f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}",
                "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.1g}",
            ]
        shown.add_row(*map(escape, cells))
    return shown


def _with_interval(row: Mapping[Hashable, Any], key: str, form: str, gap: str) -> str:
    """A number and its interval with a gap between; the number alone where one seed gives none."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return f"{row[key]:{form}}" + ("" if pd.isna(low) else f"{gap}[{low:{form}}, {high:{form}}]")


def phase_table(table: pd.DataFrame, results: Results) -> Table:
    """What was kept of earlier phases, on corpora that come in phases."""
    title = f"Phases: test {results.metric}, means over seeds [95 % intervals]"
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, head in enumerate(("corpus", "strategy", *NUMBERS)):
        shown.add_column(head, justify="right" if number > 1 else "left", no_wrap=True)
    for row in table.dropna(subset=["average"]).to_dict("records") if "average" in table else []:
        cells = [str(row["corpus"]), str(row["strategy"]), f"{row['average']:.3f}", f"{row['learned']:.3f}"]
        low, high = row["forgetting_low"], row["forgetting_high"]
        cells += [f"{row['forgetting']:.3f} [{low:.3f}, {high:.3f}]"]
        cells += [f"{row[name]:+.3f}" for name in ("backward", "forward")]
        shown.add_row(*map(escape, cells))
    return shown


def show_results(found: Sequence[Summarised], figures: list[Path], folder: Path) -> None:
    """Print the tables and say where the figures are.

    Args:
        found: Results of each task and their summary.
        figures: The first file of each figure.
        folder: Where the tables are.
    """
    for results, table in found:
        for corpus in (*results.corpora, ALL_CORPORA):
            if (table["corpus"] == corpus).any():
                console.print(console_table(table, results, corpus, console.width))
        if results.phases:
            console.print(phase_table(table, results))
    console.print(f"Figures: {', '.join(str(path) for path in figures)} (and .svg)", highlight=False)
    console.print(f"Tables:  {folder / 'summary.csv'}, {folder / 'curves.csv'}", highlight=False)
    missing = sum(results.missing for results, _ in found)
    if missing:
        console.print(
            f"Not finished of the plan: {counted(missing, 'run')}; "
            "the table uses the seeds that all strategies have."
        )
