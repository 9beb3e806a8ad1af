"""What each recipe of the linear tagger is worth: area and F1 beyond the plain one, on the same seeds.

``python -m react_rl.experiments.studies.tagger_recipes --english DIR ... --chinese DIR ...`` plays the
episodes of the study of named entities, paid by the token, with random rows and with MNLP. What has been
played is kept in the table and not played again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import ReActError
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import half_interval
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.tagging import METRIC, SHARE, add_corpora, options_for
from react_rl.files import write_atomically
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.recipes import Recipe, make_recipe
from react_rl.metrics import area_to_budget
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus

RECIPES: Final[dict[str, Recipe]] = {
    "plain": make_recipe("plain"),
    "l2-dev": make_recipe("l2-dev"),
    "label-smoothing": make_recipe("label-smoothing"),
    "l2-dev + label-smoothing": Recipe(l2="dev", label_smoothing=0.1),
    "l2 0.03": Recipe(l2=0.03),
    "l2 0.01": Recipe(l2=0.01),
}
STRATEGIES: Final = ("random", "mnlp")
EARLY: Final = 0.05
"""Share of the pool's tokens at which F1 is read too: some 25 sentences."""
NAMES: Final = ("corpus", "strategy", "recipe")
MEASURES: Final = {"area": "area", "early": f"F1 at {EARLY:.0%} of the tokens", "final": f"at {SHARE:.0%}"}


def measure(corpus: EncodedCorpus, strategy: str, recipe: Recipe, seeds: int) -> pd.DataFrame:
    """Play a strategy on a corpus.

    Returns:
        Columns seed and those of ``MEASURES``.
    """
    options = options_for(corpus)
    settings = TaggerSettings().following(recipe)
    played = play(corpus, make_strategy(strategy), range(seeds), options, [METRIC], learner=settings).results
    rows = []
    for seed, record in enumerate(played):
        cost, f1 = np.array(record["cost"], float), np.array(record["test"][METRIC], float)
        area = area_to_budget(cost, f1, min(options.budget, float(cost[-1])))
        rows.append((seed, area, float(np.interp(EARLY / SHARE * options.budget, cost, f1)), float(f1[-1])))
    return pd.DataFrame(rows, columns=["seed", *MEASURES])


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Paired gains over plain with 95 % intervals (Student's t over seeds).

    Args:
        runs: Columns ``NAMES``, seed and those of ``MEASURES``.

    Returns:
        Columns recipe, strategy, corpus, measure, gain, half (of the interval); the corpus ``mean`` is
        the mean of those that the recipe was played on.
    """
    lines = []
    for (strategy, recipe), own in runs.groupby(["strategy", "recipe"], sort=False):
        plain = runs[(runs["strategy"] == strategy) & (runs["recipe"] == "plain")]
        for name in MEASURES:
            table, base = (
                one.pivot(index="seed", columns="corpus", values=name)[list(dict.fromkeys(own["corpus"]))]
                for one in (own, plain)
            )
            apart = table - base
            apart["mean"] = apart.mean(axis=1)
            for corpus in apart:
                values = apart[corpus].to_numpy(np.float64)
                lines.append(
                    (recipe, strategy, corpus, name, float(values.mean()), float(half_interval(values)))
                )
    return pd.DataFrame(lines, columns=["recipe", "strategy", "corpus", "measure", "gain", "half"])


def page(runs: pd.DataFrame, found: pd.DataFrame, seeds: int) -> str:
    """Markdown: mean gains by strategy and measure, then the areas of every corpus.

    Recipes that were not played on every corpus are left out.
    """
    corpora = list(dict.fromkeys(runs["corpus"]))
    played = runs.groupby("recipe", sort=False)["corpus"].nunique()
    recipes = [str(name) for name, count in played.items() if count == len(corpora)]
    of = {
        (line["recipe"], line["strategy"], line["corpus"], line["measure"]): line
        for line in found.to_dict("records")
    }

    def cell(recipe: str, strategy: str, corpus: str, measure: str) -> str:
        line = of[recipe, strategy, corpus, measure]
        return f"{line['gain']:+.4f} ± {line['half']:.4f}"

    lines = [
        f"Linear tagger on frozen token states, test F1 of entities beyond plain, {seeds} paired seeds,",
        f"mean of {len(corpora)} corpora ({', '.join(corpora)}); ± is the 95 % interval over these seeds.",
        "Better / worse: corpora whose own interval of the area excludes 0.",
    ]
    for strategy in STRATEGIES:
        plain = runs[(runs["strategy"] == strategy) & (runs["recipe"] == "plain")]
        levels = [f"{plain.groupby('corpus')[name].mean().mean():.4f}" for name in MEASURES]
        lines += [
            "",
            f"| {strategy} | {' | '.join(MEASURES.values())} | better / worse | {' | '.join(corpora)} |",
            "| --- |" + " ---: |" * (len(MEASURES) + 1 + len(corpora)),
        ]
        areas = [f"{plain[plain['corpus'] == corpus]['area'].mean():.4f}" for corpus in corpora]
        lines.append(f"| plain | {' | '.join(levels)} | - | {' | '.join(areas)} |")
        for recipe in recipes:
            if recipe == "plain":
                continue
            each = [of[recipe, strategy, corpus, "area"] for corpus in corpora]
            counts = (sum(one["gain"] * sign > one["half"] for one in each) for sign in (1, -1))
            mean = [cell(recipe, strategy, "mean", name) for name in MEASURES]
            own = [cell(recipe, strategy, corpus, "area") for corpus in corpora]
            lines.append(
                f"| {recipe} | {' | '.join(mean)} | {' / '.join(map(str, counts))} | {' | '.join(own)} |"
            )
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Play what is not in the table yet, and write tables."""
    measured = {"rows": asked.rows, "tolerance": TaggerSettings().tolerance}
    runs = GrowingTable(asked.out / "tagger_runs.csv", NAMES, digits=5, settings=measured)
    wanted = [(one, EncoderConfig()) for one in asked.english]
    wanted += [(one, EncoderConfig(model=asked.chinese_encoder)) for one in asked.chinese]
    if not wanted:
        raise ReActError("There is nothing to play; name corpora with --english or --chinese.")
    for source, encoder in wanted:
        name = Path(source).name
        ways = [recipe for recipe in RECIPES if recipe in {"plain", *asked.recipes}]
        places = [(strategy, recipe) for strategy in STRATEGIES for recipe in ways]
        places = [own for own in places if not runs.holds(asked.seeds, **_place(name, *own))]
        if not places:
            continue
        corpus = prepare([CorpusConfig(corpus=source, name=name, max_rows=asked.rows)], encoder, "cpu")[0]
        for strategy, recipe in places:
            part = measure(corpus, strategy, RECIPES[recipe], asked.seeds)
            runs.add(part.assign(**_place(name, strategy, recipe)))
            say(f"{name}: {strategy}, {recipe}: {part['area'].mean():.4f}")
    found = gains(runs.frame[runs.frame["seed"] < asked.seeds])
    text = page(runs.frame, found, asked.seeds)
    write_atomically(asked.out / "tagger.md", text)
    return text


def _place(corpus: str, strategy: str, recipe: str) -> dict[str, str]:
    return {"corpus": corpus, "strategy": strategy, "recipe": recipe}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "tagger_recipes", "results/recipes/tagger", seeds=16)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="which")
    add_corpora(parser)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
