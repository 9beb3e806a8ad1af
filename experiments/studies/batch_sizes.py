"""Every strategy against random at each batch size of the reference comparison: a figure and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.studies.few_seeds import RIGHT, WRONG
from react_rl.experiments.studies.scores import Floats, ScoreTable, read_scores
from react_rl.files import write_atomically
from react_rl.metrics.statistics import Interval, paired_difference

TABLES: Final = {1: "batch-1", 5: "batch-5", 20: "batch-20", 50: "batch-50"}
BUDGETS: Final = {1: 50, 5: 100, 20: 200, 50: 300}
REFERENCE: Final = "random"


def gains(table: ScoreTable, corpora: list[str]) -> dict[str, Interval]:
    """Paired difference of every strategy to random, averaged over ``corpora``, with its interval."""

    def mean(strategy: str) -> Floats:
        return np.asarray(np.mean([table.of(strategy, corpus) for corpus in corpora], axis=0))

    base = mean(REFERENCE)
    return {
        s: paired_difference(mean(s), base, np.random.default_rng(0)) for s in table.values if s != REFERENCE
    }


@dataclass(frozen=True)
class Gains:
    """Gains of all strategies at all batch sizes.

    Args:
        by_size: Batch size to strategy to gain.
        corpora: Number of the corpora that all tables have, over which gains are averaged.
        seeds: Fewest seeds of a table.
    """

    by_size: Mapping[int, Mapping[str, Interval]]
    corpora: int
    seeds: int

    @classmethod
    def of(cls, tables: Mapping[int, ScoreTable]) -> Gains:
        """Read them off the tables."""
        each = tables.values()
        shared = [c for c in next(iter(each)).corpora if all(c in table.corpora for table in each)]
        found = {size: gains(table, shared) for size, table in tables.items()}
        return cls(found, len(shared), min(len(table.seeds) for table in each))


def ranking(found: Mapping[int, Mapping[str, Interval]]) -> list[str]:
    """Strategies that were played at more than one batch size, the smallest mean gain first."""
    estimates: dict[str, list[float]] = {}
    for one in found.values():
        for strategy, gain in one.items():
            estimates.setdefault(strategy, []).append(float(gain.estimate))
    return sorted((s for s in estimates if len(estimates[s]) > 1), key=lambda s: np.mean(estimates[s]))


def markdown(read: Gains) -> str:
    """The gains as a table, the best mean gain on top."""
    found = read.by_size
    lines = [
        "# Gains over random",
        "",
        "Area under the accuracy curve minus that of random, "
        f"mean of {read.corpora} corpora, {read.seeds} paired seeds, 95 % bootstrap",
        "intervals over seeds; best mean first. `greedy-oracle` looks at dev labels.",
        "",
        f"| strategy | {' | '.join(f'{BUDGETS[n] // n} rounds of {n}' for n in found)} |",
        f"| --- |{' ---: |' * len(found)}",
    ]
    for strategy in reversed(ranking(found)):
        cells = [_cell(one.get(strategy)) for one in found.values()]
        lines.append(f"| {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(gain: Interval | None) -> str:
    return "not played" if gain is None else gain.signed(4)


def draw(read: Gains) -> Figure:
    """One panel for each batch size, on the corpora that all of them have, the best mean gain on top.

    Strategies that were played at one batch size only are left out.
    """
    found = read.by_size
    order = ranking(found)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 0.235 * len(order) + 1.3), layout="constrained")
        panels = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
        for panel, (size, one) in zip(panels, found.items(), strict=True):
            _draw_panel(panel, one, order)
            rounds = BUDGETS[size] // size
            labels = "1 label" if size == 1 else f"{size} labels"
            panel.set_title(f"{rounds} rounds of {labels}", loc="left", fontsize=9)
        panels[0].set_yticks(range(len(order)), order)
        panels[0].set_ylim(-0.7, len(order) - 0.3)
        figure.supxlabel(
            f"area under the accuracy curve minus that of random, mean of {read.corpora} corpora, "
            f"{read.seeds} paired seeds, 95 % intervals",
            fontsize=9,
        )
    return figure


def _draw_panel(panel: Axes, found: Mapping[str, Interval], order: list[str]) -> None:
    panel.axvline(0, color="0.3", linewidth=0.9)
    for y, strategy in enumerate(order):
        if strategy not in found:
            panel.annotate("not played", (0, y), xytext=(4, 0), textcoords="offset points", va="center",
                           fontsize=7, color="0.5")  # fmt: skip
            continue
        one = found[strategy]
        low, high = float(one.low), float(one.high)
        colour, marker = (RIGHT, "o") if low > 0 else (WRONG, "s") if high < 0 else ("0.45", "D")
        panel.plot([low, high], [y, y], color=colour, linewidth=1.4)
        panel.plot(float(one.estimate), y, marker, color=colour, markersize=4)


def write(out: Path) -> None:
    """Write ``batch_sizes.png``, ``.svg`` and ``gains.md`` from the tables in ``out``.

    Raises:
        ReActError: A table is missing.
    """
    read = Gains.of({size: read_scores(out, name) for size, name in TABLES.items()})
    save_figures(out, {"batch_sizes": draw(read)})
    write_atomically(out / "gains.md", markdown(read))
