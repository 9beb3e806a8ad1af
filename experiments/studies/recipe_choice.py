"""A learned choice of recipes in every round against its rivals, on corpora that it was not trained on.

Learned is a linear choice from what can be seen in a round (``recipe_evidence``), fitted on training corpora
and on generated tasks over their texts. Its rivals: the fixed recipe that is best on the training corpora,
and the best on the dev rows in every round. Rows are chosen under that fixed recipe, and all choices are
judged on the same labels.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.data.readers import missing_path
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import half_interval
from react_rl.experiments.studies.recipe_evidence import (
    CONTEXT,
    MENU,
    SIGNALS,
    LinearChoice,
    Watch,
    WatchedRounds,
    fit_choice,
    worth,
)
from react_rl.files import write_atomically
from react_rl.learners.capabilities import choose_recipes
from react_rl.learners.recipes import Recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.generated import generated_task
from react_rl.simulation.options import EpisodeOptions

TRAINING: Final = (
    "bbc_news", "crowd_tweets", "data/trec6", "data/subj", "data/cr", "data/sms_spam", "data/fpb_allagree",
    "data/dbpedia14_few", "data/ag_news", "data/imdb",
)  # fmt: skip
"""Corpora on which everything is chosen."""
UNSEEN: Final = (
    "data/cola", "data/20newsgroups", "data/davidson_hate", "data/chnsenticorp", "data/sst2",
    "data/tweeteval_sentiment/test.jsonl.gz", "data/yelp_sentences", "data/mr", "data/banking77",
    "data/clinc150",
)  # fmt: skip
"""Corpora on which it is judged."""
STRATEGIES: Final = ("learned", "mixture")
"""What chooses rows on the training corpora; the first one on the others."""
EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=100, initial_size=10, budget=80, batch_size=5)
SMALL_MENU: Final = ("plain", "smooth", "hast", "l2-loo")
"""The recipes of the registered ``best-on-dev``."""
LEARNED: Final = "learned choice"
_OF_DEV: Final = tuple(name for name in SIGNALS if name.startswith("dev"))
RIDGES: Final = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_ROWS: Final = 2500
_TEST_ROWS: Final = 1000
_LONG_TEXTS: Final = ("data/20newsgroups", "data/imdb")
_FIRST_TRAINING_SEED: Final = 1000
_TRAINING_SEEDS: Final = 8
_TASKS: Final = 2
"""Generated tasks over each training corpus."""


def begun(corpus: EncodedCorpus, seeds: Sequence[int], options: EpisodeOptions) -> LabelingEngine:
    """Episodes before their first round, one for each seed."""
    engine = LabelingEngine([corpus], options, len(seeds), ["accuracy"])
    engine.reset([episode_streams(seed, corpus.name) for seed in seeds], None, [0] * len(seeds))
    return engine


def collect(
    corpus: EncodedCorpus,
    strategies: Sequence[str],
    seeds: Sequence[int],
    followed: str | None = None,
    options: EpisodeOptions = EPISODE,
    menu: Mapping[str, Recipe] = MENU,
) -> WatchedRounds:
    """What every recipe of the menu is worth in every round, on the same labels.

    Args:
        corpus: The corpus.
        strategies: What chooses rows, one after the other.
        seeds: Paired episodes of each.
        followed: Recipe by whose predictions rows are chosen; None draws one in every round.
        options: Sizes and budget.
        menu: The recipes, the plain one first.
    """
    rng, parts = np.random.default_rng(0), []
    test, recipes = TestSplit(corpus, _TEST_ROWS), list(menu.values())
    for strategy in strategies:
        engine, chooser = begun(corpus, seeds, options), make_strategy(strategy)
        watch = Watch(engine, recipes)
        while True:
            seen, found = watch.look(), []
            for recipe in recipes:
                choose_recipes(engine.learner, [recipe] * len(seeds))
                found.append(test.measure(engine, ["accuracy"])["accuracy"])
            parts.append((seen.design(), np.stack(found, 1), seen.dev))
            if engine.finished.all():
                break
            drawn = rng.integers(len(recipes), size=len(seeds))
            names = [followed or list(menu)[k] for k in drawn]
            engine.learn(recipes=[menu[name] for name in names])  # nothing is bought: recipes change
            engine.buy(chooser.select(engine.view, options.batch_size))
            engine.learn()
    design, accuracy, dev = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return WatchedRounds(corpus.name, design, accuracy, dev)


def learned(
    real: Sequence[WatchedRounds], generated: Sequence[WatchedRounds]
) -> tuple[LinearChoice, pd.DataFrame]:
    """Fit the choice; how strongly it is held is what serves corpora best that are left out in turn.

    Args:
        real: Rounds on training corpora.
        generated: Rounds on tasks over their texts, under the name of the corpus; left out with it.

    Returns:
        The choice; columns ridge and worth, the mean gain over the menu's mean on corpora left out.
    """
    lines = []
    for ridge in RIDGES:
        left = []
        for one in real:
            others = [other for other in (*real, *generated) if other.corpus != one.corpus]
            left.append(worth(fit_choice(others, ridge), [one]))
        lines.append((ridge, float(np.mean(left))))
    best = max(lines, key=lambda line: line[1])[0]
    return fit_choice([*real, *generated], best), pd.DataFrame(lines, columns=["ridge", "worth"])


def best_fixed(real: Sequence[WatchedRounds]) -> str:
    """The recipe with the highest mean gain over training corpora."""
    means: npt.NDArray[np.float64] = np.mean([one.gain.mean(0) for one in real], axis=0, dtype=np.float64)
    return list(MENU)[int(means.argmax())]


def best_on_dev(seen: WatchedRounds, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Position of the recipe of these with the best dev accuracy in each round ``(N,)``."""
    allowed = np.array([name in names for name in MENU])
    found: npt.NDArray[np.int64] = np.where(allowed, seen.dev, -np.inf).argmax(1)
    return found


def judged(seen: WatchedRounds, choice: LinearChoice, fixed: str, episodes: int) -> pd.DataFrame:
    """Mean test accuracy over rounds of each way to choose.

    Args:
        seen: Rounds of all episodes, those of the first round first.
        choice: The learned one.
        fixed: The recipe that is never changed.
        episodes: Episodes in lockstep.

    Returns:
        Columns corpus, seed, plain, fixed, dev of four, dev, learned, best on test.
    """
    names = list(MENU)
    ways = {
        "plain": seen.accuracy[:, 0],
        "fixed": seen.accuracy[:, names.index(fixed)],
        "dev of four": seen.taking(best_on_dev(seen, SMALL_MENU)),
        "dev": seen.taking(best_on_dev(seen, names)),
        LEARNED: seen.taking(choice.expected(seen.design).argmax(1)),
        "best on test": seen.accuracy.max(1),
    }
    means = {way: own.reshape(-1, episodes).mean(0) for way, own in ways.items()}
    lines = [
        {"corpus": seen.corpus, "seed": seed} | {way: float(own[seed]) for way, own in means.items()}
        for seed in range(episodes)
    ]
    return pd.DataFrame(lines)


def interval(gaps: pd.Series[float]) -> tuple[float, float]:
    """Mean of paired differences and half its 95 % t-interval over seeds; lines (corpus, seed)."""
    by_seed = np.asarray(gaps.groupby(level="seed").mean(), np.float64)
    return float(by_seed.mean()), float(half_interval(by_seed))


def page(found: pd.DataFrame, fixed: str) -> str:
    """One table: against each rival over all corpora, then on each."""
    wide = found.set_index(["corpus", "seed"])
    ways = [way for way in wide.columns if way != LEARNED]
    lines = [
        f"Mean test accuracy over rounds of the {LEARNED}, and minus that of its rivals on the same labels;",
        f"rows by `{STRATEGIES[0]}` under `{fixed}`, which is the fixed recipe. {found['corpus'].nunique()} "
        f"corpora, {found['seed'].nunique()} seeds; 95 % t-intervals over seeds.",
        "",
        f"| corpus | {LEARNED} | {' | '.join(f'minus {way}' for way in ways)} |",
        f"| --- | ---: |{' ---: |' * len(ways)}",
    ]
    single = {
        corpus: wide.xs(corpus, level="corpus", drop_level=False) for corpus in found["corpus"].unique()
    }
    for name, part in {"mean": wide, **single}.items():
        cells = ["{:+.4f} ± {:.4f}".format(*interval(part[LEARNED] - part[way])) for way in ways]
        lines.append(f"| {name} | {part[LEARNED].mean():.4f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def without(seen: WatchedRounds, hidden: Collection[str]) -> WatchedRounds:
    """Rounds in which some of ``SIGNALS`` say nothing; without those of dev, no dev row is looked at."""
    design, width = seen.design.copy(), 1 + len(CONTEXT)
    for place in (SIGNALS.index(name) for name in hidden):
        design[:, :, place * width : (place + 1) * width] = 0.0
    if set(_OF_DEV) <= set(hidden):
        design[:, :, 1 + CONTEXT.index("dev accuracy") :: width] = 0.0
    return replace(seen, design=design)


def why(
    real: Sequence[WatchedRounds],
    generated: Sequence[WatchedRounds],
    unseen: Sequence[WatchedRounds],
    ridge: float,
    fixed: str,
) -> str:
    """Table of other choices on the unseen corpora, and of what can be had there at most.

    Args:
        real: Rounds on training corpora.
        generated: Rounds on generated tasks.
        unseen: Rounds on the corpora on which it is judged.
        ridge: How strongly choices are held.
        fixed: The recipe that is never changed.
    """
    dev = [one.taking(best_on_dev(one, list(MENU))).mean() for one in unseen]
    never = [one.accuracy[:, list(MENU).index(fixed)].mean() for one in unseen]

    def chosen(training: Sequence[WatchedRounds], hidden: Collection[str] = ()) -> list[float]:
        choice = fit_choice([without(one, hidden) for one in training], ridge)
        return [
            float(one.taking(choice.expected(without(one, hidden).design).argmax(1)).mean()) for one in unseen
        ]

    both = [*real, *generated]
    found = {
        "learned choice": chosen(both),
        "without dev rows": chosen(both, _OF_DEV),
        "dev signals alone": chosen(both, [name for name in SIGNALS if name not in _OF_DEV]),
        "context alone": chosen(both, SIGNALS),
        "learned from the training corpora alone": chosen(real),
        "learned from generated tasks alone": chosen(generated),
        "learned from these very corpora": chosen(unseen),
        "each corpus's best recipe, in hindsight": [float(one.accuracy.mean(0).max()) for one in unseen],
    }
    lines = ["| choice | minus fixed | minus dev |", "| --- | ---: | ---: |"]
    lines += [
        f"| {name} | {np.mean(own) - np.mean(never):+.4f} | {np.mean(own) - np.mean(dev):+.4f} |"
        for name, own in found.items()
    ]
    return "\n".join(lines) + "\n"


def load(name: str, data: Path) -> EncodedCorpus:
    """A corpus by its name here."""
    path = _path(name, data)
    rows = 1800 if name in _LONG_TEXTS else _ROWS
    config = CorpusConfig(corpus=path, name=_short(name), max_rows=rows)
    return prepare([config], EncoderConfig(max_length=128), "auto", episode=EPISODE)[0]


def _path(name: str, data: Path) -> str:
    return str(data / name.removeprefix("data/")) if name.startswith("data/") else name


def _short(name: str) -> str:
    return name.removeprefix("data/").split("/")[0]


def kept_rounds(file: Path, parts: int, corpus: str) -> list[WatchedRounds]:
    """Rounds that ``keep_rounds`` wrote, under the name of their corpus."""
    with np.load(file) as arrays:
        whats = ("design", "accuracy", "dev")
        return [
            WatchedRounds(corpus, *(arrays[f"{what} {k}"].astype(np.float64) for what in whats))
            for k in range(parts)
        ]


def keep_rounds(file: Path, found: Sequence[WatchedRounds]) -> None:
    """Write rounds to a file of arrays."""
    arrays = {
        f"{what} {place}": getattr(one, what).astype(np.float32)
        for place, one in enumerate(found)
        for what in ("design", "accuracy", "dev")
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    say(f"seen: {file.stem}")


def training_rounds(data: Path, kept: Path) -> tuple[list[WatchedRounds], list[WatchedRounds]]:
    """Rounds on the training corpora, and on generated tasks over their texts; kept in a folder."""
    real, generated = [], []
    seeds = range(_FIRST_TRAINING_SEED, _FIRST_TRAINING_SEED + _TRAINING_SEEDS)
    for name in TRAINING:
        file = kept / f"{_short(name)}.npz"
        if not file.is_file():
            corpus = load(name, data)
            found = [collect(corpus, STRATEGIES, seeds)]
            found += [
                collect(generated_task(corpus, k), STRATEGIES[k % 2 : k % 2 + 1], seeds)
                for k in range(_TASKS)
            ]
            keep_rounds(file, found)
        first, *others = kept_rounds(file, 1 + _TASKS, _short(name))
        real.append(first)
        generated += others
    return real, generated


def study(data: Path, kept: Path, out: Path, seeds: int) -> str:
    """Fit on the training corpora, judge on the others; writes ``choice.csv`` and ``choice_table.md``."""
    files = {name: kept / f"{_short(name)}.npz" for name in TRAINING}
    files |= {name: kept / f"unseen-{_short(name)}-{seeds}.npz" for name in UNSEEN}
    for name, file in files.items():
        if name.startswith("data/") and not file.is_file() and not Path(_path(name, data)).exists():
            raise missing_path(Path(_path(name, data)))
    real, generated = training_rounds(data, kept)
    choice, ridges = learned(real, generated)
    fixed = best_fixed(real)
    say(f"{ridges.to_string()}\nbest fixed: {fixed}")
    unseen = []
    for name in UNSEEN:
        file = files[name]
        if not file.is_file():
            keep_rounds(file, [collect(load(name, data), STRATEGIES[:1], range(seeds), fixed)])
        unseen += kept_rounds(file, 1, _short(name))
    found = pd.concat([judged(one, choice, fixed, seeds) for one in unseen], ignore_index=True)
    ridge = float(ridges["ridge"][ridges["worth"].argmax()])
    written = page(found, fixed) + "\n" + why(real, generated, unseen, ridge, fixed)
    write_atomically(out / "choice.csv", csv_text(found.round(6)))
    write_atomically(out / "choice_table.md", written)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "recipe_choice", "results/recipes", seeds=8, data=True)
    parser.add_argument("--kept", type=Path, default=Path("results/recipe-choice"), help="rounds, kept")
    return run_study(parser, arguments, lambda asked: study(asked.data, asked.kept, asked.out, asked.seeds))


if __name__ == "__main__":
    sys.exit(main())
