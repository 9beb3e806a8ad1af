"""What learners keep from phase to phase: the protocol of five text sets in small, recipes side by side.

News topics, sentiment of places, an ontology, sentiment of films and kinds of questions come one after the
other, in two orders; the two of sentiment share their classes. All recipes begin with the same pools and
initial labels, and are measured on all sets when each has ended.

Source: de Masson d'Autume et al. 2019, Episodic memory in lifelong language learning, section 4.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.experiments.analysis.phases import PhaseRun, phase_frame, phase_run
from react_rl.experiments.config.learners import learner_config
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.growing import GrowingTable, this_machine
from react_rl.files import write_atomically
from react_rl.learners.recipes import ContinualSettings, Recipe
from react_rl.learners.recipes.registry import kinds_of
from react_rl.metrics.continual import NUMBERS
from react_rl.metrics.statistics import bootstrap_mean, paired_difference
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import validated

SETS: Final = ("yelp_sentences", "ag_news", "dbpedia14_few", "sst2", "trec6")
"""Order i of the paper; sst2 stands for its reviews of products, trec6 for its questions."""
ORDERS: Final = {"first": (0, 1, 2, 3, 4), "second": (1, 0, 3, 4, 2)}
"""Orders i and iv of the paper, as positions in ``SETS``."""

RECIPES: Final[dict[str, Recipe]] = {
    "joint": Recipe(),
    "sequential": Recipe(continual=ContinualSettings(kind="sequential")),
    "replay .1": Recipe(continual=ContinualSettings(kind="replay", share=0.1)),
    "replay .2": Recipe(continual=ContinualSettings(kind="replay", share=0.2)),
    "replay .5": Recipe(continual=ContinualSettings(kind="replay", share=0.5)),
    "ewc 1": Recipe(continual=ContinualSettings(kind="ewc", strength=1.0)),
    "ewc 10": Recipe(continual=ContinualSettings(kind="ewc", strength=10.0)),
    "ewc 100": Recipe(continual=ContinualSettings(kind="ewc", strength=100.0)),
    "lwf": Recipe(continual=ContinualSettings(kind="lwf")),
    "lwf 4": Recipe(continual=ContinualSettings(kind="lwf", distillation=4.0)),
    "adapters": Recipe(continual=ContinualSettings(kind="adapters", rows="inferred")),
    "adapters, known": Recipe(continual=ContinualSettings(kind="adapters", rows="known")),
}
"""What is measured: ``joint`` is the upper line, ``sequential`` the lower one; ``known`` is told the sets."""

LEARNERS: Final[dict[str, dict[str, object]]] = {
    "softmax": {"kind": "softmax"},
    "finetune": {
        "kind": "finetune",
        "finetune": {
            "model": "minilm",
            "method": "lora",
            "layers": 3,
            "epochs": 8,
            "learning_rate": 1e-3,
            "max_length": 32,
        },
    },
}
EPISODE: Final = EpisodeOptions(pool_size=1000, dev_size=250, initial_size=10, budget=200, batch_size=10)
"""200 pool rows of each set, 40 labels of each, 10 initial ones of the first."""
_ROWS: Final = 2500
_MATRIX: Final = ("order", "strategy and recipe", "after", "phase")


def measure(
    corpus: EncodedCorpus,
    recipe: Recipe,
    strategy: str,
    seeds: int,
    learner: str = "softmax",
    options: EpisodeOptions = EPISODE,
    test_rows: int = 1500,
) -> tuple[list[PhaseRun], float]:
    """Play a recipe with a strategy on a corpus that comes in phases.

    Args:
        corpus: The corpus.
        recipe: The recipe.
        strategy: Name of the query strategy.
        seeds: Paired episodes.
        learner: Which of ``LEARNERS``.
        options: Sizes of an episode.
        test_rows: Most test rows, as many of each set.

    Returns:
        Matrices of the seeds, and processor seconds of an episode.
    """
    config = learner_config(LEARNERS[learner]).model_copy(update={"recipe": recipe})
    started = time.process_time()
    played = play(
        corpus, make_strategy(strategy), range(seeds), options, ["accuracy"], test_rows, config.settings()
    )
    seconds = (time.process_time() - started) / seeds
    runs = [phase_run(result, "accuracy") for result in played.results]
    assert all(run is not None for run in runs), "every episode goes through all its phases"
    return [run for run in runs if run is not None], seconds


def numbers(order: str, strategy: str, recipe: str, runs: Sequence[PhaseRun], seconds: float) -> pd.DataFrame:
    """Every run in a line: order, strategy, recipe, seed, the numbers of its matrix, seconds."""
    named = {"order": order, "strategy": strategy, "recipe": recipe}
    return pd.DataFrame(
        [named | {"seed": seed} | asdict(run.numbers) | {"seconds": seconds} for seed, run in enumerate(runs)]
    )


def mean_matrices(order: str, name: str, runs: Sequence[PhaseRun]) -> pd.DataFrame:
    """Mean over seeds of what each phase was tested to when each had ended."""
    frame = phase_frame({(order, name, seed): run for seed, run in enumerate(runs)})
    mean = frame.groupby(["corpus", "strategy", "after", "phase"], sort=False)["test"].mean().reset_index()
    return mean.set_axis([*_MATRIX, "test"], axis=1)


def table(runs: pd.DataFrame) -> str:
    """The numbers as Markdown: means over orders, then over seeds, with 95 % intervals over the seeds.

    What a recipe is beyond ``sequential`` is of the orders in which both were played.
    """
    lines = [
        "| strategy | recipe | average | beyond sequential | learned | forgetting | backward | forward | s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for strategy, recipe in dict.fromkeys(zip(runs["strategy"], runs["recipe"], strict=True)):
        mine = runs[(runs["strategy"] == strategy) & (runs["recipe"] == recipe)]
        base = runs[(runs["strategy"] == strategy) & (runs["recipe"] == "sequential")]
        own, rng = _over_orders(mine), np.random.default_rng(0)
        cells = {name: bootstrap_mean(own[name].to_numpy(), rng) for name in NUMBERS}
        shared = set(mine["order"]) & set(base["order"])
        both = [_over_orders(part[part["order"].isin(shared)]) for part in (mine, base)]
        beyond = "" if recipe == "sequential" or not shared else _beyond(*both)
        forgotten = cells["forgetting"]
        lines.append(
            f"| {strategy} | {recipe} | {float(cells['average'].estimate):.3f} | {beyond} "
            f"| {float(cells['learned'].estimate):.3f} "
            f"| {float(forgotten.estimate):.3f} [{float(forgotten.low):.3f}, {float(forgotten.high):.3f}] "
            f"| {float(cells['backward'].estimate):+.3f} | {float(cells['forward'].estimate):+.3f} "
            f"| {own['seconds'].mean():.2f} |"
        )
    return "\n".join(lines) + "\n"


def _over_orders(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over orders, a line for each seed."""
    return runs.groupby("seed", sort=False)[[*NUMBERS, "seconds"]].mean()


def _beyond(own: pd.DataFrame, other: pd.DataFrame) -> str:
    difference = paired_difference(
        own["average"].to_numpy(), other["average"].to_numpy(), np.random.default_rng(0)
    )
    return difference.signed(3)


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write numbers, matrices and table."""
    kind = LEARNERS[asked.learner]["kind"]
    able = [name for name, recipe in RECIPES.items() if kind in kinds_of(recipe)]
    names = list(dict.fromkeys(["sequential", *(asked.recipes or able)]))
    recipes = {name: recipe for name, recipe in RECIPES.items() if name in names}
    changes = {"budget": asked.budget, "batch_size": asked.batch_size}
    options = validated(EpisodeOptions, EPISODE.model_dump() | changes, "Episodes")
    configs = [_config(asked.data, asked.sets, order) for order in asked.orders]
    corpora = prepare(configs, EncoderConfig(max_length=128), "auto", episode=options)
    settings = {
        "sets": list(asked.sets), "seeds": asked.seeds, "budget": asked.budget,
        "batch_size": asked.batch_size, "test_rows": asked.test_rows,
    }  # fmt: skip
    if asked.learner == "finetune":
        settings |= this_machine()
    file = asked.out / f"{asked.learner}.csv"
    runs = GrowingTable(file, ("order", "strategy", "recipe"), digits=5, settings=settings)
    matrices = GrowingTable(file.with_name(f"{asked.learner}_matrices.csv"), _MATRIX, (), digits=4)
    for corpus in corpora:
        for strategy in asked.strategies:
            for name, recipe in recipes.items():
                if runs.holds(asked.seeds, order=corpus.name, strategy=strategy, recipe=name):
                    continue
                sizes = (asked.seeds, asked.learner, options, asked.test_rows)
                own, seconds = measure(corpus, recipe, strategy, *sizes)
                matrices.add(mean_matrices(corpus.name, f"{strategy}, {name}", own))
                runs.add(numbers(corpus.name, strategy, name, own, seconds))
                say(f"{corpus.name}, {strategy}, {name}: {seconds:.2f} s an episode")
    page = table(runs.frame)
    write_atomically(asked.out / f"{asked.learner}.md", page)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "continual", "results/continual", seeds=32)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds the five sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="names in that folder, in order i")
    parser.add_argument("--orders", nargs="+", default=list(ORDERS), choices=list(ORDERS), help="which")
    parser.add_argument("--strategies", nargs="+", default=["random", "margin"], help="query strategies")
    parser.add_argument(
        "--recipes", nargs="+", choices=list(RECIPES), help="which (default: all of the learner)"
    )
    parser.add_argument("--learner", default="softmax", choices=list(LEARNERS), help="which")
    parser.add_argument("--budget", type=int, default=200, help="labels bought, the same for each set")
    parser.add_argument("--batch-size", type=int, default=10, help="labels of a round")
    parser.add_argument("--test-rows", type=int, default=1500, help="most test rows, as many of each set")
    return run_study(parser, arguments, study)


def _config(data: Path, sets: Sequence[str], order: str) -> CorpusConfig:
    """The sets one after the other, as a corpus that is called like the order."""
    places = [place for place in ORDERS[order] if place < len(sets)]
    first, *rest = (str(data / sets[place]) for place in places)
    return CorpusConfig(corpus=first, then=tuple(rest), max_rows=_ROWS, name=order)


if __name__ == "__main__":
    sys.exit(main())
