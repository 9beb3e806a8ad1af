"""Learning curves as `plot` draws them: a panel for each corpus; for many contestants one for each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from react_rl.experiments.analysis.about import REFERENCE, about
from react_rl.experiments.analysis.numbers import cost_grid, curves_on
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, Summarised
from react_rl.experiments.figures.looks import (
    GREY,
    MOST_IN_COLOUR,
    OTHERS,
    looks_of,
    metric_name,
    name_line,
    shared_key,
)
from react_rl.experiments.figures.page import SCREEN, Page, shortened
from react_rl.metrics.curves import interpolate_curves
from react_rl.metrics.statistics import bootstrap_mean

Floats = npt.NDArray[np.float64]

_GRID_POINTS: Final = 65
_RESAMPLES: Final = 2000
_MOST_POLICIES: Final = 3
_LINE: Final = 0.058
"""Height of a name beside a panel, as a share of the panel."""
_LONGEST: Final = 110.0
"""Points of the longest name beside a panel; the legend has it in full."""
COST: Final = "cost spent (cost units)"


def cost_axis(curves: pd.DataFrame) -> str:
    """What the cost of runs is, for an axis: the labels bought, where each cost one unit.

    Args:
        curves: As in ``Results``.
    """
    runs = [curves[key] for key in ("corpus", "strategy", "seed")]
    initial = (curves["labels"] - curves["cost"]).groupby(runs).nunique()
    return "labels bought" if (initial == 1).all() else COST


def leaders(found: Sequence[Summarised], families: bool = True) -> list[str]:
    """Contestants in colour: all if they are few, else reference, policies and the best.

    Args:
        found: Results of each task and their summary; with several tasks the mean rank over them decides.
        families: Whether the best of each family are meant, else those of all.
    """
    results, every = found[0][0], [one for one, _ in found]
    names, trained = contestants_of(every), trained_of(every)
    ordered = ranking(found)
    if len(names) <= MOST_IN_COLOUR or not ordered:
        return names
    if families:
        first = {about(s, results.policies).family: s for s in reversed(ordered)}
        policies = [s for s in ordered if s in trained][:_MOST_POLICIES]
        best = [s for s in ordered if s in first.values() and s not in policies]
    else:
        learned = [s for s in names if s in trained][: MOST_IN_COLOUR - 2]
        policies = [s for s in learned if s != results.reference]
        best = [s for s in ordered if s not in (results.reference, *policies)]
    chosen = [results.reference, *policies, *best][:MOST_IN_COLOUR]
    return [s for s in names if s in chosen]


def contestants_of(found: Sequence[Results]) -> list[str]:
    """Contestants of all tasks, in the order of the config."""
    return list(dict.fromkeys(strategy for results in found for strategy in results.strategies))


def trained_of(found: Sequence[Results]) -> list[str]:
    """Those of them that are trained policies or made of one."""
    return list(dict.fromkeys(strategy for results in found for strategy in results.trained))


def ranking(found: Sequence[Summarised]) -> list[str]:
    """Contestants by their mean area over corpora, the best first; with several tasks by their mean rank."""
    orders = []
    for results, table in found:
        if not table.empty:
            whole = (table["corpus"] == ALL_CORPORA).any()
            group = ALL_CORPORA if whole else table["corpus"].iloc[0]
            rows = table[table["corpus"] == group].sort_values("area", ascending=not results.higher_is_better)
            orders.append([str(s) for s in rows["strategy"]])
    named = list(dict.fromkeys(name for order in orders for name in order))
    places = {name: [order.index(name) for order in orders if name in order] for name in named}
    return sorted(named, key=lambda name: sum(places[name]) / len(places[name]))


def learning_curves(
    found: Sequence[Results], shown: Sequence[str] | None = None, page: Page = SCREEN
) -> Figure:
    """Test metric against cost: mean over seeds with a 95 % bootstrap band, one panel for each corpus.

    Args:
        found: The comparison, by tasks; each panel has the metric and the budget of its own.
        shown: Contestants in colour, with their names beside the panels where there is room; the others are
            grey. None shows all.
        page: Where the figure will go.
    """
    names = contestants_of(found)
    shown = names if shown is None else shown
    few = len(shown) == len(names)
    panels = [(results, corpus) for results in found for corpus in results.corpora]
    figure, axes = page.panels(len(panels), 4.4 if few else 4.9, 3.2)
    every = looks_of(names, trained_of(found))
    looks = {s: every[s] for s in shown}
    for ax, (results, corpus) in zip(axes, panels, strict=True):
        grid = np.linspace(0.0, results.budget, _GRID_POINTS)
        ends = {}
        for strategy in sorted(results.strategies, key=lambda s: s in shown):
            band = _band(results, corpus, strategy, grid)
            if band is not None:
                _draw(ax, strategy, grid, band, looks.get(strategy))
                ends[strategy] = float(band[0][-1])
        if corpus in results.full:
            name_line(ax, results.full[corpus], "all labels")
        ax.set_title(corpus)
        ax.set_xlim(0.0, results.budget)
        if not few and page.width is None:
            _name_ends(ax, results.budget, {s: ends[s] for s in shown if s in ends}, looks)
    curves = pd.concat([one.curves for one in found])
    page.label(axes, cost_axis(curves), [f"test {metric_name(results.metric)}" for results, _ in panels])
    seeds = curves.groupby(["corpus", "strategy"])["seed"].nunique()
    said = "" if few else f". In colour: {found[0].reference} and the best of each family"
    said += ". Dashed level: the learner with all labels of the pool" if any(r.full for r in found) else ""
    page.headline(
        figure, f"Mean over {_counts(seeds)} seeds; bands: 95 % bootstrap interval of the mean{said}"
    )
    page.finish(figure, *shared_key(axes, names if few else [*shown, OTHERS]))
    return figure


def family_curves(results: Results, page: Page = SCREEN) -> Figure | None:
    """Gain over the reference against cost, mean over corpora, one panel for each family of contestants.

    All others are grey lines in each panel. Seed k on all corpora is one replicate, and the reference's curve
    with the same seed is taken off before the mean and its interval.

    Args:
        results: The comparison.
        page: Where the figure will go.

    Returns:
        The figure, or None where contestants are few enough for one panel or the reference is missing.
    """
    if len(results.strategies) <= MOST_IN_COLOUR:
        return None
    grid = cost_grid(results)
    gains = _gains(results, grid)
    families: dict[str, list[str]] = {}
    for strategy in gains:
        family = about(strategy, results.policies).family.replace(REFERENCE, "look at labels")
        families.setdefault(family, []).append(strategy)
    if not families:
        return None
    every = looks_of(results.strategies, results.trained)
    figure, axes = page.panels(len(families), 4.9, 3.2)
    ends = [float(extreme) for band in gains.values() for extreme in (band[1].min(), band[2].max())]
    for ax, (family, members) in zip(axes, families.items(), strict=True):
        looks = {s: every[s] for s in members}
        for strategy in sorted(gains, key=lambda s: s in members):
            _draw(ax, strategy, grid, gains[strategy], looks.get(strategy))
        ax.axhline(0.0, color="#444444", linewidth=0.8)
        ax.set_title(family)
        ax.set_xlim(0.0, results.budget)
        ax.set_ylim(min(ends) - 0.002, max(ends) + 0.002)
        if page.width is None:
            _name_ends(ax, float(grid[-1]), {s: float(gains[s][0][-1]) for s in members}, looks)
    gain = f"test {metric_name(results.metric)} minus that of {results.reference}"
    page.label(axes, cost_axis(results.curves), gain)
    corpora = len(results.corpora)
    kind = f"{results.task} corpora" if results.task else "corpora"
    where = f"mean of {corpora} {kind}" if corpora > 1 else results.corpora[0]
    page.headline(
        figure,
        f"Paired gain over {results.reference}, {where}; bands: 95 % bootstrap interval over seeds; "
        "grey: the other families",
    )
    if page.width is None:
        page.finish(figure)
    else:
        page.finish(figure, *shared_key(axes, [s for members in families.values() for s in members]))
    return figure


def _gains(results: Results, grid: Floats) -> dict[str, tuple[Floats, ...]]:
    """Mean, low and high end of each contestant's paired difference to the reference, on the grid."""
    curves = curves_on(results, grid)
    found: dict[str, tuple[Floats, ...]] = {}
    for strategy in results.strategies:
        pairs = [((c, strategy), (c, results.reference)) for c in results.corpora]
        if strategy == results.reference or any(key not in curves for pair in pairs for key in pair):
            continue
        shared = set.intersection(*(set(curves[key][0]) for pair in pairs for key in pair))
        if not shared:
            continue
        rows = {key: [s in shared for s in curves[key][0]] for pair in pairs for key in pair}
        gain = np.mean([curves[a][1][rows[a]] - curves[b][1][rows[b]] for a, b in pairs], axis=0)  # (S, G)
        interval = bootstrap_mean(gain, np.random.default_rng(0), resamples=_RESAMPLES)
        found[strategy] = tuple(np.asarray(end) for end in (interval.estimate, interval.low, interval.high))
    return found


def _band(results: Results, corpus: str, strategy: str, grid: Floats) -> tuple[Floats, ...] | None:
    own = results.curves[(results.curves["corpus"] == corpus) & (results.curves["strategy"] == strategy)]
    curves = [(run["cost"].to_numpy(float), run["test"].to_numpy(float)) for _, run in own.groupby("seed")]
    if not curves:
        return None
    interval = bootstrap_mean(
        interpolate_curves(curves, grid), np.random.default_rng(0), resamples=_RESAMPLES
    )
    return np.asarray(interval.estimate), np.asarray(interval.low), np.asarray(interval.high)


def _draw(
    ax: Axes, name: str, grid: Floats, band: tuple[Floats, ...], look: Mapping[str, object] | None
) -> None:
    """Draw a curve with its band; a thin grey line without one where it has no look."""
    mean, low, high = band
    if look is None:
        ax.plot(grid, mean, label=OTHERS, color=GREY, linewidth=0.7, zorder=1)
        return
    ax.plot(grid, mean, label=name, **look)  # type: ignore[arg-type]
    ax.fill_between(grid, low, high, color=str(look["color"]), alpha=0.12, linewidth=0)


def _name_ends(
    ax: Axes, end: float, heights: Mapping[str, float], looks: Mapping[str, Mapping[str, object]]
) -> None:
    """Write the names of curves beside the panel, as near to their ends as they fit below each other."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    names = sorted(heights, key=lambda name: heights[name])
    steps = np.arange(len(names)) * _LINE
    wanted = np.array([(heights[name] - low) / (high - low) for name in names])
    # The places nearest to the ends with a line's height between neighbours: least squares, kept in order.
    places = isotonic_regression(wanted - steps).x + steps
    places -= max(0.0, float(places[-1]) - 1.0) if len(names) else 0.0
    for name, place in zip(names, places, strict=True):
        colour = str(looks[name]["color"])
        ax.annotate(
            shortened(name, _LONGEST, 7.5),
            (end, heights[name]),
            (1.035, place),
            textcoords="axes fraction",
            fontsize=7.5,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 1.0,
                "relpos": (0.0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
            annotation_clip=False,
        )


def _counts(seeds: pd.Series[int]) -> str:
    low, high = int(seeds.min()), int(seeds.max())
    return str(low) if low == high else f"{low} to {high}"
