"""What looking at prices brings where labels are paid by the token: strategies alone and per unit of cost.

Every strategy may spend as much as 80 labels of texts of mean length cost. Beside the area under the curve
over what was spent, net return is judged: the last test accuracy less lambda times what was spent, where each
strategy stops after the sum that was best for it on four other corpora.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.acquisition.strategies.cost import PER_COST, ReturnOnInvestment
from react_rl.agents.imitation.settings import PRICE
from react_rl.agents.learned import load_strategy
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap, gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import METRIC, TransferCorpora, score_table
from react_rl.experiments.studies.scores import Floats
from react_rl.files import write_atomically
from react_rl.metrics.curves import area_to_budget

BASES: Final = ("learned", "mixture", "uncertainty-herding", "random")

STRATEGIES: Final = (*(name for base in BASES for name in (base, PER_COST + base)), "margin-per-cost")

CHOSEN_ON: Final = ("trec6", "subj", "sms_spam", "ag_news")
"""Corpora on which it is chosen after which sum a strategy stops."""

JUDGED_ON: Final = ("sst2", "mr", "cola", "davidson_hate", "yelp_sentences", "tweeteval_sentiment")
"""Those on which net return is judged; areas are of all ten. They were named before anything was played."""

SUMS: Final = tuple(range(0, 81, 5))
"""Sums after which a strategy may stop, in labels of texts of mean length."""

LAMBDAS: Final = (0.0003, 0.001, 0.002, 0.005)
"""Accuracy that a label of a text of mean length must bring to be worth its price."""

_NAMES: Final = ("corpus", "strategy")


def line_of(run: dict[str, Any], budget: float) -> dict[str, float]:
    """Area of a run, and test accuracy and what was spent where it stops after each sum."""
    spent, test = np.array(run["cost"], np.float64), np.array(run["test"][METRIC], np.float64)
    found = {"area": area_to_budget(spent, test, budget), "rounds": float(len(spent) - 1)}
    for most in SUMS:
        last = int(np.flatnonzero(spent <= most + 1e-9)[-1])
        found |= {f"test {most}": float(test[last]), f"spent {most}": float(spent[last])}
    return found


def net_returns(lines: pd.DataFrame, strategy: str, price: float) -> tuple[int, Floats]:
    """The sum that was best on ``CHOSEN_ON``, and net returns ``(S, T)`` on ``JUDGED_ON`` after that sum."""
    own = lines[lines["strategy"] == strategy].sort_values(["seed", "corpus"])
    net = {most: own[f"test {most}"] - price * own[f"spent {most}"] for most in SUMS}
    chosen_on, judged_on = own["corpus"].isin(CHOSEN_ON), own["corpus"].isin(JUDGED_ON)
    best = max(SUMS, key=lambda most: float(net[most][chosen_on].mean()))
    return best, net[best][judged_on].to_numpy(float).reshape(own["seed"].nunique(), -1)


def markdown(lines: pd.DataFrame, seeds: int) -> str:
    """Areas with and without a look at prices, and net returns."""
    corpora = (*CHOSEN_ON, *JUDGED_ON)
    table = score_table(lines, corpora, seeds)
    out = [
        "# A look at prices, in numbers",
        "",
        f"Labels paid by the token, {len(corpora)} corpora, {seeds} paired seeds, {SUMS[-1]} labels of texts "
        "of mean length to spend. Area under the test accuracy over what was spent; differences x 1,000 with "
        "95 % t-intervals over seeds, * where they exclude 0.",
        "",
        "| strategy | area | with prices | with minus without | corpora ahead | rounds, without and with "
        "| with prices minus margin-per-cost |",
        "| --- | ---: | ---: | --- | --- | --- | --- |",
    ]
    rounds = lines.groupby("strategy")["rounds"].mean()
    bases = [name for name in table.values if PER_COST + name in table.values]
    for base in bases:
        own = PER_COST + base
        found = gap(table, own, base)
        out.append(
            f"| {base} | {table.of(base).mean():.4f} | {table.of(own).mean():.4f} | {found.long} "
            f"| {found.ahead} of {found.corpora} | {rounds[base]:.0f}, {rounds[own]:.0f} "
            f"| {gap(table, own, 'margin-per-cost').long} |"
        )
    named = [name for name in table.values if name != "learned"]
    out += [
        "",
        "Area minus that of `learned`, which does not look at prices:",
        "",
        "| strategy | |",
        "| --- | --- |",
    ]
    out += [f"| {name} | {gap(table, name, 'learned').long} |" for name in named]
    out += ["", "| corpus | " + " | ".join(f"{PER_COST}{base} minus {base}" for base in bases) + " |"]
    out.append("| --- |" + " --- |" * len(bases))
    for corpus in corpora:
        cells = [gap(table, PER_COST + base, base, [corpus]).long for base in bases]
        out.append(f"| {corpus} | {' | '.join(cells)} |")
    out += [
        "",
        f"Net return on {len(JUDGED_ON)} corpora, each strategy stopping after the sum that was best on "
        f"{len(CHOSEN_ON)} others (in brackets); that of `learned`, and of the others minus it.",
        "",
        "| lambda | learned | " + " | ".join(named) + " |",
        "| --- | --- |" + " --- |" * len(named),
    ]
    for price in LAMBDAS:
        most, plain = net_returns(lines, "learned", price)
        cells = [f"{plain.mean():.4f} ({most})"]
        for name in named:
            most, net = net_returns(lines, name, price)
            cells.append(f"{Gap.of(net - plain).long} ({most})")
        out.append(f"| {price:g} | {' | '.join(cells)} |")
    return "\n".join([*out, ""])


def contestants(folders: Sequence[Path]) -> dict[str, QueryStrategy]:
    """What is played by name: strategies and policies, per unit of cost as well if they see no price."""
    found: dict[str, QueryStrategy] = {name: make_strategy(name) for name in STRATEGIES}
    for policy in map(load_strategy, folders):
        found[policy.name] = policy
        if PRICE not in getattr(policy, "features", ()):
            found[PER_COST + policy.name] = ReturnOnInvestment(PER_COST + policy.name, policy)
    return found


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write the page."""
    lines = GrowingTable(asked.out / "per_cost.csv", _NAMES, digits=5)
    corpora = TransferCorpora(asked.data, (*CHOSEN_ON, *JUDGED_ON), "tokens")
    config = corpora.config
    strategies = contestants(asked.policies)
    for corpus in corpora.corpora:
        for name, strategy in strategies.items():
            if lines.holds(asked.seeds, strategy=name, corpus=corpus.name):
                continue
            runs = play(
                corpus, strategy, range(asked.seeds), config.episode, [METRIC], config.test_size
            ).results
            played = pd.DataFrame([line_of(run, config.episode.budget) for run in runs])
            named = {"corpus": corpus.name, "strategy": name, "seed": np.arange(asked.seeds)}
            lines.add(pd.concat([pd.DataFrame(named), played], axis=1))
            say(f"{corpus.name}: {name}")
    text = markdown(lines.frame[lines.frame["seed"] < asked.seeds], asked.seeds)
    write_atomically(asked.out / "per_cost.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "per_cost", "results/ablations", seeds=16, data=True)
    parser.add_argument(
        "--policies", type=Path, nargs="*", default=[], help="folders of policies to play too"
    )
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
