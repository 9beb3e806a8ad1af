"""What reinforcement learning adds in the choice of recipes: a policy that says in each round how to train.

Trainings are ``react-rl train results/rl/recipes.yaml`` and ``recipes-own.yaml``; this plays what they made
beside every fixed recipe and the best on the dev rows, on corpora that chose nothing. The mixture buys.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.agents import LearnedStrategy
from react_rl.agents.evaluation import Validation
from react_rl.agents.folder import is_policy
from react_rl.envs.interfaces.decision_units import DecisionUnits
from react_rl.errors import ReActError
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
from react_rl.files import write_atomically
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.recipes import Recipe, make_recipe
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World

BUYER: Final = "mixture"
ON_DEV: Final = "best on dev"
TRAININGS: Final = {"PPO on invented labels": "recipes", "PPO on own labels": "recipes-own"}
"""Policies, and the trainings that made them; one that is not there is left out."""

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


def on_tasks(
    config: TrainConfig, tasks: Sequence[EncodedCorpus], policies: Mapping[str, LearnedStrategy]
) -> dict[str, float]:
    """Mean dev area on validation tasks, by fixed recipes and policies; the episodes chose no policy."""

    def area(strategy: QueryStrategy, recipe: str) -> float:
        world = World(tasks, config.episode, SoftmaxSettings(recipe=make_recipe(recipe)))
        shown = metrics_of(strategy)
        found = Validation([world], config.agent.evaluation_episodes, CHOICE_SEED, observed=shown)
        return float(found.areas(strategy).mean())

    areas = {name: area(make_strategy(BUYER), name) for name in offered(config)}
    return areas | {name: area(policy, "plain") for name, policy in policies.items()}


def judged(
    ground: TransferCorpora,
    recipes: Sequence[str],
    policies: Mapping[str, LearnedStrategy],
    table: GrowingTable,
    seeds: int,
) -> None:
    """Area under the test curve of every run: strategy, corpus, seed, area; what is known stays. Mutates."""
    for name, recipe in (ways(recipes) | dict.fromkeys(policies)).items():
        strategy = policies[name] if recipe is None else make_strategy(BUYER)
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


def page(areas: pd.DataFrame, chosen: Mapping[str, pd.DataFrame], tasks: Mapping[str, float]) -> str:
    """Differences, areas by corpus and what was chosen, as Markdown.

    Args:
        areas: Columns strategy, corpus, seed, area.
        chosen: What ``shares`` found, by policy.
        tasks: What ``on_tasks`` found.
    """
    means = areas.groupby("strategy")["area"].mean().sort_values(ascending=False)
    names = [str(name) for name in means.index]
    recipes = [name for name in tasks if name not in chosen]
    by_tasks = max(recipes, key=lambda name: tasks[name])
    said = (
        ", ".join(f"{name} {of[name]:.4f}" for name in order)
        for of, order in ((means, names), (tasks, tasks))
    )
    lines = ["# Which recipe trains the learner, in numbers", ""]
    lines += [f"Mean areas: {next(said)}.", ""]
    lines += [f"Dev areas on the tasks: {next(said)}. So {by_tasks} is the fixed recipe that they chose.", ""]
    pairs = [(one, other) for one in chosen for other in dict.fromkeys((by_tasks, ON_DEV, *recipes))]
    pairs += [(one, other) for place, one in enumerate(chosen) for other in list(chosen)[:place]]
    pairs += [(ON_DEV, name) for name in recipes]
    lines.append(HEAD.format("way"))
    lines += [f"| {one} | {other} | {interval(areas, 'area', one, other)} |" for one, other in pairs]
    lines += ["", *_by_corpus(areas, "strategy", "area", names, ".4f")]
    for name, shares_of in chosen.items():
        lines += ["", f"Share of the rounds in which each recipe is chosen by {name}:", ""]
        lines += _by_corpus(shares_of, "recipe", "share", recipes, ".2f")
    return "\n".join([*lines, ""])


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
    folders = {name: asked.policies / training / "policy" for name, training in TRAININGS.items()}
    policies = {n: LearnedStrategy.load(folder, n) for n, folder in folders.items() if is_policy(folder)}
    tasks = on_tasks(config, prepare(config.validation, config.encoder, "cpu", False), policies)
    sizes = {"budget": config.episode.budget, "batch_size": config.episode.batch_size, "dev_size": DEV_SIZE}
    ground = TransferCorpora(asked.data, CHOICES, episode=sizes)
    table = GrowingTable(asked.out / "recipes.csv", _RUN)
    judged(ground, offered(config), policies, table, asked.seeds)
    chosen = {
        name: shares(policy, ground.corpora, ground.config.episode, asked.seeds)
        for name, policy in policies.items()
    }
    text = page(table.frame, chosen, tasks)
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
