"""Figures of an explanation: what a policy decides over the budget, what drives it, what a formula loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from react_rl.data.corpus import ALL_CORPORA
from react_rl.experiments.explain.drivers import FEATURE, METHODS, NUMBER
from react_rl.experiments.explain.folder import Explanation
from react_rl.experiments.explain.playing import BESIDE
from react_rl.experiments.explain.situations import PHASES
from react_rl.experiments.figures.fonts import glyphs_checked_later
from react_rl.experiments.figures.learning import COST
from react_rl.experiments.figures.looks import GREY, line_look, metric_name, name_line, shared_key
from react_rl.experiments.figures.page import SCREEN, Page, first_in_row, wrapped

SHOWN: Final = 8
"""Lines in colour in a panel of decisions; the others are grey."""

DRIVERS: Final = {FEATURE: 8, NUMBER: 5}
"""Inputs of each kind in a figure of drivers, those that matter most."""

_OTHERS: Final = "the others"
_MARKERS: Final = dict(zip(PHASES, ("o", "s", "^"), strict=True))
_COLOURS: Final = dict(zip(PHASES, ("#56B4E9", "#0072B2", "#000000"), strict=True))
_NAMES: Final = 150.0
"""Points of the longest line of an input's name."""


def explanation_figures(explanation: Explanation, page: Page = SCREEN) -> dict[str, Figure]:
    """The figures of an explanation by name.

    Args:
        explanation: The explanation.
        page: Where the figures will go.
    """
    with matplotlib.rc_context(page.style), glyphs_checked_later():
        figures = {
            "decisions": decisions_figure(explanation, page),
            "drivers": drivers_figure(explanation, page),
            "formula": formula_figure(explanation, page),
        }
        return {name: figure for name, figure in figures.items() if figure is not None}


def decision_looks(explanation: Explanation) -> dict[str, dict[str, object]]:
    """Colour and line of the weights or options that are drawn in colour, the largest first."""
    table = explanation.decisions
    if table.empty:
        return {}
    size = table.assign(size=table["mean"].abs()).groupby("what")["size"].mean()
    order = size.sort_values(ascending=False, kind="stable").index[:SHOWN]
    return {str(name): line_look(place) for place, name in enumerate(order)}


def decisions_figure(explanation: Explanation, page: Page = SCREEN) -> Figure | None:
    """Weights or shares of choices over the budget, a panel for each corpus; None where there are none."""
    looks, corpora = decision_looks(explanation), explanation.facts.corpora
    if not looks:
        return None
    figure, axes = page.panels(len(corpora), 4.4, 3.2)
    for ax, corpus in zip(axes, corpora, strict=True):
        draw_decisions(ax, explanation.decisions[explanation.decisions["corpus"] == corpus], looks)
        ax.set_title(corpus)
    _share_heights(axes)
    page.label(axes, COST, decision_label(explanation))
    seeds = explanation.facts.explained_seeds
    page.headline(
        figure,
        f"{explanation.facts.policy}: mean over {seeds} seeds; bands: one standard deviation between seeds",
    )
    page.finish(figure, *shared_key(axes, [*looks, _OTHERS]))
    return figure


def decision_label(explanation: Explanation) -> str:
    """What the heights of decisions are."""
    kind = explanation.facts.kind
    if kind == "choice":
        return "share of choices"
    return "weight of the feature" if kind == "weights" else "weight of the feature (linear part)"


def draw_decisions(ax: Axes, table: pd.DataFrame, looks: Mapping[str, Mapping[str, object]]) -> None:
    """Draw the decisions on one corpus by cost: those with a look in colour, the others grey."""
    for name in sorted(table["what"].unique(), key=lambda one: one in looks):
        own = table[table["what"] == name].sort_values("spent")
        x, mean, spread = (own[column].to_numpy(float) for column in ("spent", "mean", "std"))
        look: Any = looks.get(name)
        if look is None:
            ax.plot(x, mean, label=_OTHERS, color=GREY, linewidth=0.8, zorder=1)
            continue
        ax.plot(x, mean, label=name, **look)
        ax.fill_between(x, mean - spread, mean + spread, color=str(look["color"]), alpha=0.12, linewidth=0)
    ax.axhline(0.0, color="#666666", linewidth=0.8)


def driver_effect(explanation: Explanation) -> tuple[str, str]:
    """The column by which drivers are shown, and what it is."""
    if explanation.drivers["pick_changed"].notna().any():
        return "pick_changed", "share of first picks that change"
    return "decision_changed", "share of decisions that change"


def strongest(explanation: Explanation) -> list[str]:
    """Names of the features whose ablation changes most, the strongest first, then those of the numbers."""
    column, _ = driver_effect(explanation)
    ablated = explanation.drivers[explanation.drivers["method"] == METHODS[0]]
    found: list[str] = []
    for kind, most in DRIVERS.items():
        own = ablated[ablated["kind"] == kind].groupby("input", sort=False)[column].mean()
        found += [str(name) for name in own.sort_values(ascending=False, kind="stable").index[:most]]
    return found


def drivers_figure(explanation: Explanation, page: Page = SCREEN) -> Figure:
    """Effect of ablating inputs in each phase of the budget, features above numbers of the context."""
    (column, what), names = driver_effect(explanation), strongest(explanation)
    size = FontProperties(size=matplotlib.rcParams["ytick.labelsize"]).get_size_in_points()
    longest = _NAMES if page.width is None else 0.42 * 72 * page.width
    shown = [wrapped(name, longest, size) for name in names]
    lines = np.array([name.count("\n") + 1 for name in shown])
    pitch = (2.2 if page.width is None else 1.5) * size / 72
    corpora = explanation.facts.corpora
    figure, axes = page.panels(len(corpora), 4.4, pitch * lines.sum() + 0.8, rigid=True)
    levels = -(np.cumsum(lines) - 0.5 * lines)
    for ax, corpus in zip(axes, corpora, strict=True):
        draw_drivers(ax, explanation, corpus, names, levels, column)
        ax.set_yticks(levels, shown)
        if not first_in_row(ax):
            ax.tick_params(labelleft=False)
        ax.set_ylim(-lines.sum() - 0.1, 0.1)
        ax.set_title(corpus)
    _share_widths(axes)
    page.label(axes, what, None)
    page.headline(
        figure,
        f"{explanation.facts.policy}: one number at a time at its mean (features over the pool, numbers over "
        "all choices), by third of the budget",
    )
    page.finish(figure, *shared_key(axes, PHASES))
    return figure


def draw_drivers(
    ax: Axes, explanation: Explanation, corpus: str, names: Sequence[str], levels: Any, column: str
) -> None:
    """Draw the effects of ablation on one corpus, a marker for each phase."""
    table = explanation.drivers
    own = table[(table["corpus"] == corpus) & (table["method"] == METHODS[0])]
    wide = own.pivot_table(column, "input", "phase", sort=False).reindex(list(names))
    ax.hlines(levels, 0.0, wide.max(axis=1).to_numpy(float), color=GREY, linewidth=0.8, zorder=1)
    for phase in PHASES:
        if phase in wide:
            look: Any = {"color": _COLOURS[phase], "marker": _MARKERS[phase], "markersize": 4.5}
            ax.plot(wide[phase].to_numpy(float), levels, linestyle="none", label=phase, **look)
    ax.set_xlim(left=0.0)


def formula_figure(explanation: Explanation, page: Page = SCREEN) -> Figure:
    """How near formulas come by their number of terms, and what they lose when they play."""
    figure, axes = page.panels(2, 4.4, 3.2)
    draw_fidelity(axes[0], explanation)
    draw_losses(axes[1], explanation)
    metric = metric_name(explanation.facts.metric)
    for ax in axes:
        ax.set_xlabel("terms of the formula")
    axes[0].set_ylabel("share, or correlation")
    axes[1].set_ylabel(f"area ({metric}) minus the policy's")
    page.headline(
        figure,
        f"{explanation.facts.policy}: formulas of its features; bars: 95 % bootstrap interval over "
        f"{explanation.facts.seeds} paired seeds",
    )
    page.finish(figure, *shared_key(axes[:1], list(_FIDELITY.values())))
    return figure


_FIDELITY: Final = {
    "rank_correlation": "rank correlation with the policy's scores",
    "same_pick": "same first pick",
    "in_batch": "first pick is in the policy's batch",
}


def draw_fidelity(ax: Axes, explanation: Explanation) -> None:
    """Draw rank correlation and equal picks by the number of terms."""
    table = explanation.formulas
    for place, (column, name) in enumerate(_FIDELITY.items()):
        if table[column].notna().any():
            look: Any = line_look(place) | {"markevery": 1, "markersize": 4.5}
            ax.plot(table["terms"], table[column], label=name, **look)
    ax.set_ylim(0.0, 1.0)
    ax.set_xticks(table["terms"])


def draw_losses(ax: Axes, explanation: Explanation) -> None:
    """Draw paired differences in area to the policy with their intervals, beside fixed strategies."""
    table = explanation.formulas
    middle = table["difference"].to_numpy(float)
    spread = np.stack([middle - table["low"].to_numpy(float), table["high"].to_numpy(float) - middle])
    spread = np.nan_to_num(spread)
    ax.errorbar(table["terms"], middle, spread, fmt="o", color="#000000", markersize=4.5, capsize=2.5)
    whole = explanation.areas
    corpora = explanation.facts.corpora
    whole = whole[whole["corpus"] == (ALL_CORPORA if len(corpora) > 1 else corpora[0])]
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    ax.set_xlim(0.0, len(table) + 0.4)  # names of strategies are left of the first formula
    low, high = ax.get_ylim()
    beside = whole.loc[whole["strategy"].isin(BESIDE), "difference"].to_numpy(float)
    low, high = min([low, *beside]), max([high, *beside])
    ax.set_ylim(low - 0.1 * (high - low), high + 0.05 * (high - low))
    for name in BESIDE:
        for height in whole.loc[whole["strategy"] == name, "difference"]:
            name_line(ax, float(height), name)
    ax.set_xticks(table["terms"])


def _share_heights(axes: Sequence[Axes]) -> None:
    """Give panels one scale."""
    ends = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _share_widths(axes: Sequence[Axes]) -> None:
    """Give panels one scale from 0 on."""
    most = max(ax.get_xlim()[1] for ax in axes)
    for ax in axes:
        ax.set_xlim(0.0, most)
