"""Figures of a report on the last models of the runs: reliability diagrams, what disturbances cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from react_rl.experiments.analysis.final_models import STAGES, FinalRun, pooled_reliability
from react_rl.experiments.figures.looks import STYLE, Looks
from react_rl.experiments.run.altered import CLEAN

_FEW: Final = 10
"""Rows of all seeds together below which a bin is not drawn."""


def reliability_panel(runs: Sequence[FinalRun], corpus: str, looks: Looks, shown: Sequence[str]) -> Figure:
    """Accuracy by confidence on one corpus, all seeds together, before and after temperature scaling.

    Args:
        runs: What the runs kept.
        corpus: Which corpus.
        looks: Lines of all strategies.
        shown: Strategies to draw.
    """
    there = {run.strategy for run in runs if run.corpus == corpus}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.3), layout="constrained")
        axes = [figure.add_subplot(1, 2, place) for place in (1, 2)]
        for ax, stage in zip(axes, STAGES, strict=True):
            ax.plot([0, 1], [0, 1], color="#666666", linewidth=0.8)
            for strategy in (one for one in shown if one in there):
                bins = pooled_reliability(runs, corpus, strategy, stage)
                kept = bins.rows >= _FEW
                x, y = bins.confidence[kept] / bins.rows[kept], bins.correct[kept] / bins.rows[kept]
                ax.plot(x, y, **(dict(looks[strategy]) | {"markevery": 1}))  # type: ignore[arg-type]
            ax.set_title(f"{stage} scaling")
            ax.set_xlabel("confidence")
            ax.set_xlim(0.0, 1.0)
            ax.set_ylim(0.0, 1.0)
        axes[0].set_ylabel(f"accuracy on {corpus}")
        return figure


def robustness_panel(table: pd.DataFrame, corpus: str, looks: Looks, shown: Sequence[str]) -> Figure:
    """Accuracy that each disturbance costs on one corpus, with intervals.

    Args:
        table: From ``robustness_table``.
        corpus: Which corpus.
        looks: Lines of all strategies.
        shown: Strategies to draw.
    """
    own = table[(table["corpus"] == corpus) & (table["group"] == "all") & (table["kind"] != CLEAN)]
    kinds = list(dict.fromkeys(own["kind"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.3, 3.1), layout="constrained")
        ax = figure.add_subplot()
        ordered = [one for one in shown if (own["strategy"] == one).any()]
        for place, strategy in enumerate(ordered):
            shift = (place - (len(ordered) - 1) / 2) * 0.6 / max(len(ordered), 1)
            _draw_losses(ax, own[own["strategy"] == strategy], kinds, shift, looks[strategy])
        ax.axhline(0.0, color="#666666", linewidth=0.8)
        ax.set_xticks(range(len(kinds)), kinds)
        ax.set_xlim(-0.5, len(kinds) - 0.5)
        ax.set_title(corpus)
        ax.set_ylabel("accuracy lost")
        return figure


def _draw_losses(
    ax: Axes, own: pd.DataFrame, kinds: Sequence[str], shift: float, look: Mapping[str, object]
) -> None:
    """Draw what one strategy loses under each disturbance."""
    rows = own.set_index("kind").reindex(list(kinds))
    middle = rows["lost"].to_numpy(float)
    low, high = rows["lost_low"].to_numpy(float), rows["lost_high"].to_numpy(float)
    spread = np.nan_to_num(np.stack([middle - low, high - middle]))
    ax.errorbar(
        np.arange(len(kinds)) + shift,
        middle,
        spread,
        fmt=str(look["marker"]),
        color=str(look["color"]),
        markersize=4.5,
        capsize=2.0,
    )
