"""Figures that set strategies against each other: matrices, critical differences, Pareto fronts, maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from react_rl.experiments.analysis.diagnostics import PoolMap, Purchases
from react_rl.experiments.analysis.numbers import pareto_front
from react_rl.experiments.figures.looks import STYLE, Looks
from react_rl.metrics import NemenyiResult

Floats = npt.NDArray[np.float64]

_TONES: Final = 48
"""Tones of a colour scale; from 49 on matplotlib puts pixels into the SVG."""
MOST_DOTS: Final = 800
"""Rows of a pool that a map draws at most."""

_Box = tuple[float, float, float, float]

_MOST_NUMBERED: Final = 16
"""Strategies up to which a matrix has its numbers written in."""


def matrix_figure(
    values: Floats, names: Sequence[str], limits: tuple[float, float], diverging: bool, label: str
) -> Figure:
    """Draw an ``(A, A)`` matrix, row against column, with its numbers where they fit.

    Args:
        values: The matrix; NaN cells stay empty.
        names: Names of the strategies.
        limits: Values at the ends of the colour scale.
        diverging: The middle of the scale means "no difference".
        label: What the colours say.
    """
    count = len(names)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        wide, high = (0.42, 0.36) if count <= _MOST_NUMBERED else (0.24, 0.22)
        figure = Figure(figsize=(wide * count + 2.6, high * count + 1.5), layout="constrained")
        ax = figure.add_subplot()
        # Orange to purple and white to blue: distinct for colour-blind readers and in grey print.
        palette = matplotlib.colormaps["PuOr" if diverging else "Blues"].resampled(_TONES)
        # A mesh stays a drawing in SVG, where an image would become pixels.
        mesh = ax.pcolormesh(
            np.ma.masked_invalid(values),
            cmap=palette,
            norm=Normalize(*limits),
            edgecolors="white",
            linewidth=0.5,
        )
        ticks = np.arange(count) + 0.5
        ax.set_xticks(ticks, list(names), rotation=60, ha="right", rotation_mode="anchor")
        ax.set_yticks(ticks, list(names))
        ax.invert_yaxis()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        if count <= _MOST_NUMBERED:
            shares = np.asarray(Normalize(*limits)(np.nan_to_num(values)))
            for (i, j), value in np.ndenumerate(values):
                if not np.isnan(value):
                    red, green, blue, _ = palette(float(shares[i, j]))
                    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
                    text = f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:.0f}"
                    colour = "white" if dark else "black"
                    ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color=colour)
        figure.colorbar(mesh, ax=ax, shrink=0.8, label=label)
        return figure


def critical_difference_figure(result: NemenyiResult, names: Sequence[str]) -> Figure:
    """Demsar's diagram: mean ranks on a line, bars join what is not significantly different."""
    order = np.argsort(result.mean_ranks, kind="stable")
    count = len(names)
    half = -(-count // 2)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        height = 0.24 * half + 0.2 * len(result.groups) + 1.0
        figure = Figure(figsize=(7.4, height), layout="constrained")
        ax = figure.add_subplot()
        ax.set_axis_off()
        top, step = 0.0, 0.24
        bars = 0.14 + 0.13 * len(result.groups)
        ax.plot([1, count], [top, top], color="black", linewidth=1.2)
        for tick in range(1, count + 1):
            ax.plot([tick, tick], [top, top + 0.07], color="black", linewidth=1.0)
            if count <= _MOST_NUMBERED or tick % 5 == 0 or tick == 1:
                ax.text(tick, top + 0.1, str(tick), ha="center", va="bottom")
        limit = result.critical_difference
        ax.plot([1, 1 + limit], [top + 0.48] * 2, color="black", linewidth=2.0)
        ax.text(1 + limit / 2, top + 0.52, f"critical difference {limit:.2f}", ha="center", va="bottom")
        margin = 0.12 * (count - 1)
        for place, position in enumerate(order):
            rank, left = float(result.mean_ranks[position]), place < half
            level = top - bars - step * (place if left else count - 1 - place)
            end = 1 - margin / 3 if left else count + margin / 3
            ax.plot([rank, rank, end], [top, level, level], color="#555555", linewidth=0.8)
            text = f"{names[position]} ({rank:.2f})" if left else f"({rank:.2f}) {names[position]}"
            ax.text(end + (-0.04 if left else 0.04), level, text, ha="right" if left else "left", va="center")
        for i, group in enumerate(result.groups):
            ends = [float(result.mean_ranks[group[0]]) - 0.05, float(result.mean_ranks[group[-1]]) + 0.05]
            ax.plot(ends, [top - 0.12 - 0.13 * i] * 2, color="#0072B2", linewidth=3.0, solid_capstyle="butt")
        ax.set_xlim(1 - 2.6 * margin, count + 2.6 * margin)
        ax.set_ylim(top - bars - step * half, top + 0.8)
        return figure


def pareto_figure(
    table: pd.DataFrame,
    looks: Looks,
    cost: str,
    value: str,
    sign: float,
    labels: tuple[str, str],
    logarithmic: bool,
) -> Figure:
    """Cost against performance of each strategy; a line joins those that none beats in both.

    Args:
        table: From ``cost_performance``.
        looks: Lines of the strategies.
        cost: Column on the x axis, lower is better.
        value: Column on the y axis.
        sign: 1 where a larger value is better, else -1.
        labels: Labels of the axes.
        logarithmic: Draw costs on a logarithmic scale.
    """
    rows = table.dropna(subset=[cost, value]).reset_index(drop=True)
    x, y = rows[cost].to_numpy(float), rows[value].to_numpy(float)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.9), layout="constrained")
        ax = figure.add_subplot()
        front = pareto_front(x, sign * y)
        ax.plot(x[front], y[front], color="#777777", linewidth=1.0, zorder=1)
        if logarithmic:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for i, strategy in enumerate(rows["strategy"]):
            marker, colour = ("D" if i in front else "o"), str(looks[strategy]["color"])
            ax.plot([x[i]], [y[i]], marker=marker, markersize=6, color=colour, linestyle="none")
        ax.margins(0.18, 0.12)
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])
        names = rows["strategy"].tolist()
        wanted = front if len(names) > _MOST_NUMBERED else range(len(names))
        _place_labels(ax, figure, [(float(x[i]), float(y[i]), names[i]) for i in wanted])
        return figure


def _place_labels(ax: Axes, figure: Figure, points: Sequence[tuple[float, float, str]]) -> None:
    """Write each name beside its point, where it covers least of the others."""
    # Scales and margins are settled by drawing; positions below are in points from the axes' corner.
    figure.draw_without_rendering()
    corner, width = ax.bbox.min, float(ax.bbox.width) * 72 / figure.dpi
    places = [(ax.transData.transform((px, py)) - corner) * 72 / figure.dpi for px, py, _ in points]
    size, letter = 8.0, 4.6  # a letter is a little more than half as wide as the font is high
    taken: list[_Box] = [(px - 4, py - 4, px + 4, py + 4) for px, py in places]
    for (x, y, name), (px, py) in zip(points, places, strict=True):
        long = letter * len(name)
        best: tuple[float, float, float, str, _Box] | None = None
        for dx, dy, align in _POSITIONS:
            left = float(px) + dx - (long if align == "right" else long / 2 if align == "center" else 0.0)
            box = (left, float(py) + dy - size / 2, left + long, float(py) + dy + size / 2)
            outside = max(0.0, -box[0]) + max(0.0, box[2] - width)
            cost = sum(_shared(box, other) for other in taken) + size * outside + 0.01 * abs(dy)
            if best is None or cost < best[0]:
                best = (cost, dx, dy, align, box)
        assert best is not None
        _, dx, dy, align, box = best
        taken.append(box)
        line = (
            {"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkB": 4} if abs(dy) > 12 else None
        )
        ax.annotate(
            name, (x, y), (dx, dy), textcoords="offset points", ha=align, va="center", fontsize=size,
            arrowprops=line,
        )  # fmt: skip


_POSITIONS: Final = [
    (7.0, 0.0, "left"),
    (-7.0, 0.0, "right"),
    *[(dx, dy, align) for dy in (10.0, -10.0, 20.0, -20.0, 30.0, -30.0) for dx, align in (
        (0.0, "center"), (7.0, "left"), (-7.0, "right"))],
]  # fmt: skip


def _shared(a: _Box, b: _Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def round_colours(rounds: int) -> list[str]:
    """Colours of the rounds on a map, from yellow to dark blue in even steps of lightness."""
    palette = matplotlib.colormaps["cividis_r"]
    return [to_hex(palette(r / max(rounds - 1, 1))) for r in range(rounds)]


def map_figure(pool: PoolMap, run: Purchases, colours: Sequence[str]) -> Figure:
    """One strategy's picks on the map of the pool: small grey pool, crosses initial, colours rounds.

    Args:
        pool: The map.
        run: A run on this pool.
        colours: One for each round.
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(3.4, 2.9), layout="constrained")
        ax = figure.add_subplot()
        # Evenly spaced row ids stand for the whole where a large pool would fill the page.
        drawn = pool.position[:: -(-len(pool.ids) // MOST_DOTS)]
        # One path of lines without length, whose round ends are dots: a third of the size of markers.
        dots = Path(np.repeat(drawn, 2, axis=0), [Path.MOVETO, Path.LINETO] * len(drawn))
        dots.should_simplify = False
        ax.add_patch(
            PathPatch(dots, fill=False, edgecolor="#C4C9CE", linewidth=2.4, capstyle="round", zorder=1)
        )
        where = {int(row): i for i, row in enumerate(pool.ids)}
        first = pool.position[[where[row] for row in run.initial]]
        ax.plot(*first.T, marker="x", markersize=4.5, color="black", linestyle="none", zorder=2)
        bought = [(where[row], colours[r]) for r, batch in enumerate(run.batches) for row in batch]
        if bought:
            picked = pool.position[[place for place, _ in bought]]
            # The outline keeps the light ones visible.
            ax.scatter(
                picked[:, 0],
                picked[:, 1],
                s=21,
                c=[colour for _, colour in bought],
                edgecolors="#333333",
                linewidths=0.4,
                zorder=3,
            )
        low, high = pool.position.min(axis=0), pool.position.max(axis=0)
        ax.set_xlim(low[0] - 0.04 * (high - low)[0], high[0] + 0.04 * (high - low)[0])
        ax.set_ylim(low[1] - 0.04 * (high - low)[1], high[1] + 0.04 * (high - low)[1])
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        ax.set_title(run.strategy)
        return figure
