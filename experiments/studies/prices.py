"""What is left when labels are paid by the token: net return of strategies, each with its best stopping rule.

Net return is the last test accuracy less lambda times what was spent, in labels of a text of mean length. For
each strategy and lambda the stopping rule with the best mean on the eight corpora for choices is taken, and
judged on the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE, looks_of
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.gaps import Gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora
from react_rl.experiments.studies.recorded import (
    CHEAP_ROUNDS,
    NAMES,
    PRICE_AWARE,
    PRICE_BLIND,
    ROUNDS,
    RULES,
    record_all,
)
from react_rl.experiments.studies.transfer import CHOICES, POLICY
from react_rl.files import write_atomically

Floats = npt.NDArray[np.float64]

LAMBDAS: Final = (0.0001, 0.0003, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01)
"""Accuracy that a label of a text of mean length must bring to be worth its price."""

STRATEGIES: Final = (*PRICE_BLIND, *PRICE_AWARE)


@dataclass(frozen=True)
class Return:
    """A strategy with its stopping rule under one price.

    Args:
        strategy: The strategy.
        price: Lambda.
        rule: The stopping rule that was best on the corpora for choices.
        net: ``(S, T)`` net return of each seed on each of the other corpora.
        accuracy: Mean test accuracy where it stops.
        spent: Mean of what was spent.
    """

    strategy: str
    price: float
    rule: str
    net: Floats
    accuracy: float
    spent: float


def ends_of(curves: pd.DataFrame, rule: str, rounds: int) -> npt.NDArray[np.int64]:
    """Rounds after which each line ends under a rule; ``after R rounds`` counts them."""
    if rule in RULES:
        return np.asarray(np.minimum(curves[rule].to_numpy(np.int64), rounds))
    return np.full(len(curves), int(rule.split()[1]))


def at_end(curves: pd.DataFrame, rule: str, rounds: int) -> tuple[Floats, Floats]:
    """Test accuracy and what was spent of each line, where a rule ends it."""
    ends = ends_of(curves, rule, rounds)
    test = curves[[f"test {number}" for number in range(rounds + 1)]].to_numpy(float)
    spent = curves[[f"spent {number}" for number in range(1, rounds + 1)]].to_numpy(float)
    spent = np.concatenate([np.zeros((len(curves), 1)), spent], 1)
    lines = np.arange(len(curves))
    return test[lines, ends], spent[lines, ends]


def best_return(curves: pd.DataFrame, strategy: str, price: float) -> Return:
    """Choose a stopping rule on the corpora for choices, and judge it on the others."""
    own = curves[curves["strategy"] == strategy].sort_values(["seed", "corpus"])
    rounds = CHEAP_ROUNDS if strategy in PRICE_AWARE else ROUNDS
    chosen_on = own["corpus"].isin(CHOICES)
    rules = [*(f"after {number} rounds" for number in range(rounds + 1)), *RULES]

    def worth(rule: str) -> float:
        accuracy, spent = at_end(own[chosen_on], rule, rounds)
        return float((accuracy - price * spent).mean())

    rule = max(rules, key=worth)
    others = own[~chosen_on]
    accuracy, spent = at_end(others, rule, rounds)
    net = (accuracy - price * spent).reshape(others["seed"].nunique(), -1)
    return Return(strategy, price, rule, net, float(accuracy.mean()), float(spent.mean()))


def markdown(found: dict[tuple[str, float], Return], seeds: int) -> str:
    """Net return by price, with the rules that were chosen."""
    corpora = next(iter(found.values())).net.shape[1]
    strategies = list(dict.fromkeys(strategy for strategy, _ in found))
    prices = list(dict.fromkeys(price for _, price in found))
    lines = [
        "# Net return where labels are paid by the token, in numbers",
        "",
        f"Rules were chosen on eight corpora; numbers are of {corpora} others, {seeds} paired seeds. "
        "Net return of `learned`, and of the others minus it, x 1,000, with 95 % t-intervals over seeds, "
        "* where they exclude 0.",
        "",
        f"| lambda | learned | {' | '.join(strategies[1:])} |",
        f"| --- | ---: |{' --- |' * (len(strategies) - 1)}",
    ]
    for price in prices:
        base = found[strategies[0], price]
        cells = [Gap.of(found[strategy, price].net - base.net).long for strategy in strategies[1:]]
        lines.append(f"| {price:g} | {base.net.mean():.4f} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Rules that were chosen: accuracy and cost where they stop",
        "",
        f"| lambda | {' | '.join(strategies)} |",
        f"| --- |{' --- |' * len(strategies)}",
    ]
    for price in prices:
        cells = [
            f"{one.rule}: {one.accuracy:.3f} for {one.spent:.0f}"
            for one in (found[strategy, price] for strategy in strategies)
        ]
        lines.append(f"| {price:g} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(found: dict[tuple[str, float], Return]) -> Figure:
    """Two panels: accuracy against what was spent as lambda falls, and net return minus that of random."""
    strategies = list(dict.fromkeys(strategy for strategy, _ in found))
    prices = list(dict.fromkeys(price for _, price in found))
    looks = looks_of(strategies, (POLICY,))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for strategy in strategies:
            own = sorted((found[strategy, price] for price in prices), key=lambda one: one.spent)
            look: dict[str, Any] = dict(looks[strategy]) | {"markersize": 4, "markevery": 1}
            left.plot([one.spent for one in own], [one.accuracy for one in own], label=strategy, **look)
            if strategy != "random":
                gains = [float((found[strategy, p].net - found["random", p].net).mean()) for p in prices]
                right.plot(prices, gains, **look)
        left.set_xlabel("spent, in labels of texts of mean length")
        left.set_ylabel("test accuracy where it stops")
        right.set_xscale("log")
        right.set_xticks(prices, [f"{price:g}" for price in prices], rotation=45)
        right.xaxis.set_minor_locator(NullLocator())
        right.axhline(0, color="0.3", linewidth=0.9)
        right.set_xlabel("lambda: accuracy that a label of a text of mean length costs")
        right.set_ylabel("net return minus that of random")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, choose rules, and write table and figure."""
    curves = GrowingTable(asked.out / "curves.csv", NAMES, digits=3)
    ground, priced = (TransferCorpora(asked.data, None, cost) for cost in (None, "tokens"))
    record_all(ground, priced, curves, asked.seeds, 0)
    used = curves.frame[curves.frame["seed"] < asked.seeds]
    found = {
        (strategy, price): best_return(used, strategy, price) for strategy in STRATEGIES for price in LAMBDAS
    }
    text = markdown(found, asked.seeds)
    write_atomically(asked.out / "prices.md", text)
    save_figures(asked.out, {"prices": draw(found)})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "prices", "results/ablations", seeds=16, data=True)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
