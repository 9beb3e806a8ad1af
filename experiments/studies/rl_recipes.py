"""What reinforcement learning adds in the choice of recipes: a policy that says in each round how to train.

The training is ``react-rl train results/rl/recipes.yaml``; this plays what it made beside every fixed recipe
and the best on the dev rows, on corpora that chose nothing. The mixture buys in all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import torch

from react_rl.acquisition.registry import make_strategy
from react_rl.agents import LearnedStrategy
from react_rl.agents.evaluation import Validation
from react_rl.agents.folder import WEIGHTS
from react_rl.envs.interfaces.decision_units import DecisionUnits
from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.config.models import TrainConfig, load_config
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora
from react_rl.experiments.studies.rl_against_imitation import (
    CHOICE_SEED,
    DEV_SIZE,
    HEAD,
    SEEDS,
    begun,
    interval,
    metrics_of,
)
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import digest, write_atomically
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.recipes import Recipe, make_recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World

BUYER: Final = "mixture"
POLICY: Final = "policy"
ON_DEV: Final = "best on dev"
_RUN: Final = ("strategy", "corpus")


def offered(config: TrainConfig) -> tuple[str, ...]:
    """The recipes that the policy of a training chooses from.

    Raises:
        ReActError: It chooses none.
    """
    if config.action_space.recipes is None:
        raise ReActError(f"The training {config.name} chooses no recipes; name some in action_space.recipes.")
    return config.action_space.recipes


def ways(names: Sequence[str]) -> dict[str, Recipe]:
    """What the policy is compared with: each recipe by itself, and the best on dev in every round."""
    return {name: make_recipe(name) for name in names} | {ON_DEV: Recipe(best_on_dev=tuple(names))}


def chosen_by_tasks(config: TrainConfig, tasks: Sequence[EncodedCorpus]) -> str:
    """The fixed recipe with the best dev area on validation tasks, on episodes that chose no policy."""
    areas = {}
    for name in offered(config):
        world = World(tasks, config.episode, SoftmaxSettings(recipe=make_recipe(name)))
        found = Validation([world], config.agent.evaluation_episodes, CHOICE_SEED)
        areas[name] = float(found.areas(make_strategy(BUYER)).mean())
    say(f"areas on the tasks: {', '.join(f'{name} {area:.4f}' for name, area in areas.items())}")
    return max(areas, key=lambda name: areas[name])


def judged(ground: TransferCorpora, policy: LearnedStrategy, table: GrowingTable, seeds: int) -> None:
    """Area under the test curve of every run: strategy, corpus, seed, area; what is known stays. Mutates."""
    for name, recipe in (ways(_recipes_of(policy)) | {POLICY: None}).items():
        strategy = policy if recipe is None else make_strategy(BUYER)
        learner = SoftmaxSettings() if recipe is None else SoftmaxSettings(recipe=recipe)
        for corpus in ground.corpora:
            if not table.holds(seeds, strategy=name, corpus=corpus.name):
                table.add(ground.areas(corpus, strategy, name, seeds, learner))
        say(f"{name}: {table.frame.loc[table.frame['strategy'] == name, 'area'].mean():.4f}")


@torch.inference_mode()
def shares(
    policy: LearnedStrategy, corpora: Sequence[EncodedCorpus], options: EpisodeOptions, seeds: int
) -> pd.DataFrame:
    """How often the policy chooses each recipe: columns corpus, recipe, share of the rounds."""
    names, rows = _recipes_of(policy), []
    for corpus in corpora:
        engine = begun(corpus, options, 0, seeds, metrics_of(policy))
        counts, rounds = dict.fromkeys(names, 0), 0
        while not engine.finished.all():
            ids, recipes = policy.choose(engine.view, options.batch_size)
            engine.step(ids, recipes)
            assert recipes is not None, "the policy chooses recipes"
            for name in names:
                counts[name] += sum(recipe == make_recipe(name) for recipe in recipes)
            rounds += seeds
        rows += [(corpus.name, name, round(count / rounds, 4)) for name, count in counts.items()]
    return pd.DataFrame(rows, columns=["corpus", "recipe", "share"])


def page(areas: pd.DataFrame, chosen: pd.DataFrame, by_tasks: str) -> str:
    """Differences, areas by corpus and what was chosen, as Markdown."""
    means = areas.groupby("strategy")["area"].mean().sort_values(ascending=False)
    names = [str(name) for name in means.index]
    recipes = list(dict.fromkeys(chosen["recipe"]))
    lines = ["# Which recipe trains the learner, in numbers", ""]
    lines += [
        "Mean areas: "
        + ", ".join(f"{name} {means[name]:.4f}" for name in names)
        + ". The fixed recipe that the "
        f"tasks chose is {by_tasks}.",
        "",
        HEAD.format("way"),
    ]
    pairs = [(POLICY, name) for name in dict.fromkeys((by_tasks, ON_DEV, *recipes))]
    pairs += [(ON_DEV, name) for name in recipes]
    lines += [f"| {one} | {other} | {interval(areas, 'area', one, other)} |" for one, other in pairs]
    lines += ["", *_by_corpus(areas, "strategy", "area", names, ".4f"), ""]
    lines += ["Share of the rounds in which the policy chooses each recipe:", ""]
    return "\n".join([*lines, *_by_corpus(chosen, "recipe", "share", recipes, ".2f"), ""])


def _by_corpus(frame: pd.DataFrame, kind: str, value: str, names: Sequence[str], form: str) -> list[str]:
    each = frame.pivot_table(index="corpus", columns=kind, values=value, sort=False)[list(names)]
    return [
        "| corpus | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
        *(
            f"| {corpus} | " + " | ".join(format(one, form) for one in row) + " |"
            for corpus, row in zip(each.index, each.to_numpy(), strict=True)
        ),
    ]


def _recipes_of(policy: LearnedStrategy) -> tuple[str, ...]:
    interface = policy.interface
    assert isinstance(interface, DecisionUnits), "the config names decision-units"
    assert interface.recipes is not None, "the config names recipes"
    return interface.recipes


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write the tables; returns the page."""
    config = load_config(TrainConfig, str(asked.out / "recipes.yaml"))
    folder = asked.policies / "recipes" / "policy"
    policy = LearnedStrategy.load(folder, POLICY)
    by_tasks = chosen_by_tasks(config, prepare(config.validation, config.encoder, "cpu", False))
    sizes = {"budget": config.episode.budget, "batch_size": config.episode.batch_size, "dev_size": DEV_SIZE}
    ground = TransferCorpora(asked.data, CHOICES, episode=sizes)
    version = {POLICY: digest((folder / WEIGHTS).read_bytes())}
    table = GrowingTable(asked.out / "recipes.csv", _RUN, settings=version)
    judged(ground, policy, table, asked.seeds)
    chosen = shares(policy, ground.corpora, ground.config.episode, asked.seeds)
    write_atomically(asked.out / "recipes_chosen.csv", csv_text(chosen))
    text = page(table.frame, chosen, by_tasks)
    write_atomically(asked.out / "recipes.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "rl_recipes", "results/rl", SEEDS, data=True)
    parser.add_argument(
        "--policies", type=Path, default=Path("results/rl/policies"), help="where the training wrote"
    )
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
