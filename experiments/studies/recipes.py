"""What each recipe of the linear head is worth: gain over plain training, with intervals and cost.

Two questions. At 50, 200 and 500 labels of rows drawn at random, the same rows for all recipes; and over
whole episodes in which a strategy chooses by what the recipe predicts. `strong` is what the second gave on
`TRAINING`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.run.episodes import TestSplit, play
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.files import write_atomically
from react_rl.learners.capabilities import choose_recipes
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.recipes import RECIPES, Recipe, SelfTrainingSettings, SmoothingSettings
from react_rl.metrics.curves import area_under_curve
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

TRAINING: Final = ("ag_news", "bbc_news", "cola", "trec6", "sst2")
"""Corpora on which the strongest recipe was chosen; it is judged on others."""

_AGREED: Final = SelfTrainingSettings(threshold=0.5, agreement=0.5, rows=200)
COMBINED: Final[dict[str, Recipe]] = {
    "hast + smooth .3": Recipe(self_training=_AGREED, smoothing=SmoothingSettings(share=0.3)),
    "hast + smooth": Recipe(self_training=_AGREED, smoothing=SmoothingSettings()),
    "l2-loo + smooth": Recipe(l2="leave-one-out", smoothing=SmoothingSettings()),
}
"""Recipes that are measured besides the registered ones."""

LABELS: Final = (50, 200, 500)
EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=100, initial_size=10, budget=80, batch_size=5)
_ROWS: Final = 2500
"""Most rows of a corpus."""
_POOL: Final = 1000
_TEST_ROWS: Final = 1000
_LEAVE: Final = 10
"""Rows of a pool that are never bought, at least."""


def candidates() -> dict[str, Recipe]:
    """All recipes of the linear head that are measured; plain is the first."""
    own = [
        (name, entry.settings)
        for name, entry in RECIPES.items()
        if "softmax" in entry.kinds and entry.family not in ("presets", "continual")  # there are no phases
    ]
    return dict(own) | {name: recipe for name, recipe in COMBINED.items() if recipe not in dict(own).values()}


def at_labels(
    corpus: EncodedCorpus, recipes: Mapping[str, Recipe], seeds: int, labels: Sequence[int] = LABELS
) -> pd.DataFrame:
    """Test accuracy on the same random rows.

    Args:
        corpus: The corpus.
        recipes: The recipes by name.
        seeds: Paired episodes.
        labels: Numbers of labels; those that the corpus has rows for.

    Returns:
        Columns corpus, recipe, at, seed, accuracy, seconds: those of all seeds for one refit and prediction,
        neighbours included at the first number of labels.
    """
    train, dev = corpus.corpus.ids("train").size, corpus.corpus.ids("dev").size
    pool = min(_POOL, train)
    reached = [n for n in labels if n + _LEAVE <= pool]
    options = EpisodeOptions(
        pool_size=pool, dev_size=min(100, dev), initial_size=reached[0], budget=pool - reached[0]
    )
    engine = LabelingEngine([corpus], options, seeds)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    test, random, lines = TestSplit(corpus, _TEST_ROWS), make_strategy("random"), []
    for n in reached:
        if n > engine.labels[0]:
            engine.step(random.select(engine.view, n - int(engine.labels[0])))
        for name, recipe in recipes.items():
            started = time.process_time()
            choose_recipes(engine.learner, [recipe] * seeds)
            found = test.measure(engine, ["accuracy"])["accuracy"]
            seconds = time.process_time() - started
            lines += [(corpus.name, name, str(n), seed, found[seed], seconds) for seed in range(seeds)]
    return pd.DataFrame(lines, columns=["corpus", "recipe", "at", "seed", "accuracy", "seconds"])


def in_the_loop(
    corpus: EncodedCorpus, recipes: Mapping[str, Recipe], seeds: int, strategy: str, options: EpisodeOptions
) -> pd.DataFrame:
    """Area under the test accuracy where a strategy chooses by the recipe's predictions.

    Returns:
        As ``at_labels``, ``accuracy`` being the area, ``at`` the strategy, seconds those of whole episodes.
    """
    lines = []
    for name, recipe in recipes.items():
        learner = SoftmaxSettings(recipe=recipe)
        started = time.process_time()
        played = play(
            corpus, make_strategy(strategy), range(seeds), options, ["accuracy"], _TEST_ROWS, learner
        )
        seconds = time.process_time() - started
        for seed, run in enumerate(played.results):
            area = area_under_curve(np.array(run["cost"]), np.array(run["test"]["accuracy"]))
            lines.append((corpus.name, name, strategy, seed, float(area), seconds))
    return pd.DataFrame(lines, columns=["corpus", "recipe", "at", "seed", "accuracy", "seconds"])


def gains(found: pd.DataFrame) -> pd.DataFrame:
    """Paired gains over plain: one line for each corpus, place and recipe, with standard errors.

    Returns:
        Columns corpus, at, recipe, plain, gain, error, seconds (of one episode beyond plain).
    """
    lines = []
    for (corpus, at), part in found.groupby(["corpus", "at"], sort=False):
        wide = part.pivot_table(index="seed", columns="recipe", values="accuracy", sort=False)
        cost = part.groupby("recipe", sort=False)["seconds"].first() / len(wide)
        for recipe in wide.columns:
            gain = wide[recipe] - wide["plain"]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            spent = cost[recipe] - cost["plain"]
            lines.append((corpus, at, recipe, wide["plain"].mean(), gain.mean(), error, spent))
    columns = ["corpus", "at", "recipe", "plain", "gain", "error", "seconds"]
    return pd.DataFrame(lines, columns=columns)


def means(found: pd.DataFrame, corpora: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean gains over corpora, with 95 % intervals of the mean over these corpora and these seeds.

    Args:
        found: What ``gains`` returns.
        corpora: Which; None for all.

    Returns:
        Columns at, recipe, corpora, gain, low, high, seconds; better and worse: corpora whose own interval
        is above or below 0.
    """
    chosen = found if corpora is None else found[found["corpus"].isin(corpora)]
    lines = []
    for (at, recipe), part in chosen.groupby(["at", "recipe"], sort=False):
        gain = part["gain"].to_numpy()
        error = float(np.sqrt((part["error"] ** 2).sum()) / len(part))
        clear = 1.96 * part["error"].to_numpy()
        lines.append(
            (at, recipe, len(part), gain.mean(), gain.mean() - 1.96 * error, gain.mean() + 1.96 * error,
             int((gain > clear).sum()), int((gain < -clear).sum()), part["seconds"].mean())
        )  # fmt: skip
    columns = ["at", "recipe", "corpora", "gain", "low", "high", "better", "worse", "seconds"]
    return pd.DataFrame(lines, columns=columns)


def page(found: pd.DataFrame) -> str:
    """Markdown: mean gains on all corpora, on those of choice and on the others, then every corpus."""
    lines = [
        "Gains over `plain` in test accuracy (area under it in the loop), paired seeds, 95 % intervals over",
        "the seeds of these corpora. Better and worse: corpora whose own interval excludes 0. Seconds:",
        "processor time of one episode beyond plain, one thread; at a number of labels of one refit and",
        "prediction.",
    ]
    every = set(found["corpus"])
    others = sorted(every - set(TRAINING))
    sets = {"All corpora": sorted(every), "Corpora of choice": list(TRAINING), "Other corpora": others}
    for heading, corpora in sets.items():
        part = means(found, corpora)
        if part.empty:
            continue
        there = [name for name in found["corpus"].unique() if name in corpora]
        lines += [
            "",
            f"## {heading}: {', '.join(there)}",
            "",
            "| at | recipe | gain | 95 % | better | worse | s |",
        ]
        lines += ["| --- | --- | ---: | --- | ---: | ---: | ---: |"]
        lines += [
            f"| {r['at']} | {r['recipe']} | {r['gain']:+.4f} | {r['low']:+.4f} to {r['high']:+.4f} "
            f"| {r['better']} | {r['worse']} | {r['seconds']:.3f} |"
            for r in part.to_dict("records")
        ]
    lines += ["", "## Each corpus: gain (standard error)"]
    for at in found["at"].unique():
        part = found[found["at"] == at]
        recipes = [name for name in part["recipe"].unique() if name != "plain"]
        lines += ["", f"### {at}", "", f"| corpus | plain | {' | '.join(recipes)} |"]
        lines += [f"| --- |{' ---: |' * (len(recipes) + 1)}"]
        for corpus, own in part.groupby("corpus", sort=False):
            by = own.set_index("recipe")
            cells = [f"{by['gain'][name]:+.3f} ({by['error'][name]:.3f})" for name in recipes]
            lines.append(f"| {corpus} | {by['plain'].iloc[0]:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Measure every recipe on every corpus, and write the table when each corpus is done."""
    recipes = candidates()
    unknown = [name for name in asked.recipes or () if name not in recipes]
    if unknown:
        raise ReActError(f"Recipe {unknown[0]!r} is not measured here. Known: {', '.join(recipes)}.")
    chosen = {n: r for n, r in recipes.items() if asked.recipes is None or n in ("plain", *asked.recipes)}
    configs = [CorpusConfig(corpus=name, max_rows=_ROWS) for name in asked.corpora]
    parts = []
    for config in configs:
        (corpus,) = prepare([config], EncoderConfig(max_length=128), "auto", episode=EPISODE)
        parts += [
            at_labels(corpus, chosen, asked.seeds),
            in_the_loop(corpus, chosen, asked.seeds, asked.strategy, EPISODE),
        ]
        found = gains(pd.concat(parts, ignore_index=True))
        written = found.round(5).to_csv(index=False, lineterminator="\n")
        write_atomically(asked.out / "gains.csv", written)
        write_atomically(asked.out / "table.md", page(found))
    return page(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "recipes", "results/recipes", seeds=32)
    parser.add_argument("--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or paths")
    parser.add_argument("--recipes", nargs="+", help="names of recipes; the default is all")
    parser.add_argument("--strategy", default="mixture", help="who chooses in the loop")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
