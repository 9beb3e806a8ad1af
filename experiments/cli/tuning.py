"""The command `react-rl tune`."""

from __future__ import annotations

import argparse
from functools import partial

from react_rl.experiments.cli.screen import console, show_facts, tuning_progress
from react_rl.experiments.config.models import load_config
from react_rl.experiments.config.tuning import TuneConfig
from react_rl.experiments.run.train import dry_run
from react_rl.experiments.run.tune import run_tuning


def run_tune(known: argparse.Namespace, overrides: list[str]) -> int:
    """Search settings of a training and say what was found; returns the exit status."""
    config = load_config(TuneConfig, known.config, overrides)
    folder = known.results / config.name
    if known.dry_run:
        dry_run(config.training, folder, True, partial(show_facts, where=console))
        console.print(
            f"Would run {config.trials} trials of {config.training.agent.episodes} episodes each over "
            f"{', '.join(config.search)} and write {folder / 'best.yaml'}.",
            highlight=False,
        )
        return 0
    with tuning_progress() as report:
        found = run_tuning(config, known.results, report, overwrite=known.overwrite)
    console.print(
        f"Best of {config.trials} trials: validation area {found.area:.4f} "
        f"(finished ones {min(found.areas):.4f} to {max(found.areas):.4f}) with "
        + ", ".join(f"{key} {value}" for key, value in found.values.items()),
        highlight=False,
    )
    console.print(f"Config: {found.config}; its policy: {found.policy}", highlight=False)
    return 0
