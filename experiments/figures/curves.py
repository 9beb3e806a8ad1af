"""Line figures of a report, one drawing for each panel: learning curves, profiles, class balance, overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from react_rl.experiments.analysis.numbers import Aggregates
from react_rl.experiments.analysis.summary import titled
from react_rl.experiments.figures.drawing import draw_weights
from react_rl.experiments.figures.learning import COST, cost_axis
from react_rl.experiments.figures.looks import (
    GREY,
    OTHERS,
    STYLE,
    KeyLine,
    Looks,
    key_lines,
    metric_name,
    name_line,
)

Floats = npt.NDArray[np.float64]


def key_of(looks: Looks, shown: Sequence[str]) -> list[KeyLine]:
    """Legend entries of the strategies in colour, and one for the others."""
    entries = key_lines({s: looks[s] for s in shown})
    return entries if len(shown) == len(looks) else [*entries, KeyLine(OTHERS, GREY)]


def _panel(width: float = 4.3, height: float = 3.1) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _line(ax: Axes, x: Any, y: Any, look: Mapping[str, object] | None) -> None:
    if look is None:
        ax.plot(x, y, color=GREY, linewidth=0.8, zorder=1)
    else:
        ax.plot(x, y, **look)  # type: ignore[arg-type]


def _ordered(strategies: Iterable[str], shown: Sequence[str]) -> list[str]:
    """Grey ones first, so that coloured lines are on top."""
    return sorted(strategies, key=lambda s: s in shown)


def curve_panel(
    curves: pd.DataFrame,
    corpus: str,
    looks: Looks,
    shown: Sequence[str],
    metric: str,
    full: float | None = None,
    spent: str = COST,
) -> Figure:
    """Mean test curves of one corpus with bands; a dashed line where all labels would lead.

    Args:
        curves: From ``mean_curves``.
        corpus: Which part of it.
        looks: Lines of all strategies, in their order.
        shown: Those in colour.
        metric: Name of the metric.
        full: Metric with all labels, if it is known.
        spent: What the cost is, for its axis.
    """
    with matplotlib.rc_context(STYLE):
        figure, ax = _panel()
        here = curves[curves["corpus"] == corpus]
        for strategy in _ordered(looks, shown):
            own = here[here["strategy"] == strategy]
            if own.empty:
                continue
            look = looks[strategy] if strategy in shown else None
            _line(ax, own["cost"], own["mean"], look)
            if look is not None:
                ax.fill_between(
                    own["cost"], own["low"], own["high"], color=str(look["color"]), alpha=0.12, linewidth=0
                )
        if full is not None:
            name_line(ax, full, "all labels")
        ax.set_title(titled(corpus))
        ax.set_xlabel(spent)
        ax.set_ylabel(f"test {metric_name(metric)}")
        ax.margins(x=0.0)
        return figure


def profile_panel(aggregates: Aggregates, looks: Looks, shown: Sequence[str]) -> Figure:
    """Performance profiles: share of runs that removed more than a share of the reference's error."""
    with matplotlib.rc_context(STYLE):
        figure, ax = _panel(6.2, 3.6)
        for strategy in _ordered(aggregates.profiles, shown):
            profile = aggregates.profiles[strategy]
            look = looks[strategy] if strategy in shown else None
            _line(ax, aggregates.thresholds, profile.estimate, look)
            if look is not None and len(shown) <= 4:
                colour = str(look["color"])
                ax.fill_between(
                    aggregates.thresholds, profile.low, profile.high, color=colour, alpha=0.12, linewidth=0
                )
        ax.axvline(0.0, color="#666666", linewidth=0.8)
        ax.set_xlabel("share of the reference's error removed (area)")
        ax.set_ylabel("share of runs above it")
        ax.set_ylim(-0.02, 1.02)
        ax.margins(x=0.0)
        return figure


def improvement_panel(aggregates: Aggregates, looks: Looks, reference: str) -> Figure:
    """Interquartile mean and probability of improvement over the reference, with intervals, best on top."""
    with matplotlib.rc_context(STYLE):
        table = aggregates.table.sort_values("iqm", ignore_index=True)
        figure = Figure(figsize=(7.4, 0.26 * len(table) + 1.0), layout="constrained")
        axes = [figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)]
        for ax, name in zip(axes, ("iqm", "improvement"), strict=True):
            for place, row in enumerate(table.to_dict("records")):
                if np.isnan(row[name]):
                    continue
                colour = str(looks[str(row["strategy"])]["color"])
                if not np.isnan(row[f"{name}_low"]):
                    ends = [row[f"{name}_low"], row[f"{name}_high"]]
                    ax.plot(ends, [place, place], color=colour, linewidth=2.0)
                ax.plot([row[name]], [place], marker="o", markersize=5, color=colour)
            ax.set_ylim(-0.6, len(table) - 0.4)
        axes[0].set_yticks(range(len(table)), table["strategy"].tolist())
        axes[1].set_yticks(range(len(table)), [""] * len(table))
        axes[0].set_xlabel(f"error of {reference} removed (interquartile mean)")
        axes[0].axvline(0.0, color="#666666", linewidth=0.8)
        axes[1].set_xlabel(f"probability of improvement over {reference}")
        axes[1].axvline(0.5, color="#666666", linewidth=0.8)
        return figure


def balance_panel(
    balance: pd.DataFrame, corpus: str, looks: Looks, shown: Sequence[str], pool: float
) -> Figure:
    """Evenness of the classes in the labelled set over the labels; ``pool`` is that of the train rows."""
    with matplotlib.rc_context(STYLE):
        figure, ax = _panel()
        for strategy in _ordered(looks, shown):
            own = balance[balance["strategy"] == strategy].sort_values("labels")
            if not own.empty:
                _line(ax, own["labels"], own["evenness"], looks[strategy] if strategy in shown else None)
        name_line(ax, pool, "train rows")
        ax.set_title(corpus)
        ax.set_xlabel("labelled rows")
        ax.set_ylabel("evenness of classes")
        ax.margins(x=0.0)
        return figure


def weights_panel(
    curves: pd.DataFrame, corpus: str, strategy: str, looks: Mapping[str, Mapping[str, object]]
) -> Figure:
    """Feature weights of a policy over the budget, mean over seeds with a band of one standard deviation.

    Args:
        curves: Curves of all runs.
        corpus: Name of the corpus.
        strategy: Name of the policy.
        looks: Line style of each feature.
    """
    with matplotlib.rc_context(STYLE):
        figure, ax = _panel()
        draw_weights(ax, curves[(curves["corpus"] == corpus) & (curves["strategy"] == strategy)], looks)
        ax.set_title(f"{strategy} on {corpus}")
        ax.set_xlabel(cost_axis(curves))
        ax.set_ylabel("weight of the feature")
        ax.margins(x=0.0)
        return figure


def overlap_panel(
    overlap: pd.DataFrame, corpus: str, looks: Looks, shown: Sequence[str], reference: str
) -> Figure:
    """Jaccard index of each strategy's purchases with the reference's, by round."""
    with matplotlib.rc_context(STYLE):
        figure, ax = _panel()
        here = overlap[(overlap["corpus"] == corpus) & (overlap["other"] == reference)]
        for strategy in _ordered(looks, shown):
            own = here[here["strategy"] == strategy]
            if not own.empty:
                _line(ax, own["round"], own["jaccard"], looks[strategy] if strategy in shown else None)
        ax.set_title(corpus)
        ax.set_xlabel("round")
        ax.set_ylabel(f"overlap with {reference}")
        ax.set_ylim(bottom=0.0)
        ax.margins(x=0.0)
        return figure
