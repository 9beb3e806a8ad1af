"""Figures of a comparison, PNG and SVG: learning curves, areas, and the weights of a weigh-scores policy."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from react_rl.acquisition.registry import STRATEGIES
from react_rl.experiments.summary import ALL_CORPORA, Results
from react_rl.files import write_atomically
from react_rl.metrics.curves import interpolate_curves
from react_rl.metrics.statistics import bootstrap_mean

STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "react-rl",
    "figure.dpi": 160,
}

# Okabe & Ito's palette, which colour-blind readers can tell apart; line styles repeat the distinction.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#7F5F00")
DASHES: Final = ("-", "--", "-.", ":")
_LEARNED: Final = "#000000"
_WEIGHT: Final = "weight:"
METRIC_NAMES: Final = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log-loss (nats)"}
_GRID_POINTS: Final = 65


def looks_of(strategies: Sequence[str]) -> dict[str, dict[str, object]]:
    """Line colour, style and width of each strategy, the same in every figure; policies are black."""
    looks: dict[str, dict[str, object]] = {}
    fixed = [s for s in STRATEGIES if s in strategies]
    for i, strategy in enumerate(fixed):
        looks[strategy] = {
            "color": COLOURS[i % len(COLOURS)],
            # One further after each turn of the palette, so that no two of 32 strategies look alike.
            "linestyle": DASHES[(i + i // len(COLOURS)) % len(DASHES)],
            "linewidth": 1.3,
        }
    for i, strategy in enumerate(s for s in strategies if s not in looks):
        looks[strategy] = {
            "color": _LEARNED,
            "linestyle": DASHES[i % len(DASHES)],
            "linewidth": 2.2,
            "zorder": 5,
        }
    return looks


def draw_all(folder: Path, results: Results, table: pd.DataFrame) -> list[Path]:
    """Draw every figure that the results allow into ``folder``; returns the PNG files."""
    with matplotlib.rc_context(STYLE):
        figures = {"learning_curves": learning_curves(results), "areas": area_figure(results, table)}
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


def _grid(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    return figure, axes


def _band(
    results: Results, corpus: str, strategy: str, grid: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], ...] | None:
    own = results.curves[(results.curves["corpus"] == corpus) & (results.curves["strategy"] == strategy)]
    curves = [(run["cost"].to_numpy(float), run["test"].to_numpy(float)) for _, run in own.groupby("seed")]
    if not curves:
        return None
    interval = bootstrap_mean(interpolate_curves(curves, grid), np.random.default_rng(0), resamples=2000)
    return np.asarray(interval.estimate), np.asarray(interval.low), np.asarray(interval.high)


def learning_curves(results: Results) -> Figure:
    """Test metric against cost: mean over seeds with a 95 % bootstrap band, one panel for each corpus."""
    figure, axes = _grid(len(results.corpora), 4.4, 3.2)
    looks = looks_of(results.strategies)
    grid = np.linspace(0.0, results.budget, _GRID_POINTS)
    for ax, corpus in zip(axes, results.corpora, strict=True):
        for strategy in results.strategies:
            band = _band(results, corpus, strategy, grid)
            if band is None:
                continue
            mean, low, high = band
            ax.plot(grid, mean, label=strategy, **looks[strategy])  # type: ignore[arg-type]
            ax.fill_between(grid, low, high, color=str(looks[strategy]["color"]), alpha=0.12, linewidth=0)
        ax.set_title(corpus)
        ax.set_xlabel("cost spent (cost units) after the initial labels")
        ax.set_ylabel(f"test {METRIC_NAMES.get(results.metric, results.metric)}")
        ax.set_xlim(0.0, results.budget)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    seeds = results.curves.groupby(["corpus", "strategy"])["seed"].nunique()
    figure.suptitle(
        f"Mean over {_counts(seeds)} seeds; bands: 95 % bootstrap interval of the mean", fontsize=9
    )
    return figure


def _counts(seeds: pd.Series[int]) -> str:
    low, high = int(seeds.min()), int(seeds.max())
    return str(low) if low == high else f"{low} to {high}"


def area_figure(results: Results, table: pd.DataFrame) -> Figure:
    """Area under the test curve of each strategy with its 95 % interval, one panel for each corpus."""
    names = [c for c in [*results.corpora, ALL_CORPORA] if (table["corpus"] == c).any()]
    height = 0.28 * len(results.strategies) + 1.0
    figure, axes = _grid(len(names), 3.9, height)
    looks = looks_of(results.strategies)
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
    figure, axes = _grid(len(panels), 4.4, 3.2)
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
