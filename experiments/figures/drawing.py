"""Figures of a comparison: areas, and the weights of a weigh-scores policy; draws all there are to files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from react_rl.experiments.analysis.in_force import in_force
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, Summarised
from react_rl.experiments.figures.fonts import give_fonts, glyphs_checked_later, missing_letters
from react_rl.experiments.figures.learning import (
    contestants_of,
    cost_axis,
    family_curves,
    leaders,
    learning_curves,
    ranking,
    trained_of,
)
from react_rl.experiments.figures.looks import line_look, looks_of, metric_name
from react_rl.experiments.figures.page import SCREEN, Page, caption_of, first_in_row, wrapped
from react_rl.experiments.figures.phases import phase_matrices
from react_rl.experiments.run.results import slug
from react_rl.files import write_atomically

FORMATS: Final = ("png", "svg", "pdf")
# What would differ when the same figure is drawn again.
_UNDATED: Final = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_WEIGHT: Final = "weight:"
_NAMES: Final = 110.0
"""Points of the longest line of a strategy's name beside a panel of areas."""


def figures_of(found: Sequence[Summarised], page: Page = SCREEN) -> dict[str, Figure]:
    """Every figure that the results allow, by its name.

    Args:
        found: Results of each task and their summary. What is drawn of one corpus goes into one figure with
            all others; means over corpora, and phases, get a figure for each task.
        page: Where the figures will go.
    """
    every = [results for results, _ in found]
    with matplotlib.rc_context(page.style), glyphs_checked_later():
        figures: dict[str, Figure | None] = {
            "learning_curves": learning_curves(every, leaders(found), page),
            "areas": area_figure(found, page),
        }
        for results in every:
            of_task = f"_{slug(results.task)}" if results.task else ""
            figures |= {
                f"learning_curves_families{of_task}": family_curves(results, page),
                f"phases{of_task}": phase_matrices(results, page),
            }
        figures["policy_weights"] = policy_weights(every, page)
        return {name: figure for name, figure in figures.items() if figure is not None}


def draw_all(
    folder: Path,
    found: Sequence[Summarised],
    page: Page = SCREEN,
    formats: Sequence[str] = FORMATS[:2],
) -> dict[Path, str]:
    """Draw every figure that the results allow into ``folder``.

    Args:
        folder: Where the files go.
        found: Results of each task and their summary.
        page: Where the figures will go.
        formats: Some of ``FORMATS``.

    Returns:
        The first file of each figure, with what the figure shows in a sentence.
    """
    return save_figures(folder, figures_of(found, page), page, formats)


def save_figures(
    folder: Path, figures: Mapping[str, Figure], page: Page = SCREEN, formats: Sequence[str] = FORMATS[:2]
) -> dict[Path, str]:
    """Write figures into ``folder``, with the same bytes whenever the same is drawn.

    Args:
        folder: Where the files go.
        figures: The figures by name.
        page: What they were drawn for.
        formats: Some of ``FORMATS``.

    Returns:
        The first file of each figure, with what the figure shows in a sentence.
    """
    drawn = {}
    with matplotlib.rc_context(page.style), glyphs_checked_later():
        lacking = give_fonts(figures.values())
        for name, figure in figures.items():
            for kind in formats:
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, metadata=_UNDATED[kind])
                write_atomically(folder / f"{name}.{kind}", buffer.getvalue())
            drawn[folder / f"{name}.{formats[0]}"] = caption_of(figure)
    if lacking:
        warnings.warn(missing_letters(lacking), stacklevel=2)
    return drawn


def area_figure(found: Sequence[Summarised], page: Page = SCREEN) -> Figure:
    """Area under the test curve of each strategy with its 95 % interval, one panel for each corpus.

    After the corpora of a task comes their mean. On the screen the best strategy of each panel is on top; the
    panels of a paper share one order, that of the mean over corpora.

    Args:
        found: Results of each task and their summary.
        page: Where the figure will go.
    """
    panels = [
        (results, table, corpus)
        for results, table in found
        for corpus in (*results.corpora, ALL_CORPORA)
        if (table["corpus"] == corpus).any()
    ]
    strategies = contestants_of([results for results, _ in found])
    size = FontProperties(size=matplotlib.rcParams["ytick.labelsize"]).get_size_in_points()
    longest = _NAMES if page.width is None else 0.4 * 72 * page.width
    shown = {s: wrapped(s, longest, size) for s in strategies}
    lines = {s: name.count("\n") + 1 for s, name in shown.items()}
    pitch = (2.4 if page.width is None else 1.5) * size / 72
    height = pitch * sum(lines.values()) + (1.0 if page.width is None else 0.6)
    figure, axes = page.panels(len(panels), 3.9, height, rigid=True)
    looks = looks_of(strategies, trained_of([results for results, _ in found]))
    shared = ranking(found)[::-1] if page.width is not None else None
    for ax, (results, table, corpus) in zip(axes, panels, strict=True):
        rows = table[table["corpus"] == corpus]
        best = rows.sort_values("area", ascending=results.higher_is_better)
        order = shared or [str(s) for s in best["strategy"]]
        # A name of two lines takes the place of two.
        ends = np.cumsum([lines[s] for s in order])
        levels = ends - 0.5 * np.array([lines[s] for s in order])
        rows = rows.set_index("strategy")
        for level, strategy in zip(levels, order, strict=True):
            if strategy not in rows.index:
                continue
            row, look = rows.loc[strategy], looks[strategy]
            colour = str(look["color"])
            ax.plot([row["area_low"], row["area_high"]], [level, level], color=colour, linewidth=2.0)
            ax.plot([row["area"]], [level], marker=str(look["marker"]), markersize=5, color=colour)
        ax.set_yticks(levels, [shown[s] for s in order])
        if page.width is not None and not first_in_row(ax):
            ax.tick_params(labelleft=False)
        ax.set_ylim(-0.1, ends[-1] + 0.1)
        ax.set_title(results.called(corpus))
    named = [f"area under the test {metric_name(results.metric)} curve" for results, _, _ in panels]
    page.label(axes, named, None)
    seeds = min(int(table["seeds"].min()) for _, table in found)
    page.headline(figure, f"Mean and 95 % bootstrap interval over {seeds} paired seeds")
    page.finish(figure)
    return figure


def weight_looks(results: Results) -> dict[str, dict[str, object]]:
    """Line colour and style of each feature that a weigh-scores policy weighs."""
    names = [c.removeprefix(_WEIGHT) for c in results.curves.columns if c.startswith(_WEIGHT)]
    return {name: line_look(i) for i, name in enumerate(names)}


def weighing(results: Results) -> list[tuple[str, str]]:
    """Corpora and weigh-scores policies that have weights, in the order of the comparison."""
    columns = [c for c in results.curves.columns if c.startswith(_WEIGHT)]
    there = results.curves.dropna(subset=columns, how="all") if columns else results.curves[:0]
    found = set(zip(there["corpus"], there["strategy"], strict=True))
    return [(c, s) for c in results.corpora for s in results.strategies if (c, s) in found]


def weights_by_cost(runs: pd.DataFrame) -> pd.DataFrame:
    """Feature weights of a policy's runs on one corpus at common costs: ``seed``, ``cost`` and a column each.

    Args:
        runs: Their curves; the last row of a run that did not stop has no weights.
    """
    columns = [column for column in runs.columns if column.startswith(_WEIGHT) and runs[column].notna().any()]
    chosen = runs[["seed", "cost", *columns]].dropna(subset=columns)
    last = runs.drop_duplicates("seed", keep="last")
    return in_force(chosen, set(last.loc[last[columns].notna().all(axis=1), "seed"]))


def draw_weights(ax: Axes, runs: pd.DataFrame, looks: Mapping[str, Mapping[str, object]]) -> None:
    """Draw feature weights by cost: mean over the runs, and a band of one standard deviation."""
    weights = weights_by_cost(runs).groupby("cost")
    for name, look in looks.items():
        column = weights[f"{_WEIGHT}{name}"]
        mean, spread = column.mean().to_numpy(float), column.std().fillna(0.0).to_numpy(float)
        x = np.array(list(weights.groups))
        ax.plot(x, mean, label=name, **look)  # type: ignore[arg-type]
        ax.fill_between(x, mean - spread, mean + spread, color=str(look["color"]), alpha=0.12, linewidth=0)
    ax.axhline(0.0, color="#666666", linewidth=0.8)


def policy_weights(found: Sequence[Results], page: Page = SCREEN) -> Figure | None:
    """Feature weights of the weigh-scores policies over the budget; None where there are none.

    Args:
        found: The comparison, by tasks.
        page: Where the figure will go.
    """
    panels = [(results, *panel) for results in found for panel in weighing(results)]
    if not panels:
        return None
    figure, axes = page.panels(len(panels), 4.4, 3.2)
    for ax, (results, corpus, strategy) in zip(axes, panels, strict=True):
        curves = results.curves
        own = curves[(curves["corpus"] == corpus) & (curves["strategy"] == strategy)]
        draw_weights(ax, own, weight_looks(results))
        ax.set_title(f"{strategy} on {corpus}")
    spent = cost_axis(pd.concat([one.curves for one in found]))
    page.label(axes, spent, "weight of the standardised feature")
    page.headline(figure, "Mean over seeds; bands: one standard deviation between seeds")
    page.finish(figure, *axes[0].get_legend_handles_labels())
    return figure
