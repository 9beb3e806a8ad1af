"""What each recipe of fine-tuning is worth: gain over plain training on the same random rows, and its cost.

Small on purpose: the top layers of a small encoder, few epochs, short texts. Every recipe is written when it
is measured, so that a run that was cut short leaves what it has.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
from scipy.stats import t

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.recipes import gains
from react_rl.files import write_atomically
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.recipes import PLAIN, RECIPES, Recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

LABELS: Final = (50, 200)
MEASURED: Final = (
    "mixup", "eda", "consistency", "l2-sp", "fgm", "r-drop", "ema", "swa", "freelb", "mixout", "mixup-layer",
    "pgd", "label-smoothing",
)  # fmt: skip
"""Recipes that need no model besides, in the order in which they are measured."""
_ROWS: Final = 1200
"""Most rows of a corpus."""
_POOL: Final = 500
_DEV: Final = 50


def at_labels(
    corpus: EncodedCorpus,
    recipes: Mapping[str, Recipe],
    settings: FineTuneSettings,
    seeds: int,
    test_rows: int,
    labels: Sequence[int] = LABELS,
) -> pd.DataFrame:
    """Test accuracy after each number of labels, every round trained from the pretrained weights.

    Args:
        corpus: The corpus.
        recipes: The recipes by name.
        settings: What they change.
        seeds: Paired episodes: the same pools and random rows for all recipes.
        test_rows: Rows of the test split that are scored.
        labels: Numbers of labels, ascending.

    Returns:
        Columns corpus, recipe, at, seed, accuracy, seconds: processor time of training all seeds.
    """
    options = EpisodeOptions(
        pool_size=min(_POOL, corpus.corpus.ids("train").size),
        dev_size=min(_DEV, corpus.corpus.ids("dev").size),
        initial_size=labels[0],
        budget=labels[-1] - labels[0], batch_size=labels[-1] - labels[0],
    )  # fmt: skip
    test, random, lines = TestSplit(corpus, test_rows), make_strategy("random"), []
    for name, recipe in recipes.items():
        engine = LabelingEngine([corpus], options, seeds, ("accuracy",), settings.following(recipe))
        for n in labels:
            started = time.process_time()
            if n == labels[0]:
                engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
            else:
                engine.step(random.select(engine.view, n - int(engine.labels[0])))
            seconds = time.process_time() - started
            found = test.measure(engine, ["accuracy"])["accuracy"]
            lines += [(corpus.name, name, str(n), seed, found[seed], seconds) for seed in range(seeds)]
    return pd.DataFrame(lines, columns=["corpus", "recipe", "at", "seed", "accuracy", "seconds"])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Paired gains with 95 % intervals (Student's t: seeds are few) and cost ratios.

    Returns:
        Columns corpus, at, recipe, plain, gain, low, high, cost: processor time of training over plain's.
    """
    part = gains(found)
    by = found.groupby(["corpus", "at", "recipe"], sort=False)["seconds"].first().to_dict()
    ratio = [
        by[row["corpus"], row["at"], row["recipe"]] / by[row["corpus"], row["at"], "plain"]
        for row in part.to_dict("records")
    ]
    half = float(t.ppf(0.975, found["seed"].nunique() - 1)) * part["error"]
    return part.assign(low=part["gain"] - half, high=part["gain"] + half, cost=ratio)[
        ["corpus", "at", "recipe", "plain", "gain", "low", "high", "cost"]
    ]


def page(found: pd.DataFrame, seeds: int, said: str) -> str:
    """Markdown of ``table``: one line for each recipe, one column for each corpus and number of labels."""
    places = list(found[["corpus", "at"]].drop_duplicates().itertuples(index=False, name=None))
    lines = [
        f"Gain over `plain` in test accuracy, {seeds} paired seeds, 95 % interval over them; {said}.",
        "Cost: processor time of training over that of `plain`, mean of the columns.",
        "",
        "| recipe | " + " | ".join(f"{corpus}, {at}" for corpus, at in places) + " | cost |",
        "| --- |" + " ---: |" * (len(places) + 1),
    ]
    for recipe in found["recipe"].unique():
        own = found[found["recipe"] == recipe].set_index(["corpus", "at"])
        cells = []
        for place in places:
            if place not in own.index:
                cells.append("-")
            elif recipe == "plain":
                cells.append(f"{own.loc[place, 'plain']:.3f}")
            else:
                half = (own.loc[place, "high"] - own.loc[place, "low"]) / 2
                cells.append(f"{own.loc[place, 'gain']:+.3f} ± {half:.3f}")
        lines.append(f"| {recipe} | {' | '.join(cells)} | {own['cost'].mean():.1f} |")
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Train by every recipe, and write the table when each is measured."""
    able = [name for name, entry in RECIPES.items() if "finetune" in entry.kinds]
    unknown = [name for name in asked.recipes if name not in able]
    if unknown:
        raise ReActError(f"Recipe {unknown[0]!r} is not one of fine-tuning. Known: {', '.join(able)}.")
    settings = FineTuneSettings(
        model=asked.model, method="full", layers=asked.layers, epochs=asked.epochs,
        learning_rate=asked.learning_rate, max_length=asked.max_length,
    )  # fmt: skip
    said = (
        f"{asked.model}, top {asked.layers} trained, {asked.epochs} epochs at {asked.learning_rate:g}, "
        f"{asked.max_length} tokens"
    )
    encoder = EncoderConfig(max_length=asked.max_length)
    corpora: list[EncodedCorpus] = []
    for name in asked.corpora:
        config = CorpusConfig(corpus=name, max_rows=_ROWS)
        corpora += prepare([config], encoder, "auto")
    parts: list[pd.DataFrame] = []
    for recipe in ("plain", *asked.recipes):
        setting = PLAIN if recipe == "plain" else RECIPES[recipe].settings
        for corpus in corpora:
            parts.append(
                at_labels(corpus, {recipe: setting}, settings, asked.seeds, asked.test_rows, asked.labels)
            )
        found = table(pd.concat(parts, ignore_index=True))
        written = found.round(5).to_csv(index=False, lineterminator="\n")
        write_atomically(asked.out / "finetune.csv", written)
        write_atomically(asked.out / "finetune.md", page(found, asked.seeds, said))
    return page(found, asked.seeds, said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "finetune_recipes", "results/recipes", seeds=4)
    parser.add_argument("--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or paths")
    parser.add_argument("--recipes", nargs="*", default=list(MEASURED), help="names; none: plain alone")
    parser.add_argument("--model", default="minilm", help="encoder that is fine-tuned")
    parser.add_argument("--layers", type=int, default=1, help="top layers that are trained")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--max-length", type=int, default=48, help="tokens kept of a text")
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS), help="ascending")
    parser.add_argument("--test-rows", type=int, default=500)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
