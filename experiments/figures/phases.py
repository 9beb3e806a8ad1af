"""Accuracy matrices as heat maps: what a strategy's learner knew of each phase when each one had ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from react_rl.experiments.analysis.phases import mean_matrix
from react_rl.experiments.analysis.summary import Results
from react_rl.experiments.figures.looks import metric_name
from react_rl.experiments.figures.page import SCREEN, Page

MOST: Final = 12
"""Matrices in a figure."""
_TONES: Final = 48

Floats = npt.NDArray[np.float64]


def with_phases(results: Results) -> list[tuple[str, str]]:
    """Corpora and strategies that have matrices, in the order of the comparison."""
    known = {(corpus, strategy) for corpus, strategy, _ in results.phases}
    return [(c, s) for c in results.corpora for s in results.strategies if (c, s) in known]


def draw_matrix(ax: Axes, values: Floats, names: Sequence[str], limits: tuple[float, float]) -> None:
    """Draw one matrix with its numbers."""
    palette = matplotlib.colormaps["Blues"].resampled(_TONES)
    scale = Normalize(*limits)
    # A mesh stays a drawing in SVG, where an image would become pixels.
    ax.pcolormesh(values, cmap=palette, norm=scale, edgecolors="white", linewidth=0.5)
    ticks = np.arange(len(names)) + 0.5
    ax.set_xticks(ticks, list(names), rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, list(names))
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = palette(float(scale(value)))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        text = f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:.2f}"
        ax.text(
            j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black"
        )


def phase_matrices(results: Results, page: Page = SCREEN) -> Figure | None:
    """Mean matrix of each corpus and strategy, at most ``MOST``; None where no corpus has phases."""
    panels = with_phases(results)[:MOST]
    if not panels:
        return None
    found = [mean_matrix(results.phases, corpus, strategy) for corpus, strategy in panels]
    matrices = [one for one in found if one is not None]
    low = min(float(values.min()) for _, values in matrices)
    high = max(float(values.max()) for _, values in matrices)
    figure, axes = page.panels(len(panels), 4.2, 3.6, rigid=True)
    for ax, (corpus, strategy), (names, values) in zip(axes, panels, matrices, strict=True):
        draw_matrix(ax, values, names, (low, max(high, low + 1e-6)))
        ax.set_title(f"{strategy} on {corpus}")
    page.label(axes, "test rows of", "when this phase had ended")
    metric = metric_name(results.metric)
    page.headline(figure, f"Test {metric} on each phase when each had ended, mean over seeds")
    page.finish(figure)
    return figure
