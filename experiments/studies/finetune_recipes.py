"""What each recipe of fine-tuning is worth: gain over plain training on the same random rows, and its cost.

Small on purpose: the top layers of a small encoder, few epochs, short texts. Every recipe is written when it
is measured, and a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Final

import pandas as pd

from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.masked_pretraining import PretrainingSettings
from react_rl.envs.batched import episode_streams
from react_rl.errors import unknown
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.finetune_gains import LONGER, page, summary, table
from react_rl.experiments.studies.growing import GrowingTable, this_machine
from react_rl.experiments.studies.played import METRIC
from react_rl.files import write_atomically
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.recipes import RECIPES, AdversarialSettings, Recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

LABELS: Final = (50, 200)
PRETRAINED: Final = "pretrained"
MASKED: Final = "masked-words"
MEASURED: Final = (
    LONGER, "mixup", "eda", "consistency", "l2-sp", "fgm", "r-drop", "ema", "swa", "freelb", "mixout",
    "mixup-layer", "pgd", "label-smoothing", "ensemble of 3",
)  # fmt: skip
"""What needs no model besides, in the order in which it is measured."""
BESIDES: Final[dict[str, Callable[[FineTuneSettings], FineTuneSettings]]] = {
    LONGER: lambda plain: plain.model_copy(update={"epochs": 2 * plain.epochs}),
    "ensemble of 3": lambda plain: plain.model_copy(update={"members": 3}),
    PRETRAINED: lambda plain: plain.model_copy(update={"pretraining": PretrainingSettings(steps=200)}),
    "freelb .01": lambda plain: _moved(plain, 0.01),
    "freelb .001": lambda plain: _moved(plain, 0.001),
}
"""Ways to train that are settings of the learner and no recipes, by name."""
NAMES: Final = ("corpus", "recipe", "at")
"""What names a run, beside its seed, in the table of runs; it holds accuracy and seconds besides."""
_POOL: Final = 500
_DEV: Final = 50


def _moved(plain: FineTuneSettings, epsilon: float) -> FineTuneSettings:
    """FreeLB with another longest move than the recipe's."""
    return plain.following(Recipe(adversarial=AdversarialSettings(kind="freelb", epsilon=epsilon)))


def trained_as(name: str, plain: FineTuneSettings, masked_lm: Path | None = None) -> FineTuneSettings:
    """The settings of plain training, changed as a recipe or one of ``BESIDES`` says.

    Args:
        name: Which.
        plain: Plain training.
        masked_lm: Folder of the model that fills in words; None takes the learner's own.

    Raises:
        ReActError: There is nothing of that name for fine-tuning.
    """
    if name in BESIDES:
        return BESIDES[name](plain)
    able = [known for known, entry in RECIPES.items() if "finetune" in entry.kinds]
    if name not in able:
        raise unknown("recipe of fine-tuning", name, [*able, *BESIDES])
    recipe = RECIPES[name].settings
    if name == MASKED and masked_lm is not None:
        filled = recipe.augmentation.model_copy(update={"models": (str(masked_lm),)})
        recipe = recipe.model_copy(update={"augmentation": filled})
    return plain.following(recipe)


def options_for(corpus: EncodedCorpus, labels: int) -> EpisodeOptions:
    """An episode that begins with so many labels; where these are many, its pool is larger than usual."""
    return EpisodeOptions(
        pool_size=min(max(_POOL, labels + 1), corpus.corpus.ids("train").size),
        dev_size=min(_DEV, corpus.corpus.ids("dev").size),
        initial="random", initial_size=labels, budget=1, batch_size=1,
    )  # fmt: skip


def at_labels(
    corpus: EncodedCorpus, settings: FineTuneSettings, seeds: Sequence[int], test_rows: int, labels: int
) -> pd.DataFrame:
    """Test accuracy with so many labels, trained from the pretrained weights.

    Args:
        corpus: The corpus.
        settings: How it is trained.
        seeds: Of paired episodes: seed k is the same pool and random rows however they are trained.
        test_rows: Rows of the test split that are scored.
        labels: Number of labels.

    Returns:
        Columns seed, accuracy, seconds: processor time of training all seeds.
    """
    engine = LabelingEngine([corpus], options_for(corpus, labels), len(seeds), (METRIC,), settings)
    started = time.process_time()
    engine.reset([episode_streams(seed, corpus.name) for seed in seeds], None, [0] * len(seeds))
    seconds = time.process_time() - started
    found = TestSplit(corpus, test_rows).measure(engine, [METRIC])[METRIC]
    return pd.DataFrame({"seed": seeds, "accuracy": found, "seconds": seconds})


def add_ground(parser: argparse.ArgumentParser, epochs: int, labels: Sequence[int], rows: int) -> None:
    """Give a parser the options of what is fine-tuned on what, with defaults. Mutates."""
    parser.add_argument("--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or paths")
    parser.add_argument("--model", default="minilm", help="encoder that is fine-tuned")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--max-length", type=int, default=32, help="tokens kept of a text")
    parser.add_argument("--labels", type=int, nargs="+", default=list(labels), help="numbers of labels")
    parser.add_argument("--rows", type=int, default=rows, help="most rows of a corpus, test rows among them")
    parser.add_argument("--test-rows", type=int, default=300)


def corpora_of(asked: argparse.Namespace) -> list[EncodedCorpus]:
    """The corpora that the options of ``add_ground`` name."""
    encoder = EncoderConfig(max_length=asked.max_length)
    configs = [CorpusConfig(corpus=name, max_rows=asked.rows) for name in asked.corpora]
    return [corpus for config in configs for corpus in prepare([config], encoder, "auto")]


def study(asked: argparse.Namespace) -> str:
    """Train as every recipe says where that was not done yet, and write the tables when each is measured."""
    settings = FineTuneSettings(
        model=asked.model, method="full", layers=asked.layers, epochs=asked.epochs,
        learning_rate=asked.learning_rate, max_length=asked.max_length,
    )  # fmt: skip
    ways = {name: trained_as(name, settings, asked.masked_lm) for name in asked.recipes if name != "plain"}
    said = (
        f"{Path(asked.model).name}, top {asked.layers} trained, {asked.epochs} epochs at "
        f"{asked.learning_rate:g}, {asked.max_length} tokens, {asked.test_rows} test rows"
    )
    corpora = corpora_of(asked)
    measured = {
        name: getattr(asked, name)
        for name in ("layers", "epochs", "learning_rate", "max_length", "rows", "test_rows")
    }
    measured |= {"model": Path(asked.model).name} | this_machine()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    runs, text = GrowingTable(asked.out / "finetune_runs.csv", NAMES, digits=5, settings=measured), ""
    for recipe, way in ({"plain": settings} | ways).items():
        for corpus, n in product(corpora, asked.labels):
            place = {"corpus": corpus.name, "recipe": recipe, "at": str(n)}
            if not runs.holds(seeds, **place):
                part = at_labels(corpus, way, seeds, asked.test_rows, n)
                runs.add(part.assign(**place))
                say(f"{corpus.name}, {n}, {recipe}: {part['seconds'][0]:.0f} s of training")
        found = table(runs.frame)
        write_atomically(asked.out / "finetune.csv", csv_text(found.drop(columns="p").round(5)))
        text = f"{summary(found)}\n{page(found, said)}"
        write_atomically(asked.out / "finetune.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "finetune_recipes", "results/recipes/finetuning", seeds=5)
    add_ground(parser, epochs=8, labels=LABELS, rows=1200)
    parser.add_argument("--first-seed", type=int, default=0, help="another one plays seeds not played before")
    parser.add_argument("--recipes", nargs="*", default=list(MEASURED), help="names; none: plain alone")
    parser.add_argument("--masked-lm", type=Path, help=f"folder of the model that fills in {MASKED}")
    parser.add_argument("--layers", type=int, default=1, help="top layers that are trained")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
