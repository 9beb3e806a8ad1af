"""The figure of accuracy against labels, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from react_rl.experiments.figures.looks import line_look
from react_rl.metrics.statistics import bootstrap_mean


def draw_labels(cells: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw mean accuracy with 95 % intervals over seeds, a panel for each corpus."""
    corpora = list(dict.fromkeys(cell["corpus"] for cell in cells))
    methods = list(dict.fromkeys(cell["method"] for cell in cells))
    figure = Figure(figsize=(1.5 + 4.2 * len(corpora), 3.4), layout="constrained")
    axes = figure.subplots(1, len(corpora), squeeze=False)
    for axis, corpus in zip(axes[0], corpora, strict=True):
        for k, method in enumerate(methods):
            mine = sorted(
                (c for c in cells if c["corpus"] == corpus and c["method"] == method),
                key=lambda c: int(c["labels"]),
            )
            if not mine:
                continue
            found = [bootstrap_mean(c["accuracy"], np.random.default_rng(0)) for c in mine]
            middle = np.array([float(f.estimate) for f in found])
            spread = np.array(
                [[m - float(f.low), float(f.high) - m] for m, f in zip(middle, found, strict=True)]
            )
            # Set side by side, so that intervals at one number of labels do not hide each other.
            shift = 1.0 + 0.025 * (k - (len(methods) - 1) / 2)
            look = line_look(k) | {"markevery": 1, "linewidth": 1.2, "capsize": 2}
            axis.errorbar(
                [int(c["labels"]) * shift for c in mine],
                middle,
                yerr=spread.T,
                label=method,
                **look,
            )
        ticks = sorted({int(c["labels"]) for c in cells})
        axis.set_xscale("log")
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_xlabel("labels, drawn at random")
        seeds = max(len(c["accuracy"]) for c in cells if c["corpus"] == corpus)
        axis.set_title(f"{corpus}, {seeds} seeds, 95 % intervals", fontsize="medium")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("test accuracy")
    axes[0, -1].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
