"""Choosing a recipe in every round: the best on dev beside one fixed recipe, and how often dev is fooled.

Rows are drawn at random, the same ones for all recipes, so that only how they are trained differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.files import write_atomically
from react_rl.learners.recipes import make_recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

RECIPES: Final = ("plain", "smooth", "hast", "l2-loo")
EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=100, initial_size=10, budget=80, batch_size=10)
_ROWS: Final = 2500
_TEST_ROWS: Final = 1000


def measure(
    corpus: EncodedCorpus, recipes: Sequence[str], seeds: int, options: EpisodeOptions = EPISODE
) -> pd.DataFrame:
    """Dev and test accuracy of every recipe after every round, on the same rows.

    Returns:
        Columns corpus, seed, labels, recipe, dev, test.
    """
    engine = LabelingEngine([corpus], options, seeds)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    test, random, lines = TestSplit(corpus, _TEST_ROWS), make_strategy("random"), []
    while True:
        for name in recipes:
            # A round in which nothing is bought: the recipe changes, and dev is measured.
            dev = engine.learn(recipes=[make_recipe(name)] * seeds).metrics["accuracy"]
            found = test.measure(engine, ["accuracy"])["accuracy"]
            labels = engine.labels
            lines += [
                (corpus.name, seed, labels[seed], name, dev[seed], found[seed]) for seed in range(seeds)
            ]
        if engine.finished.all():
            break
        engine.step(random.select(engine.view, options.batch_size))
    return pd.DataFrame(lines, columns=["corpus", "seed", "labels", "recipe", "dev", "test"])


def judged(found: pd.DataFrame, fixed: str) -> pd.DataFrame:
    """What choosing on dev brings beside a fixed recipe.

    Args:
        found: What ``measure`` returns, of one or several corpora.
        fixed: The recipe that is never changed.

    Returns:
        One line for each corpus: mean test accuracy over rounds of plain and of the fixed recipe; gains over
        plain of the fixed one, of the one with the best dev accuracy in each round (the first of equals) and
        of the best on test, which nobody can know; ``error``, the standard error over seeds of dev's gain
        over the fixed one; ``fooled``, the share of rounds in which dev chose one that is worse on test than
        the fixed one, and ``loss``, by how much in these.
    """
    lines = []
    for corpus, part in found.groupby("corpus", sort=False):
        order = list(dict.fromkeys(part["recipe"]))
        dev = part.pivot_table(index=["seed", "labels"], columns="recipe", values="dev")[order].to_numpy()
        wide = part.pivot_table(index=["seed", "labels"], columns="recipe", values="test")[order]
        test = wide.to_numpy()
        chosen = test[np.arange(len(test)), dev.argmax(1)]
        own, plain = test[:, order.index(fixed)], test[:, order.index("plain")]
        by_seed = pd.Series(chosen - own).groupby(wide.index.get_level_values("seed").to_numpy()).mean()
        fooled = chosen < own
        lines.append(
            (
                corpus, plain.mean(), (own - plain).mean(), (chosen - plain).mean(),
                (test.max(1) - plain).mean(), by_seed.std(ddof=1) / np.sqrt(len(by_seed)), fooled.mean(),
                (own - chosen)[fooled].mean() if fooled.any() else 0.0,
            )
        )  # fmt: skip
    columns = ["corpus", "plain", "fixed", "dev", "best", "error", "fooled", "loss"]
    return pd.DataFrame(lines, columns=columns)


def table(found: pd.DataFrame, fixed: str) -> str:
    """The same as Markdown."""
    lines = [
        f"| corpus | plain | {fixed}, fixed | best on dev | best on test | dev - fixed (se) | fooled | by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['corpus']} | {r['plain']:.4f} | {r['fixed']:+.4f} | {r['dev']:+.4f} | {r['best']:+.4f} "
        f"| {r['dev'] - r['fixed']:+.4f} ({r['error']:.4f}) | {r['fooled']:.0%} | {r['loss']:.3f} |"
        for r in found.to_dict("records")
    ]
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Measure every recipe, judge choosing among them, and write the table."""
    names = list(dict.fromkeys(["plain", asked.fixed, *asked.recipes]))
    for name in names:
        make_recipe(name)
    parts = []
    for name in asked.corpora:
        config = CorpusConfig(corpus=name, max_rows=_ROWS)
        (corpus,) = prepare([config], EncoderConfig(max_length=128), "auto", episode=EPISODE)
        parts.append(judged(measure(corpus, names, asked.seeds, EPISODE), asked.fixed))
    found = pd.concat(parts, ignore_index=True)
    write_atomically(asked.out / "on_dev.csv", found.round(5).to_csv(index=False, lineterminator="\n"))
    write_atomically(asked.out / "on_dev.md", table(found, asked.fixed))
    return table(found, asked.fixed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "recipes_on_dev", "results/recipes", seeds=32)
    parser.add_argument("--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or paths")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="recipes to choose from")
    parser.add_argument("--fixed", default="smooth", help="the recipe that is never changed")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
