"""The command `react-rl adjust`."""

from __future__ import annotations

import argparse
from functools import partial

from react_rl.experiments.cli.screen import adjustment_progress, console, show_facts
from react_rl.experiments.config.models import AdjustConfig, load_config
from react_rl.experiments.run.adjust import dry_run, run_adjustment


def run_adjust(known: argparse.Namespace, overrides: list[str]) -> int:
    """Adjust a policy and say what came of it; returns the exit status."""
    config = load_config(AdjustConfig, known.config, overrides)
    settings, folder = config.adjustment, known.results / config.name / "policy"
    weights = len(settings.directions) * (len(settings.gates) + 1)
    if known.dry_run:
        dry_run(config, known.results, known.overwrite, partial(show_facts, where=console))
        pairs = settings.updates * settings.pairs * len(settings.batch_sizes)
        console.print(
            f"Would adjust {weights} weights of {settings.start} by {pairs:,} pairs of episodes and write "
            f"{folder}.",
            highlight=False,
        )
        return 0
    with adjustment_progress() as report:
        adjusted = run_adjustment(
            config, known.results, report, overwrite=known.overwrite, on_facts=show_facts
        )
    card = adjusted.card
    first, best = card.validation[0]["area"], max(point["area"] for point in card.validation)
    console.print(f"Policy: {adjusted.folder}", highlight=False)
    console.print(
        f"Validation area {best:.4f} after {card.chosen_at:,} episodes; {settings.start} {first:.4f}, "
        + ", ".join(f"{name} {area:.4f}" for name, area in card.baselines.items()),
        highlight=False,
    )
    return 0
