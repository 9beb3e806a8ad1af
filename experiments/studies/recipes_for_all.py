"""The policy that ships against every rival where all of them may be trained by a recipe.

Each strategy gets the fixed recipe that is best for it on training corpora. `learned` is also played under
the recipe that is best on dev in every round, and under a learned choice (``recipe_evidence``) that is fitted
on the training corpora. Corpora are dealt out into folds; each is judged by what the other folds have taught.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from react_rl.acquisition.registry import make_strategy
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import METRIC, TransferCorpora
from react_rl.experiments.studies.recipe_choice import (
    begun,
    collect,
    keep_rounds,
    kept_rounds,
    learned,
)
from react_rl.experiments.studies.recipe_evidence import MENU, Evidence, LinearChoice, Watch
from react_rl.files import write_atomically
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.recipes import Recipe
from react_rl.metrics.curves import area_to_budget
from react_rl.simulation.encoded import EncodedCorpus

POLICY: Final = "learned"
RIVALS: Final = ("mixture", "uncertainty-herding")
"""The rivals that were closest to the policy under plain training."""
FAR_RIVALS: Final = ("variance-reduction", "typiclust", "margin", "badge", "random")
"""Those that were .008 to .039 of area behind it; they get fewer seeds, and are played last."""
RECIPES: Final[dict[str, Recipe]] = {
    name: MENU[name] for name in ("plain", "smooth", "strong", "hast + smooth .3")
}
"""What may be chosen; ``smooth`` is the preset ``cheap``."""
FOLDS: Final = 3
FIXED: Final = "best fixed recipe"
ON_DEV: Final = "best on dev"
CHOSEN: Final = "learned choice"
NAMES: Final = ("corpus", "strategy", "recipe")
_FIRST_TRAINING_SEED: Final = 1000
_TRAINING_SEEDS: Final = 8

Choose = Callable[[Evidence], npt.NDArray[np.int64]]
"""From what is seen in a round to the position of each episode's recipe ``(E,)``."""


def folds(corpora: Sequence[str]) -> dict[str, int]:
    """Fold of each corpus: every third one of those listed."""
    return {name: place % FOLDS for place, name in enumerate(corpora)}


def on_dev(seen: Evidence) -> npt.NDArray[np.int64]:
    """The recipe with the best dev accuracy, log-loss deciding among equals."""
    found: npt.NDArray[np.int64] = seen.dev.argmax(1)
    return found


@torch.inference_mode()
def chosen_areas(
    ground: TransferCorpora,
    corpus: EncodedCorpus,
    choose: Choose,
    seeds: int,
    menu: Mapping[str, Recipe],
    strategy: str = POLICY,
) -> npt.NDArray[np.float64]:
    """Area under the test accuracy ``(S,)`` where a recipe is chosen whenever labels have come."""
    options, recipes = ground.config.episode, list(menu.values())
    engine, chooser = begun(corpus, range(seeds), options), make_strategy(strategy)
    watch, test = Watch(engine, recipes), TestSplit(corpus, ground.config.test_size)
    cost, accuracy = [], []
    while True:
        places = choose(watch.look())
        engine.learn(recipes=[recipes[place] for place in places])  # nothing is bought: recipes change
        cost.append(engine.spent.copy())
        accuracy.append(test.measure(engine, [METRIC])[METRIC])
        if engine.finished.all():
            break
        engine.buy(chooser.select(engine.view, options.batch_size))
        engine.learn()
    spent, reached = np.stack(cost, 1), np.stack(accuracy, 1)
    return np.array([area_to_budget(*one, options.budget) for one in zip(spent, reached, strict=True)])


def seeds_of(strategy: str, seeds: int) -> int:
    """Paired episodes of a strategy: a third for those that were far behind."""
    return max(seeds // 3, 2) if strategy in FAR_RIVALS else seeds


def play_fixed(ground: TransferCorpora, strategies: Sequence[str], areas: GrowingTable, seeds: int) -> None:
    """Play what is missing of some strategies under every recipe. Mutates."""
    for corpus in ground.corpora:
        for strategy in strategies:
            own = seeds_of(strategy, seeds)
            for name, recipe in RECIPES.items():
                if not areas.holds(own, corpus=corpus.name, strategy=strategy, recipe=name):
                    learner = SoftmaxSettings(recipe=recipe)
                    part = ground.areas(corpus, make_strategy(strategy), strategy, own, learner)
                    areas.add(part.assign(recipe=name))
        say(f"played: {corpus.name}, {', '.join(strategies)}")


def learned_choices(ground: TransferCorpora, kept: Path) -> dict[int, LinearChoice]:
    """The learned choice for each fold, fitted on the corpora of the others; what was seen is kept."""
    fold = folds([corpus.name for corpus in ground.corpora])
    seeds = range(_FIRST_TRAINING_SEED, _FIRST_TRAINING_SEED + _TRAINING_SEEDS)
    rounds = {}
    for corpus in ground.corpora:
        file = kept / f"{corpus.name}.npz"
        if not file.is_file():
            found = collect(corpus, [POLICY], seeds, None, ground.config.episode, RECIPES)
            keep_rounds(file, [found])
        (rounds[corpus.name],) = kept_rounds(file, 1, corpus.name)
    return {
        k: learned([rounds[name] for name in rounds if fold[name] != k], [])[0] for k in set(fold.values())
    }


def play_choices(ground: TransferCorpora, areas: GrowingTable, seeds: int, kept: Path) -> None:
    """Play what is missing of the policy under recipes that are chosen round by round. Mutates."""
    fold, choices = folds([corpus.name for corpus in ground.corpora]), learned_choices(ground, kept)
    for corpus in ground.corpora:
        ways: dict[str, Choose] = {ON_DEV: on_dev, CHOSEN: choices[fold[corpus.name]]}
        for name, choose in ways.items():
            if not areas.holds(seeds, corpus=corpus.name, strategy=POLICY, recipe=name):
                found = chosen_areas(ground, corpus, choose, seeds, RECIPES)
                part = {"corpus": corpus.name, "strategy": POLICY, "recipe": name, "seed": range(seeds)}
                areas.add(pd.DataFrame(part | {"area": found}))
        say(f"chosen: {corpus.name}")


def with_best_fixed(areas: pd.DataFrame, corpora: Sequence[str]) -> pd.DataFrame:
    """Each strategy on each corpus under the recipe that is best for it on the corpora of the other folds.

    Args:
        areas: Columns corpus, strategy, recipe, seed, area.
        corpora: Their names, in the order in which they are dealt out.

    Returns:
        The lines chosen, their recipe as ``taken`` and ``recipe`` ``FIXED``.
    """
    fold = folds(corpora)
    means = areas[areas["recipe"].isin(list(RECIPES))]
    means = means.groupby(["strategy", "recipe", "corpus"], sort=False)["area"].mean().reset_index()
    parts = []
    for strategy, own in means.groupby("strategy", sort=False):
        for corpus in corpora:
            others = own[own["corpus"].map(fold) != fold[corpus]]
            best = str(others.groupby("recipe", sort=False)["area"].mean().idxmax())
            lines = areas[
                (areas["corpus"] == corpus) & (areas["strategy"] == strategy) & (areas["recipe"] == best)
            ]
            parts.append(lines.assign(taken=best, recipe=FIXED))
    return pd.concat(parts, ignore_index=True)


def gap(one: pd.DataFrame, other: pd.DataFrame) -> Gap:
    """How far one is ahead of another on the corpora and seeds that both have."""
    key = ["corpus", "seed"]
    both = one.set_index(key)["area"].to_frame("one").join(other.set_index(key)["area"].rename("other"))
    return Gap.of((both["one"] - both["other"]).unstack("corpus").dropna().to_numpy(float))


def ways_of(areas: pd.DataFrame, corpora: Sequence[str]) -> dict[tuple[str, str], pd.DataFrame]:
    """Every strategy as it is compared: under plain training, its best fixed recipe, a choice."""
    plain = areas[areas["recipe"] == "plain"]
    chosen = areas[areas["recipe"].isin([ON_DEV, CHOSEN])]
    whole = pd.concat([chosen, with_best_fixed(areas, corpora), plain], ignore_index=True)
    return {
        (str(strategy), str(recipe)): own
        for (strategy, recipe), own in whole.groupby(["strategy", "recipe"], sort=False)
    }


def page(areas: pd.DataFrame, corpora: Sequence[str], seeds: int) -> str:
    """Markdown: the policy under each way to train minus every rival under its best fixed recipe."""
    ways = ways_of(areas, corpora)
    ours = [name for name in (CHOSEN, ON_DEV, FIXED, "plain") if (POLICY, name) in ways]
    rivals = [s for s in (*RIVALS, *FAR_RIVALS) if (s, FIXED) in ways]
    rivals.sort(key=lambda s: -_compared(ways[s, FIXED], seeds_of(s, seeds)))
    lines = [
        f"Area under the test accuracy of `{POLICY}` minus that of each rival under the fixed recipe that is "
        "best for it on",
        f"the corpora of the other folds; {len(corpora)} corpora, {seeds} paired seeds "
        f"({seeds_of(FAR_RIVALS[0], seeds)} of {', '.join(FAR_RIVALS)}), 95 % t-intervals over seeds; "
        "in brackets corpora",
        "surely ahead / behind, and share of pairs won.",
        "",
        f"| rival | its recipe | {' | '.join(f'{POLICY}, {name}' for name in ours)} |",
        "| --- | --- |" + " --- |" * len(ours),
    ]
    for rival in rivals:
        taken = ways[rival, FIXED]["taken"].value_counts()
        cells = [_gap_cell(ways[POLICY, name], ways[rival, FIXED]) for name in ours]
        lines.append(f"| {rival} | {', '.join(map(str, taken.index))} | {' | '.join(cells)} |")
    lines += [
        "",
        "| strategy | best fixed minus plain | mean area under its best fixed recipe |",
        "| --- | --- | ---: |",
    ]
    for strategy in (POLICY, *rivals):
        fixed = ways[strategy, FIXED]
        mean = fixed["area"].groupby(fixed["corpus"]).mean().mean()
        lines.append(f"| {strategy} | {_gap_cell(fixed, ways[strategy, 'plain'])} | {mean:.4f} |")
    return "\n".join([*lines, "", *_by_corpus(ways, ours, rivals, corpora)]) + "\n"


def _compared(own: pd.DataFrame, seeds: int) -> float:
    """Mean area over corpora, of the first seeds."""
    first = own[own["seed"] < seeds]
    return float(first.groupby("corpus")["area"].mean().mean())


def _gap_cell(one: pd.DataFrame, other: pd.DataFrame) -> str:
    found = gap(one, other)
    sure = f"{found.surely_ahead} / {found.surely_behind}"
    return f"{found.mean:+.4f} ± {found.half:.4f} ({sure}; {found.won:.2f})"


def _by_corpus(
    ways: Mapping[tuple[str, str], pd.DataFrame],
    ours: Sequence[str],
    rivals: Sequence[str],
    corpora: Sequence[str],
) -> list[str]:
    best = rivals[0]
    lines = [
        f"By corpus, minus {best} under its best fixed recipe; * where the interval excludes 0:",
        "",
        f"| corpus | area of {best} | {' | '.join(f'{POLICY}, {name}' for name in ours)} |",
        "| --- | ---: |" + " ---: |" * len(ours),
    ]
    for corpus in corpora:
        rival = ways[best, FIXED]
        there = rival[rival["corpus"] == corpus]
        cells = []
        for name in ours:
            own = ways[POLICY, name]
            found = gap(own[own["corpus"] == corpus], there)
            cells.append(f"{found.mean:+.4f}{found.star}")
        lines.append(f"| {corpus} | {there['area'].mean():.4f} | {' | '.join(cells)} |")
    return lines


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write the areas and the table."""
    ground = TransferCorpora(asked.data, asked.corpora)
    areas = GrowingTable(asked.out / "recipes_for_all.csv", NAMES)
    play_fixed(ground, (POLICY, *RIVALS), areas, asked.seeds)
    play_choices(ground, areas, asked.seeds, asked.kept)
    play_fixed(ground, FAR_RIVALS, areas, asked.seeds)
    text = page(areas.frame, [corpus.name for corpus in ground.corpora], asked.seeds)
    write_atomically(asked.out / "recipes_for_all.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "recipes_for_all", "results/transfer", seeds=24, data=True)
    parser.add_argument("--corpora", nargs="+", help="names in `transfer`; the default is all")
    parser.add_argument("--kept", type=Path, default=Path("results/recipes-for-all"), help="rounds, kept")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
