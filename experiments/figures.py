"""Figures of a comparison, PNG and SVG: areas, and the weights of a weigh-scores policy; draws them all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from react_rl.experiments.figures_learning import family_curves, leaders, learning_curves
from react_rl.experiments.figures_looks import COLOURS, DASHES, METRIC_NAMES, STYLE, grid_of, looks_of
from react_rl.experiments.summary import ALL_CORPORA, Results
from react_rl.files import write_atomically

_WEIGHT: Final = "weight:"


def draw_all(folder: Path, results: Results, table: pd.DataFrame) -> list[Path]:
    """Draw every figure that the results allow into ``folder``; returns the PNG files."""
    with matplotlib.rc_context(STYLE):
        shown = leaders(table, results)
        figures = {"learning_curves": learning_curves(results, shown), "areas": area_figure(results, table)}
        families = family_curves(results)
        if families is not None:
            figures["learning_curves_families"] = families
        weights = policy_weights(results)
        if weights is not None:
            figures["policy_weights"] = weights
        return [_save(folder, name, figure) for name, figure in figures.items()]


def _save(folder: Path, name: str, figure: Figure) -> Path:
    FigureCanvasAgg(figure)
    for kind in ("png", "svg"):
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, metadata=metadata)
        write_atomically(folder / f"{name}.{kind}", buffer.getvalue())
    return folder / f"{name}.png"


def area_figure(results: Results, table: pd.DataFrame) -> Figure:
    """Area under the test curve of each strategy with its 95 % interval, one panel for each corpus."""
    names = [c for c in [*results.corpora, ALL_CORPORA] if (table["corpus"] == c).any()]
    height = 0.28 * len(results.strategies) + 1.0
    figure, axes = grid_of(len(names), 3.9, height)
    looks = looks_of(results.strategies, results.policies)
    for ax, corpus in zip(axes, names, strict=True):
        rows = table[table["corpus"] == corpus]
        rows = rows.sort_values("area", ascending=results.higher_is_better).reset_index(drop=True)
        for place, row in enumerate(rows.to_dict("records")):
            colour = str(looks[str(row["strategy"])]["color"])
            ax.plot([row["area_low"], row["area_high"]], [place, place], color=colour, linewidth=2.0)
            ax.plot([row["area"]], [place], marker="o", markersize=5, color=colour)
        ax.set_yticks(range(len(rows)), rows["strategy"].tolist())
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_title(corpus)
        ax.set_xlabel(f"area under the test {METRIC_NAMES.get(results.metric, results.metric)} curve")
    seeds = int(table["seeds"].min())
    figure.suptitle(f"Mean and 95 % bootstrap interval over {seeds} paired seeds", fontsize=9)
    return figure


def weight_looks(results: Results) -> dict[str, dict[str, object]]:
    """Line colour and style of each feature that a weigh-scores policy weighs."""
    names = [c.removeprefix(_WEIGHT) for c in results.curves.columns if c.startswith(_WEIGHT)]
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        for i, name in enumerate(names)
    }


def weighing(results: Results) -> list[tuple[str, str]]:
    """Corpora and weigh-scores policies that have weights, in the order of the comparison."""
    columns = [c for c in results.curves.columns if c.startswith(_WEIGHT)]
    there = results.curves.dropna(subset=columns, how="all") if columns else results.curves[:0]
    found = set(zip(there["corpus"], there["strategy"], strict=True))
    return [(c, s) for c in results.corpora for s in results.strategies if (c, s) in found]


def draw_weights(ax: Axes, runs: pd.DataFrame, looks: Mapping[str, Mapping[str, object]]) -> None:
    """Draw feature weights by cost: mean over the runs, and a band of one standard deviation."""
    for name, look in looks.items():
        column = f"{_WEIGHT}{name}"
        by_round = (
            runs.dropna(subset=[column])
            .groupby("round")
            .agg(cost=("cost", "mean"), mean=(column, "mean"), std=(column, "std"))
        )
        x, mean = by_round["cost"].to_numpy(float), by_round["mean"].to_numpy(float)
        spread = by_round["std"].fillna(0.0).to_numpy(float)
        ax.plot(x, mean, label=name, **look)  # type: ignore[arg-type]
        ax.fill_between(x, mean - spread, mean + spread, color=str(look["color"]), alpha=0.12, linewidth=0)
    ax.axhline(0.0, color="#666666", linewidth=0.8)


def policy_weights(results: Results) -> Figure | None:
    """Feature weights of the weigh-scores policies over the budget; None where there are none."""
    looks, panels = weight_looks(results), weighing(results)
    if not panels:
        return None
    figure, axes = grid_of(len(panels), 4.4, 3.2)
    for ax, (corpus, strategy) in zip(axes, panels, strict=True):
        own = results.curves[(results.curves["corpus"] == corpus) & (results.curves["strategy"] == strategy)]
        draw_weights(ax, own, looks)
        ax.set_title(f"{strategy} on {corpus}")
        ax.set_xlabel("cost spent (cost units) after the initial labels")
        ax.set_ylabel("weight of the standardised feature")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    figure.suptitle("Mean over seeds; bands: one standard deviation between seeds", fontsize=9)
    return figure
