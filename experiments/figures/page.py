"""The page that a figure is drawn for: its width, its text sizes, its panels, and that no text leaves it.

Colours and lines are in ``looks``; what is drawn is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from react_rl.errors import ReActError
from react_rl.experiments.figures.looks import STYLE

NARROWEST: Final = 2.5
WIDEST: Final = 40.0
_ABREAST: Final = 3
_IN_A_ROW: Final = 5
_NARROW_PANEL: Final = 1.6
"""Inches that a panel of a narrow figure needs at least."""
_LEAST: Final = 7.0
"""Points of the smallest text."""
_MARGIN: Final = 5.0
"""Points left free at the sides of a text that is as wide as the figure."""
_LINE: Final = 1.25
"""Height of a line of text, in font sizes."""


@dataclass(frozen=True)
class Page:
    """How wide a figure is.

    Args:
        width: Inches; None for the screen: wide panels, each with all its labels, under a headline. A figure
            with a width is for a paper: small panels share their labels, and its headline is left to the
            caption.

    Raises:
        ReActError: The width is out of range.
    """

    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None and not NARROWEST <= self.width <= WIDEST:
            raise ReActError(
                f"A width of {self.width:g} inches is out of range: {NARROWEST:g} to {WIDEST:g} are allowed."
            )

    @property
    def style(self) -> dict[Any, Any]:
        """Matplotlib's settings; text of a paper's figure has 7 to 8 points."""
        if self.width is None:
            return STYLE
        least = {"legend.fontsize": _LEAST, "xtick.labelsize": _LEAST, "ytick.labelsize": _LEAST}
        others = {"font.size": 7.5, "axes.titlesize": 8.0, "axes.labelsize": 7.5}
        fine = {"axes.linewidth": 0.6, "axes.labelpad": 2, "xtick.major.size": 2.5, "ytick.major.size": 2.5}
        return STYLE | least | others | fine | {"figure.dpi": 300}

    def panels(
        self, count: int, width: float, height: float, rigid: bool = False
    ) -> tuple[Figure, list[Axes]]:
        """A figure of ``count`` panels.

        Args:
            count: How many.
            width: Width of a panel on the screen, inches.
            height: Height of a panel, inches, without headline and legend.
            rigid: Keep the height on narrow pages, too, where it would be scaled down with the width, though
                by no more than half.
        """
        if self.width is None:
            columns, total = min(count, _ABREAST), width * min(count, _ABREAST)
        else:
            columns, total = min(count, _ABREAST, max(int(self.width / _NARROW_PANEL), 1)), self.width
            height *= 1.0 if rigid else min(1.0, max(0.5, total / columns / width))
        rows = -(-count // columns)
        figure = Figure(figsize=(total, height * rows), layout="constrained")
        FigureCanvasAgg(figure)  # texts are measured while the figure is drawn
        axes = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
        return figure, axes

    def label(self, axes: Sequence[Axes], x: str | Sequence[str], y: str | Sequence[str] | None) -> None:
        """Name the axes: of every panel on the screen, else once for each column and row that share a name.

        Args:
            axes: The panels.
            x: Name of the x axes, or of each one.
            y: Likewise; None names none.
        """
        below = [x] * len(axes) if isinstance(x, str) else list(x)
        beside = [y] * len(axes) if y is None or isinstance(y, str) else list(y)
        for place, ax in enumerate(axes):
            under = place + _columns(ax)
            if self.width is None or under >= len(axes) or below[under] != below[place]:
                ax.set_xlabel(below[place])
            name = beside[place]
            alone = first_in_row(ax) or beside[place - 1] != name
            if name is not None and (self.width is None or alone):
                ax.set_ylabel(name)

    def headline(self, figure: Figure, words: str) -> None:
        """Say what the whole figure shows: above it on the screen, as ``caption_of`` in a paper."""
        figure.set_label(words)
        if self.width is None:
            title = figure.suptitle(words, fontsize=9)
            lines = wrapped(words, _points(figure)[0] - 2 * _MARGIN, float(title.get_fontsize()))
            title.set_text(lines)
            _heighten(figure, (lines.count("\n") + 1) * float(title.get_fontsize()) * _LINE + 6)

    def finish(self, figure: Figure, handles: Sequence[Any] = (), names: Sequence[str] = ()) -> None:
        """Put the legend below the panels and break what is wider than its place.

        Args:
            figure: With everything else drawn.
            handles: What the legend explains, none without a legend.
            names: Its names.
        """
        legend = self._legend(figure, handles, names) if handles else None
        lay_out = figure.get_layout_engine()
        assert lay_out is not None
        lay_out.execute(figure)
        if legend is not None:
            _heighten(figure, legend.get_window_extent().height * 72 / figure.dpi + 6)
        whole = [[t.get_text() for t in (ax.title, ax.xaxis.label, ax.yaxis.label)] for ax in figure.axes]
        # Breaking a text changes the place that is left for the others.
        for turn in range(2):
            for ax, (title, x, y) in zip(figure.axes, whole, strict=True):
                wide, high = ax.bbox.width * 72 / figure.dpi, ax.bbox.height * 72 / figure.dpi
                ax.title.set_text(wrapped(title, wide, float(ax.title.get_fontsize())))
                ax.xaxis.label.set_text(wrapped(x, wide, float(ax.xaxis.label.get_fontsize())))
                ax.yaxis.label.set_text(wrapped(y, high, float(ax.yaxis.label.get_fontsize())))
                if self.width is not None:
                    # Four digits and a gap to each tick.
                    ticks = min(max(int(wide / 30), 1), 5)
                    ax.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
            if turn == 0:
                _heighten(figure, _broken(figure.axes))
            lay_out.execute(figure)
        figure.set_layout_engine("none")  # laid out; each format would do it again

    def _legend(self, figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> Legend:
        """The legend in as few rows as fit, of at most five names."""
        size = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
        handle, gap, between = (3.0, 0.8, 1.6) if self.width is None else (2.6, 0.5, 0.9)
        wide = _points(figure)[0] - 2 * _MARGIN
        shown = [wrapped(name, wide - (handle + gap) * size, size) for name in names]
        long = [max(width_of(line, size) for line in name.split("\n")) for name in shown]
        for rows in range(-(-len(names) // _IN_A_ROW), len(names) + 1):
            columns = -(-len(names) // rows)
            widths = [max(long[i : i + rows]) for i in range(0, len(long), rows)]
            if sum(widths) + columns * (handle + gap + between) * size <= wide:
                break
        return figure.legend(
            handles,
            shown,
            loc="outside lower center",
            ncols=columns,
            handlelength=handle,
            handletextpad=gap,
            columnspacing=between,
            labelspacing=0.35,
            borderpad=0.0,
        )


SCREEN: Final = Page()


def caption_of(figure: Figure) -> str:
    """What a figure shows, in a sentence for its caption."""
    return str(figure.get_label())


def first_in_row(ax: Axes) -> bool:
    """Whether no panel is to the left of this one."""
    place = ax.get_subplotspec()
    return place is None or place.is_first_col()


def _columns(ax: Axes) -> int:
    place = ax.get_subplotspec()
    return 1 if place is None else int(place.get_gridspec().ncols)


def width_of(text: str, size: float) -> float:
    """Width of a line of text in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width)


def wrapped(text: str, width: float, size: float) -> str:
    """Break a text into lines of at most ``width`` points: at blanks, after other marks, or anywhere."""
    lines: list[str] = []
    line = ""
    for piece in re.findall(r"[^\s\-/:,_|;]*(?:[\-/:,_|;]+|\s+|$)", text):
        if line and width_of((line + piece).rstrip(), size) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while width_of(line.rstrip(), size) > width and len(line.rstrip()) > 1:
            kept = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or width_of(line[:n], size) <= width)
            lines.append(line[:kept])
            line = line[kept:]
    return "\n".join([*lines, line.rstrip()] if line.strip() or not lines else lines)


def shortened(text: str, width: float, size: float) -> str:
    """Cut the middle out of a line of text that is wider than ``width`` points."""
    if width_of(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if width_of(short, size) <= width:
            return short
    return text[:1] + "…"


def _broken(axes: Sequence[Axes]) -> float:
    """Points that the second and further lines of titles and of labels below panels take, rows added up."""
    lines: dict[int, float] = {}
    for ax in axes:
        place = ax.get_subplotspec()
        row = 0 if place is None else place.rowspan.start
        texts = (ax.title, ax.xaxis.label)
        points = sum(t.get_text().count("\n") * float(t.get_fontsize()) * _LINE for t in texts)
        lines[row] = max(lines.get(row, 0.0), points)
    return sum(lines.values())


def _points(figure: Figure) -> tuple[float, float]:
    width, height = figure.get_size_inches() * 72
    return float(width), float(height)


def _heighten(figure: Figure, points: float) -> None:
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + points / 72)
