"""Curves of strategies with what their labels cost by the token, and when each stopping rule would stop.

Rounds of five on the corpora of the comparison ``transfer``, every episode played to its end. Strategies that
do not look at prices buy the same labels whatever these cost, so that what was spent is added up from the
rows bought; two that do look at prices are played with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import REFERENCES, LooksAtLabels
from react_rl.acquisition.registry import make_strategy
from react_rl.acquisition.stopping import StoppingSettings, make_stopping
from react_rl.envs.batched import episode_streams
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import say
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import METRIC, TransferCorpora
from react_rl.metrics.curves import area_under_curve
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import play

ROUNDS: Final = 16
CHEAP_ROUNDS: Final = 32
"""Rounds of strategies that look at prices: they buy cheap labels, so that as much is spent later."""

PRICE_BLIND: Final = ("learned", "mixture", "uncertainty-herding", "margin", "random")
PRICE_AWARE: Final = ("margin-per-cost", "random-per-cost")
ORACLE: Final = "greedy-oracle"

RULES: Final = {
    f"{rule} {threshold:g}": StoppingSettings.model_validate({"rule": rule, "threshold": threshold})
    for rule, thresholds in (
        ("kappa", (0.7, 0.8, 0.85, 0.9, 0.95)),
        ("classification-change", (0.02, 0.05, 0.08, 0.12, 0.16)),
        ("overall-uncertainty", (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)),
        ("predicted-gain", (0.0, 0.001, 0.002, 0.003, 0.004)),
    )
    for threshold in thresholds
}
"""Rules that look at the episode; the one that counts rounds needs no playing."""

NAMES: Final = ("corpus", "strategy")
"""Columns that say whose curve a line is, beside the seed."""
DEV: Final = 300
"""Dev rows where there are so many: the reference and one rule look at them."""


def record(
    corpus: EncodedCorpus,
    prices: npt.NDArray[np.float64],
    strategy: QueryStrategy,
    seeds: int,
    options: EpisodeOptions,
    test_size: int | None,
    rounds: int,
) -> pd.DataFrame:
    """Play a strategy.

    Args:
        corpus: The corpus; it says what the strategy sees of prices.
        prices: ``(N,)`` what a label of each row costs, in cost units.
        strategy: What chooses.
        seeds: Paired episodes.
        options: Sizes of an episode.
        test_size: Most test rows.
        rounds: Rounds that are played.

    Returns:
        One line for each seed: ``test 0`` to ``test R``, test accuracy after so many rounds; ``spent 1`` to
        ``spent R``; and after how many rounds each of ``RULES`` stops, R where it does not.
    """
    engine = LabelingEngine([corpus], options, seeds, (METRIC,))
    if isinstance(strategy, LooksAtLabels):
        strategy = strategy.bind(engine)
    rules = {name: make_stopping(settings) for name, settings in RULES.items()}
    stops = {name: np.full(seeds, rounds) for name in rules}

    @torch.inference_mode()
    def ask_rules(number: int) -> None:
        for name, rule in rules.items():
            assert rule is not None, "every rule here may stop"
            stops[name][rule.update(engine.view) & (stops[name] > number)] = number

    test, spent = TestSplit(corpus, test_size), np.zeros(seeds)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    ask_rules(0)
    lines = {"test 0": test.measure(engine, [METRIC])[METRIC]}
    for number, turn in enumerate(play(engine, strategy), 1):
        bought = turn.round.ids
        spent = spent + np.where(bought >= 0, prices[np.maximum(bought, 0)], 0.0).sum(1)
        lines |= {f"test {number}": test.measure(engine, [METRIC])[METRIC], f"spent {number}": spent}
        ask_rules(number)
        if number == rounds:
            break
    named = {"corpus": corpus.name, "strategy": strategy.name, "seed": np.arange(seeds)}
    return pd.DataFrame(named | lines | stops)


def record_all(
    ground: TransferCorpora, priced: TransferCorpora, table: GrowingTable, seeds: int, oracle_seeds: int
) -> None:
    """Play what the table does not hold. Mutates.

    Args:
        ground: The corpora, every label at one unit.
        priced: The same with the prices that are paid.
        table: Where curves go.
        seeds: Paired episodes of each strategy.
        oracle_seeds: Those of the reference that looks at labels; 0 leaves it out.
    """
    for corpus, with_prices in zip(ground.corpora, priced.corpora, strict=True):
        prices = with_prices.cost.cpu().numpy()
        options = ground.config.episode.model_copy(
            update={"dev_size": min(DEV, corpus.corpus.ids("dev").size)}
        )
        # Where prices are looked at, the number of rounds ends an episode, not the budget.
        costliest = np.sort(prices[corpus.corpus.ids("train")])[::-1][
            : options.pool_size - options.initial_size
        ]
        endless = options.model_copy(update={"budget": float(costliest.sum())})
        for name in (*PRICE_BLIND, *PRICE_AWARE, ORACLE):
            count = oracle_seeds if name == ORACLE else seeds
            if count == 0 or table.holds(count, corpus=corpus.name, strategy=name):
                continue
            seen, sizes = (with_prices, endless) if name in PRICE_AWARE else (corpus, options)
            strategy = REFERENCES[name]() if name in REFERENCES else make_strategy(name)
            rounds = CHEAP_ROUNDS if name in PRICE_AWARE else ROUNDS
            table.add(record(seen, prices, strategy, count, sizes, ground.config.test_size, rounds))
            say(f"{corpus.name}: {name}")


def areas(curves: pd.DataFrame, columns: Sequence[str] = (*NAMES, "seed")) -> pd.DataFrame:
    """Area under the curve over labels of each line, as column ``area`` beside some others."""
    tests = curves[[f"test {number}" for number in range(ROUNDS + 1)]].to_numpy(float)
    labels = np.arange(ROUNDS + 1, dtype=np.float64)
    found = [area_under_curve(labels, one) for one in tests]
    return curves[list(columns)].assign(area=found)
