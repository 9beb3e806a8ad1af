"""How often a study with few seeds concludes the opposite: numbers and figure from many seeds.

Pairs of strategies on single corpora are compared as a study would that had drawn only n of the seeds. What
all seeds say counts as true, and only pairs that differ significantly are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.studies.gaps import ALPHA, half_interval
from react_rl.experiments.studies.scores import Floats, ScoreTable, read_scores
from react_rl.files import write_atomically
from react_rl.metrics.significance import holm, wilcoxon_signed_rank

SIZES: Final = (3, 5, 10, 20, 30, 50)
SUBSETS: Final = 2000
SHOWN: Final = ("margin", "random")
"""The pair of the left panel."""

RIGHT: Final = "#0072B2"
WRONG: Final = "#D55E00"
UNDECIDED: Final = "0.82"


@dataclass(frozen=True)
class Study:
    """What studies with n seeds conclude, over pairs, corpora and subsets of seeds.

    Args:
        seeds: Seeds of a study.
        wrong_order: Share in which the means of two strategies are the wrong way round.
        wrong_order_unpaired: The same if every strategy has seeds of its own.
        significant_right: Share in which the 95 % t-interval of the paired difference is on the right side.
        significant_wrong: Share in which it is on the wrong side.
        other_winner: Share of corpora and subsets in which another strategy than the best has the best mean.
    """

    seeds: int
    wrong_order: float
    wrong_order_unpaired: float
    significant_right: float
    significant_wrong: float
    other_winner: float


def told_apart(table: ScoreTable) -> npt.NDArray[np.bool_]:
    """``(T, A, A)`` pairs that differ significantly with all seeds: Wilcoxon, Holm over pairs and corpora."""
    values = _stacked(table)
    pairs = list(combinations(range(values.shape[2]), 2))
    p = [
        wilcoxon_signed_rank(values[:, t, i], values[:, t, j]).p_value
        for t in range(values.shape[1])
        for i, j in pairs
    ]
    found = np.zeros((values.shape[1], values.shape[2], values.shape[2]), dtype=np.bool_)
    rejected = (holm(p) < ALPHA).reshape(values.shape[1], len(pairs))
    for k, (i, j) in enumerate(pairs):
        found[:, i, j] = rejected[:, k]
    return found


def studies(
    table: ScoreTable, sizes: Sequence[int] = SIZES, subsets: int = SUBSETS, seed: int = 0
) -> list[Study]:
    """Draw ``subsets`` studies of each size and compare what they say with what all seeds say.

    Sizes that the table has not twice the seeds for are left out: such a study would be the truth itself.
    """
    values, decided = _stacked(table), told_apart(table)
    rng = np.random.default_rng(seed)
    return [_study(values, decided, n, subsets, rng) for n in sizes if 2 * n <= len(values)]


def _stacked(table: ScoreTable) -> Floats:
    values: Floats = np.stack(list(table.values.values()), axis=2)  # (S, T, A)
    return values


def _study(
    values: Floats, decided: npt.NDArray[np.bool_], n: int, subsets: int, rng: np.random.Generator
) -> Study:
    seeds, corpora, strategies = values.shape
    rows = _draws(seeds, n, subsets, rng)
    own = [_draws(seeds, n, subsets, rng) for _ in range(strategies)]
    shares: list[list[float]] = []
    winners = []
    for t in range(corpora):
        means = values[rows, t].mean(axis=1)  # (B, A)
        winners.append((means.argmax(axis=1) != values[:, t].mean(axis=0).argmax()).mean())
        alone = np.column_stack([values[own[a], t, a].mean(axis=1) for a in range(strategies)])
        for i, j in np.argwhere(decided[t]):
            difference = values[:, t, i] - values[:, t, j]
            truth = np.sign(difference.mean())
            drawn = truth * difference[rows]
            mean, half = drawn.mean(axis=1), half_interval(drawn.T)
            shares.append(
                [
                    float((mean < 0).mean()),
                    float((truth * (alone[:, i] - alone[:, j]) < 0).mean()),
                    float((mean - half > 0).mean()),
                    float((mean + half < 0).mean()),
                ]
            )
    averaged = np.mean(shares, axis=0).tolist() if shares else [float("nan")] * 4
    wrong, unpaired, significant_right, significant_wrong = averaged
    return Study(n, wrong, unpaired, significant_right, significant_wrong, float(np.mean(winners)))


def _draws(seeds: int, n: int, subsets: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    rows: npt.NDArray[np.int64] = rng.permuted(np.tile(np.arange(seeds), (subsets, 1)), axis=1)[:, :n]
    return rows


def groups(values: Floats, size: int) -> Floats:
    """Means of disjoint groups of ``size`` seeds in order; a rest that is too small is left out."""
    whole = len(values) // size
    return np.asarray(values[: whole * size].reshape(whole, size).mean(axis=1))


def draw(table: ScoreTable, found: Sequence[Study]) -> Figure:
    """Three panels: the difference of one pair by groups of seeds, wrong orders, and conclusions by seeds."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 3.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.55, 1, 1))
        _draw_groups(left, table)
        _draw_orders(middle, found)
        _draw_conclusions(right, found)
        for letter, panel in zip("abc", (left, middle, right), strict=True):
            panel.set_title(f"({letter})  {panel.get_title(loc='left')}", loc="left", fontsize=9)
    return figure


def _draw_groups(panel: Axes, table: ScoreTable) -> None:
    first, second = SHOWN
    difference = {c: table.of(first, c) - table.of(second, c) for c in table.corpora}
    order = sorted(difference, key=lambda c: difference[c].mean())
    rng = np.random.default_rng(0)
    for y, corpus in enumerate(order):
        truth = difference[corpus].mean()
        threes, fifties = groups(difference[corpus], 3), groups(difference[corpus], 50)
        wrong = np.sign(threes) != np.sign(truth)
        height = y + rng.uniform(-0.28, 0.28, threes.size)
        for chosen, colour in ((~wrong, RIGHT), (wrong, WRONG)):
            panel.scatter(
                threes[chosen], height[chosen], s=9, color=colour, alpha=0.55, linewidths=0, zorder=3
            )
        panel.scatter(
            fifties, np.full(fifties.size, y), s=34, marker="D", color="black", zorder=4, linewidths=0
        )
        panel.annotate(
            f"{wrong.mean():.0%}",
            (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8,
            color=WRONG if wrong.any() else "0.4",
        )  # fmt: skip
    panel.axvline(0, color="0.3", linewidth=0.9, zorder=2)
    decided = told_apart(table)
    pair = sorted(list(table.values).index(name) for name in SHOWN)
    sure = {c: bool(decided[t, pair[0], pair[1]]) for t, c in enumerate(table.corpora)}
    panel.set_yticks(range(len(order)), [c if sure[c] else f"{c} *" for c in order])
    panel.set_ylim(-0.6, len(order) - 0.4)
    panel.set_xlabel(f"area of {first} minus area of {second}")
    panel.set_title(f"{first} against {second}, one corpus a row", loc="left")
    panel.scatter([], [], s=16, color=RIGHT, linewidths=0, label="mean of 3 seeds, same sign as all")
    panel.scatter(
        [],
        [],
        s=16,
        color=WRONG,
        linewidths=0,
        label="mean of 3 seeds, other sign (their share on the right)",
    )
    panel.scatter([], [], s=34, marker="D", color="black", linewidths=0, label="mean of 50 seeds")
    if not all(sure.values()):
        panel.scatter(
            [],
            [],
            s=20,
            marker="*",
            color="black",
            linewidths=0,
            label="not significantly different with all seeds",
        )
    panel.grid(axis="y", visible=False)
    panel.legend(loc="upper center", bbox_to_anchor=(0.45, -0.14), fontsize=7.5, ncols=1)


def _draw_orders(panel: Axes, found: Sequence[Study]) -> None:
    x = range(len(found))
    for label, colour, style, marker, shares in (
        ("each strategy with its own seeds", "0.45", "--", "s", [s.wrong_order_unpaired for s in found]),
        ("paired seeds", WRONG, "-", "o", [s.wrong_order for s in found]),
    ):
        panel.plot(x, shares, style, marker=marker, color=colour, markersize=4.5, label=label)
        above = label.startswith("each")
        for i, share in enumerate(shares):
            panel.annotate(
                f"{share:.0%}" if share >= 0.095 else f"{share:.1%}",
                (i, share), xytext=(5, 3) if above else (-4, -10), textcoords="offset points",
                ha="left" if above else "right", fontsize=7.5, color=colour,
            )  # fmt: skip
    panel.set_xticks(x, [str(s.seeds) for s in found])
    panel.set_xlabel("seeds of a study")
    panel.set_title("order of two strategies is wrong", loc="left")
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set_xlim(-0.95, len(found) - 0.05)
    panel.set_ylim(-0.03, max(s.wrong_order_unpaired for s in found) * 1.25)
    panel.legend(loc="upper right", fontsize=7.5)


def _draw_conclusions(panel: Axes, found: Sequence[Study]) -> None:
    x = np.arange(len(found))
    wrong = np.array([s.significant_wrong for s in found])
    right = np.array([s.significant_right for s in found])
    open_ = 1 - wrong - right
    for label, colour, base, height in (
        ("the right one is ahead", RIGHT, np.zeros(len(found)), right),
        ("undecided", UNDECIDED, right, open_),
        ("the wrong one is ahead", WRONG, right + open_, wrong),
    ):
        panel.bar(x, height, bottom=base, color=colour, width=0.72, label=label)
    for i, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        panel.annotate(f"{good:.0%}", (i, good / 2), ha="center", va="center", fontsize=7.5, color="white")
        panel.annotate(
            f"{bad:.1%}" if bad >= 0.0005 else "<0.1%" if bad > 0 else "0%",
            (i, 1.0), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=6.5, color=WRONG,
        )  # fmt: skip
    panel.set_xticks(x, [str(s.seeds) for s in found])
    panel.set_xlabel("seeds of a study")
    panel.set_title("conclusion at the 5 % level", loc="left")
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set_ylim(0, 1.06)
    panel.grid(visible=False)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=7.5, ncols=1)


def write(out: Path) -> list[Study]:
    """Write ``few_seeds.csv``, ``.png`` and ``.svg`` from the table ``seeds`` in ``out``.

    Raises:
        ReActError: The table is missing.
    """
    table = read_scores(out, "seeds")
    found = studies(table)
    write_atomically(out / "few_seeds.csv", csv_text(pd.DataFrame(found).round(4)))
    save_figures(out, {"few_seeds": draw(table, found)})
    return found
