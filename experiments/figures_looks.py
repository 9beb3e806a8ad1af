"""What all figures share: style, colours and dashes of strategies, names of metrics, a grid of panels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from react_rl.acquisition.registry import STRATEGIES

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
MOST_IN_COLOUR: Final = 10
"""Strategies that can be told apart in one panel; further ones are grey."""
GREY: Final = "#C8CCD0"
OTHERS: Final = "further strategies"
_LEARNED: Final = "#000000"
METRIC_NAMES: Final = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log-loss (nats)"}


Looks = Mapping[str, Mapping[str, object]]
"""Colour, dashes and width of lines by the name of what they stand for."""


def looks_of(strategies: Sequence[str], policies: Collection[str]) -> dict[str, dict[str, object]]:
    """Line colour, style and width of each strategy, the same in every figure; policies are black.

    Args:
        strategies: Names.
        policies: Those among them that are trained policies.
    """
    looks: dict[str, dict[str, object]] = {}
    known = [s for s in STRATEGIES if s in strategies and s not in policies]
    fixed = [*known, *(s for s in strategies if s not in known and s not in policies)]
    for i, strategy in enumerate(fixed):
        looks[strategy] = {
            "color": COLOURS[i % len(COLOURS)],
            # One further after each turn of the palette, so that no two of 32 strategies look alike.
            "linestyle": DASHES[(i + i // len(COLOURS)) % len(DASHES)],
            "linewidth": 1.3,
        }
    for i, strategy in enumerate(s for s in strategies if s in policies):
        looks[strategy] = {
            "color": _LEARNED,
            "linestyle": DASHES[i % len(DASHES)],
            "linewidth": 2.2,
            "zorder": 5,
        }
    return looks


def name_line(ax: Axes, height: float, name: str) -> None:
    """Draw a dashed level and write its name under its left end, where rising curves are far below."""
    ax.axhline(height, color="#444444", linewidth=1.0, linestyle=(0, (5, 3)))
    ax.annotate(
        name,
        (0.0, height),
        (3, -2),
        ("axes fraction", "data"),
        "offset points",
        ha="left",
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        zorder=6,
    )


def grid_of(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of ``n`` panels, three abreast; width and height of a panel in inches."""
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    return figure, axes
