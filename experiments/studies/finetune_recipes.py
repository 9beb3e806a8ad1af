"""What each recipe of fine-tuning is worth: gain over plain training on the same random rows, and its cost.

Small on purpose: the top layers of a small encoder, few epochs, short texts. Every recipe is written when it
is measured, and a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.masked_pretraining import PretrainingSettings
from react_rl.envs.batched import episode_streams
from react_rl.errors import unknown
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import half_interval
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import METRIC
from react_rl.files import write_atomically
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.recipes import RECIPES
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

LABELS: Final = (50, 200)
LONGER: Final = "twice the epochs"
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
}
"""Ways to train that are settings of the learner and no recipes, by name."""
NAMES: Final = ("corpus", "recipe", "at")
"""What names a run, beside its seed, in the table of runs; it holds accuracy and seconds besides."""
_POOL: Final = 500
_DEV: Final = 50


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
    corpus: EncodedCorpus, settings: FineTuneSettings, seeds: int, test_rows: int, labels: int
) -> pd.DataFrame:
    """Test accuracy with so many labels, trained from the pretrained weights.

    Args:
        corpus: The corpus.
        settings: How it is trained.
        seeds: Paired episodes: the same pools and random rows however they are trained.
        test_rows: Rows of the test split that are scored.
        labels: Number of labels.

    Returns:
        Columns seed, accuracy, seconds: processor time of training all seeds.
    """
    engine = LabelingEngine([corpus], options_for(corpus, labels), seeds, (METRIC,), settings)
    started = time.process_time()
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    seconds = time.process_time() - started
    found = TestSplit(corpus, test_rows).measure(engine, [METRIC])[METRIC]
    return pd.DataFrame({"seed": range(seeds), "accuracy": found, "seconds": seconds})


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Paired gains with 95 % intervals (Student's t over seeds) and cost ratios.

    Args:
        runs: Columns corpus, recipe, at, seed, accuracy, seconds. Seeds that were not played everywhere with
            a number of labels do not count there.

    Returns:
        Columns recipe, corpus, at, seeds (how many), plain (accuracy), gain, half (of the interval), cost:
        processor time of training over plain's, seconds: processor time of one training. A line with
        ``corpus`` ``mean`` for each recipe and number of labels at which it was measured on every corpus is
        the mean over them; its column ``longer`` is the gain less that of ``LONGER``, ``longer_half`` half
        its interval.
    """
    lines: list[dict[str, object]] = []
    for at, own in runs.groupby("at", sort=False):
        lines += [{"at": at} | line for line in _gains(own)]
    columns = ["recipe", "corpus", "at", "seeds", "plain", "gain", "half", "cost", "seconds"]
    columns += ["longer", "longer_half"]
    return pd.DataFrame(lines).reindex(columns=columns)


def _gains(runs: pd.DataFrame) -> list[dict[str, object]]:
    """Lines of ``table`` of one number of labels."""
    accuracy, seconds = {}, {}
    each = runs.groupby(["recipe", "corpus"], sort=False)
    seeds = sorted(set.intersection(*(set(one["seed"]) for _, one in each)))
    for (recipe, corpus), one in each:
        accuracy[str(recipe), str(corpus)] = one.set_index("seed")["accuracy"][seeds].to_numpy(np.float64)
        seconds[str(recipe), str(corpus)] = float(one["seconds"].iloc[0]) / len(one)
    corpora = [corpus for recipe, corpus in accuracy if recipe == "plain"]
    recipes = list(dict.fromkeys(recipe for recipe, _ in accuracy))
    whole = {
        recipe: np.mean([accuracy[recipe, corpus] for corpus in corpora], axis=0)
        for recipe in recipes
        if all((recipe, corpus) in accuracy for corpus in corpora)
    }
    lines: list[dict[str, object]] = []
    for recipe in recipes:
        own = [corpus for corpus in corpora if (recipe, corpus) in accuracy]
        for corpus in own:
            plain, taken = accuracy["plain", corpus], seconds[recipe, corpus]
            line = {"recipe": recipe, "corpus": corpus, "plain": plain.mean(), "seconds": taken}
            line["cost"] = taken / seconds["plain", corpus]
            lines.append(line | _gain(accuracy[recipe, corpus] - plain, "gain", "half"))
        if recipe in whole:
            mean: dict[str, object] = {"recipe": recipe, "corpus": "mean", "plain": whole["plain"].mean()}
            mean["seconds"] = np.mean([seconds[recipe, corpus] for corpus in corpora])
            mean["cost"] = np.mean([seconds[recipe, one] / seconds["plain", one] for one in corpora])
            mean |= _gain(whole[recipe] - whole["plain"], "gain", "half")
            if LONGER in whole:
                mean |= _gain(whole[recipe] - whole[LONGER], "longer", "longer_half")
            lines.append(mean)
    return [{"seeds": len(seeds)} | line for line in lines]


def _gain(by_seed: npt.NDArray[np.float64], name: str, half: str) -> dict[str, object]:
    return {name: float(by_seed.mean()), half: float(half_interval(by_seed))}


def page(found: pd.DataFrame, said: str) -> str:
    """Markdown of ``table``: for each number of labels lines of recipes and columns of corpora."""
    lines = [
        f"Gain over `plain` in test accuracy, paired seeds, 95 % interval over them; {said}.",
        f"Mean: of the corpora. Beyond longer: mean gain less that of {LONGER}. Cost: processor time of",
        "training over that of `plain`; s: processor seconds of one training; both are means of the corpora.",
    ]
    for at, own in found.groupby("at", sort=False):
        corpora = [name for name in dict.fromkeys(own["corpus"]) if name != "mean"]
        first = f"{at} labels, {own['seeds'].iloc[0]} seeds"
        lines += [
            "",
            f"| {first} | {' | '.join(corpora)} | mean | beyond longer | cost | s |",
            "| --- |" + " ---: |" * (len(corpora) + 4),
        ]
        for recipe, part in own.groupby("recipe", sort=False):
            of = {str(line["corpus"]): line for line in part.to_dict("records")}
            mean, is_plain = of.get("mean"), recipe == "plain"
            what = "plain" if is_plain else "gain"
            cells = [_cell(of.get(place), what, "half") for place in [*corpora, "mean"]]
            known = mean is not None and not is_plain and recipe != LONGER and np.isfinite(mean["longer"])
            cells.append(_cell(mean if known else None, "longer", "longer_half"))
            each = part[part["corpus"] != "mean"]
            cells += [f"{each['cost'].mean():.1f}", f"{each['seconds'].mean():.1f}"]
            lines.append(f"| {recipe!s} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(line: Mapping[Hashable, Any] | None, name: str, half: str) -> str:
    if line is None:
        return "-"
    return f"{line[name]:.3f}" if name == "plain" else f"{line[name]:+.3f} ± {line[half]:.3f}"


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
    encoder = EncoderConfig(max_length=asked.max_length)
    corpora: list[EncodedCorpus] = []
    for name in asked.corpora:
        config = CorpusConfig(corpus=name, max_rows=asked.rows)
        corpora += prepare([config], encoder, "auto")
    measured = {
        name: getattr(asked, name)
        for name in ("layers", "epochs", "learning_rate", "max_length", "rows", "test_rows")
    }
    measured |= {"model": Path(asked.model).name}
    runs, text = GrowingTable(asked.out / "finetune_runs.csv", NAMES, digits=5, settings=measured), ""
    for recipe, way in ({"plain": settings} | ways).items():
        for corpus, n in product(corpora, asked.labels):
            place = {"corpus": corpus.name, "recipe": recipe, "at": str(n)}
            if not runs.holds(asked.seeds, **place):
                part = at_labels(corpus, way, asked.seeds, asked.test_rows, n)
                runs.add(part.assign(**place))
                say(f"{corpus.name}, {n}, {recipe}: {part['seconds'][0]:.0f} s of training")
        found = table(runs.frame)
        write_atomically(asked.out / "finetune.csv", csv_text(found.round(5)))
        text = page(found, said)
        write_atomically(asked.out / "finetune.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "finetune_recipes", "results/recipes/finetuning", seeds=5)
    parser.add_argument("--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or paths")
    parser.add_argument("--recipes", nargs="*", default=list(MEASURED), help="names; none: plain alone")
    parser.add_argument("--model", default="minilm", help="encoder that is fine-tuned")
    parser.add_argument("--masked-lm", type=Path, help=f"folder of the model that fills in {MASKED}")
    parser.add_argument("--layers", type=int, default=1, help="top layers that are trained")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--max-length", type=int, default=32, help="tokens kept of a text")
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS), help="numbers of labels")
    parser.add_argument("--rows", type=int, default=1200, help="most rows of a corpus, test rows among them")
    parser.add_argument("--test-rows", type=int, default=300)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
