"""The policy that ships against every rival where all of them may be trained by a recipe.

Each strategy gets the fixed recipe that is best for it on training corpora. The policy and the nearest rivals
are also played under the recipe that is best on dev in every round, the policy under a learned choice
(``recipe_evidence``) that is fitted on the training corpora. Corpora are dealt out into folds; each is judged
by what the other folds have taught.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
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
from react_rl.experiments.studies.packaged_corpora import packaged_configs
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
RIVALS: Final = ("mixture", "uncertainty-herding", "variance-reduction", "margin")
"""The rivals that come closest to the policy."""
FAR_RIVALS: Final = ("typiclust", "badge", "random")
"""Those that were .016 to .039 of area behind it under plain training; they get fewer seeds."""
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


def play_choices(
    ground: TransferCorpora, strategies: Sequence[str], areas: GrowingTable, seeds: int, kept: Path | None
) -> None:
    """Play what is missing of some strategies under recipes that are chosen round by round. Mutates.

    Args:
        ground: Corpora and episodes.
        strategies: Each is played under what is best on dev.
        areas: Where areas are kept.
        seeds: Paired episodes.
        kept: Folder of what the learned choice was fitted to, under which they are played too; None: not.
    """
    fold = folds([corpus.name for corpus in ground.corpora])
    choices = {} if kept is None else learned_choices(ground, kept)
    for corpus in ground.corpora:
        ways: dict[str, Choose] = {ON_DEV: on_dev}
        if choices:
            ways[CHOSEN] = choices[fold[corpus.name]]
        for strategy, (name, choose) in product(strategies, ways.items()):
            if not areas.holds(seeds, corpus=corpus.name, strategy=strategy, recipe=name):
                found = chosen_areas(ground, corpus, choose, seeds, RECIPES, strategy)
                part = {"corpus": corpus.name, "strategy": strategy, "recipe": name, "seed": range(seeds)}
                areas.add(pd.DataFrame(part | {"area": found}))
        say(f"chosen: {corpus.name}, {', '.join(strategies)}")


def with_best_fixed(areas: pd.DataFrame, corpora: Sequence[str]) -> pd.DataFrame:
    """Each strategy on each corpus under the recipe that is best for it on the corpora of the other folds.

    Args:
        areas: Columns corpus, strategy, recipe, seed, area.
        corpora: Their names, in the order in which they are dealt out.

    Returns:
        The lines chosen, their recipe as ``taken`` and ``recipe`` ``FIXED``; strategies that were played on
        all corpora.
    """
    fold = folds(corpora)
    means = areas[areas["recipe"].isin(list(RECIPES))]
    means = means.groupby(["strategy", "recipe", "corpus"], sort=False)["area"].mean().reset_index()
    parts = []
    for strategy, own in means.groupby("strategy", sort=False):
        if len(own) < len(corpora) * own["recipe"].nunique():
            continue  # not played everywhere yet
        for corpus in corpora:
            others = own[own["corpus"].map(fold) != fold[corpus]]
            best = str(others.groupby("recipe", sort=False)["area"].mean().idxmax())
            lines = areas[
                (areas["corpus"] == corpus) & (areas["strategy"] == strategy) & (areas["recipe"] == best)
            ]
            parts.append(lines.assign(taken=best, recipe=FIXED))
    return pd.concat(parts, ignore_index=True)


def gap(one: pd.DataFrame, other: pd.DataFrame) -> Gap:
    """How far the areas of one are ahead of another's."""
    first, second = (frame.set_index(["corpus", "seed"])["area"] for frame in (one, other))
    return Gap.paired(first, second)


def ways_of(areas: pd.DataFrame, corpora: Sequence[str]) -> dict[tuple[str, str], pd.DataFrame]:
    """Every strategy as it is compared: under plain training, its best fixed recipe, a choice.

    What was not played on all corpora yet is left out.
    """
    plain = areas[areas["recipe"] == "plain"]
    chosen = areas[areas["recipe"].isin([ON_DEV, CHOSEN])]
    whole = pd.concat([chosen, with_best_fixed(areas, corpora), plain], ignore_index=True)
    return {
        (str(strategy), str(recipe)): own
        for (strategy, recipe), own in whole.groupby(["strategy", "recipe"], sort=False)
        if own["corpus"].nunique() == len(corpora)
    }


def page(areas: pd.DataFrame, corpora: Sequence[str], seeds: int) -> str:
    """Markdown: the policy under each way to train minus every rival under its best fixed recipe."""
    ways = ways_of(areas, corpora)
    ours = [name for name in (CHOSEN, ON_DEV, FIXED, "plain") if (POLICY, name) in ways]
    rivals = [s for s in (*RIVALS, *FAR_RIVALS) if (s, FIXED) in ways]
    rivals.sort(key=lambda rival: gap(ways[POLICY, "plain"], ways[rival, FIXED]).mean)
    few = [rival for rival in rivals if rival in FAR_RIVALS]
    far = f" ({seeds_of(few[0], seeds)} of {', '.join(few)})" if few else ""
    lines = [
        f"Area under the test accuracy of `{POLICY}` minus that of each rival under the fixed recipe that is",
        f"best for it on the corpora of the other folds, the closest rival first; {len(corpora)} corpora,",
        f"{seeds} paired seeds{far}, 95 % t-intervals over seeds; in brackets",
        "corpora surely ahead / behind, and share of pairs won. Where it was played, rivals under what is",
        "best on dev in every round, too.",
        "",
        f"| rival | its recipe | {' | '.join(f'{POLICY}, {name}' for name in ours)} |",
        "| --- | --- |" + " --- |" * len(ours),
    ]
    for rival in rivals:
        taken = ways[rival, FIXED]["taken"].value_counts()
        said = {FIXED: ", ".join(map(str, taken.index)), ON_DEV: ON_DEV}
        for name in (FIXED, ON_DEV):
            if (rival, name) in ways:
                cells = [_gap_cell(ways[POLICY, own], ways[rival, name]) for own in ours]
                lines.append(f"| {rival} | {said[name]} | {' | '.join(cells)} |")
    lines += [
        "",
        "| strategy | best fixed minus plain | mean area under its best fixed recipe |",
        "| --- | --- | ---: |",
    ]
    for strategy in (POLICY, *rivals):
        fixed = ways[strategy, FIXED]
        mean = _mean_area(fixed)
        lines.append(f"| {strategy} | {_gap_cell(fixed, ways[strategy, 'plain'])} | {mean:.4f} |")
    parts = [lines, _same_recipe(areas, rivals), _by_corpus(ways, ours, rivals, corpora)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _same_recipe(areas: pd.DataFrame, rivals: Sequence[str]) -> list[str]:
    lines = [
        f"`{POLICY}` minus each rival, both under the same recipe, on all corpora:",
        "",
        f"| recipe | area of `{POLICY}` | {' | '.join(f'minus {rival}' for rival in rivals)} |",
        "| --- | ---: |" + " --- |" * len(rivals),
    ]
    for recipe in RECIPES:
        under = areas[areas["recipe"] == recipe]
        of = {name: under[under["strategy"] == name] for name in (POLICY, *rivals)}
        cells = [_gap_cell(of[POLICY], of[rival]) for rival in rivals]
        mean = _mean_area(of[POLICY])
        lines.append(f"| {recipe} | {mean:.4f} | {' | '.join(cells)} |")
    return lines


def _mean_area(areas: pd.DataFrame) -> float:
    return float(areas["area"].groupby(areas["corpus"]).mean().mean())


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
    """Play what is missing, the most telling first, and write areas and table after each part."""
    others = packaged_configs(asked.packaged, asked.corpora) if asked.packaged else []
    ground = TransferCorpora(asked.data, asked.corpora if not others else None, others=others)
    version = {POLICY: repr(make_strategy(POLICY))}
    areas = GrowingTable(asked.out / "recipes_for_all.csv", NAMES, settings=version)
    text = ""
    for play in (
        partial(play_fixed, ground, (POLICY, *RIVALS), areas, asked.seeds),
        partial(play_choices, ground, (POLICY,), areas, asked.seeds, asked.kept),
        partial(play_fixed, ground, FAR_RIVALS, areas, asked.seeds),
        partial(play_choices, ground, RIVALS, areas, asked.seeds, None),
    ):
        play()
        text = page(areas.frame, [corpus.name for corpus in ground.corpora], asked.seeds)
        write_atomically(asked.out / "recipes_for_all.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "recipes_for_all", "results/transfer", seeds=24, data=True)
    parser.add_argument("--packaged", type=Path, help="folder of `packaged_corpora`, in place of --data")
    parser.add_argument("--corpora", nargs="+", help="names in `transfer`, or there; the default is all")
    parser.add_argument("--kept", type=Path, default=Path("results/recipes-for-all"), help="rounds, kept")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
