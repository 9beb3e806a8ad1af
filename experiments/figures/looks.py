"""What all figures share: style, names of metrics, and who is drawn how: colours, dashes and markers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D

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
    # Text stays text in every format, and a name with a dollar sign is no formula.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "figure.dpi": 160,
}

# Okabe & Ito's palette, which colour-blind readers can distinguish, then three that are darker or lighter.
_COLOURS: Final = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#7F5F00",
    "#332288", "#882255", "#9DB300"
)  # fmt: skip
_DASHES: Final[tuple[tuple[float, ...], ...]] = (
    (), (3.7, 1.6), (6.4, 1.6, 1.0, 1.6), (1.0, 1.65), (6.4, 1.6, 1.0, 1.6, 1.0, 1.6)
)  # fmt: skip
"""Lengths of line and gap in line widths; none of a solid line."""
_MARKERS: Final = "os^DvPX<>"
_PAIRS: Final = len(_DASHES) * len(_MARKERS)
"""Lines of one width that differ without colours: 5 and 9 have no common divisor, so pairs come once."""
_WIDTHS: Final = (1.3, 0.7)
MOST_IN_COLOUR: Final = 10
"""Strategies that a reader can follow in one panel; further ones are grey."""
GREY: Final = "#C8CCD0"
OTHERS: Final = "further strategies"
_LEARNED: Final = "#000000"
_METRICS: Final = {
    "macro_f1": "macro F1",
    "log_loss": "log-loss (nats)",
    "expected_calibration_error": "expected calibration error",
    "entity_f1": "entity F1",
    "entity_f1_strict": "strict entity F1",
    "entity_precision": "entity precision",
    "entity_recall": "entity recall",
    "token_accuracy": "token accuracy",
    "answer_f1": "answer F1",
    "exact_match": "exact match",
}


def metric_name(metric: str) -> str:
    """A metric as figures and texts call it."""
    return _METRICS.get(metric, metric)


Looks = Mapping[str, Mapping[str, object]]
"""Colour, dashes, marker and width of lines by the name of what they stand for."""


def line_look(place: int) -> dict[str, object]:
    """Colour, dashes and marker of the line at a place, as arguments of ``Axes.plot``."""
    dashes = _DASHES[place % len(_DASHES)]
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "linestyle": (0, dashes) if dashes else "-",
        "linewidth": _WIDTHS[place // _PAIRS % len(_WIDTHS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 3.5,
        # A marker now and then along a curve, at other places on each.
        "markevery": (0.04 + 0.023 * (place % len(_MARKERS)), 0.21),
    }


def looks_of(strategies: Sequence[str], policies: Collection[str]) -> dict[str, dict[str, object]]:
    """Colour, dashes, marker and width of each strategy, the same in every figure; policies are black.

    Args:
        strategies: Names.
        policies: Those among them that are trained policies.
    """
    looks: dict[str, dict[str, object]] = {}
    known = [s for s in STRATEGIES if s in strategies and s not in policies]
    fixed = [*known, *(s for s in strategies if s not in known and s not in policies)]
    for i, strategy in enumerate(fixed):
        looks[strategy] = line_look(i)
    for i, strategy in enumerate(s for s in strategies if s in policies):
        looks[strategy] = line_look(i) | {"color": _LEARNED, "linewidth": 2.2, "zorder": 5}
    return looks


@dataclass(frozen=True)
class KeyLine:
    """A line of a legend in SVG's words.

    Args:
        name: What the line stands for.
        colour: Colour.
        dashes: Dash pattern.
        width: Width.
        marker: Corners of the marker at (17, 4); empty without one.
    """

    name: str
    colour: str
    dashes: str = "none"
    width: float = 1.0
    marker: str = ""


def key_lines(looks: Looks) -> list[KeyLine]:
    """Legend entries of lines by name."""
    lines = []
    for name, look in looks.items():
        width, dashes = float(str(look["linewidth"])), cast(Any, look["linestyle"])
        pattern = " ".join(f"{d * width:.3g}" for d in dashes[1]) if isinstance(dashes, tuple) else "none"
        lines.append(KeyLine(name, str(look["color"]), pattern, width, _corners(str(look["marker"]))))
    return lines


def _corners(marker: str) -> str:
    """Outline of a marker, 6 units wide, as points of an SVG polygon."""
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform()).transformed(Affine2D().scale(6.0, -6.0))
    (points,) = np.array(outline.to_polygons(), float)
    return " ".join(f"{x + 17:.2f},{y + 4:.2f}" for x, y in points)


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
        fontsize=max(7.0, 0.84 * float(matplotlib.rcParams["font.size"])),
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        zorder=6,
    )


def shared_key(axes: Sequence[Axes], names: Sequence[str]) -> tuple[list[Artist], list[str]]:
    """Lines and names of one legend for several panels, in the order of ``names``."""
    lines: dict[str, Artist] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            lines.setdefault(name, handle)
    there = [name for name in names if name in lines]
    return [lines[name] for name in there], there
