"""The commands `react-rl train`, `imitate` and `adjust`: a dry run, or a training and what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from react_rl.agents.folder import PolicyCard
from react_rl.experiments.cli.screen import (
    adjustment_progress,
    console,
    imitation_progress,
    show_facts,
    training_progress,
)
from react_rl.experiments.config.models import AdjustConfig, ImitateConfig, TrainConfig, load_config
from react_rl.experiments.run import adjust, imitate, train
from react_rl.experiments.run.training_folder import Trained


@dataclass(frozen=True)
class Kind:
    """One way to train a policy.

    Args:
        config: Class of its config.
        dry_run: Checks a config and tells what the corpora hold.
        run: Trains.
        progress: Shows how far it is.
        would: What a config asks for, as "Would ... and write FOLDER.".
        became: From config and card, the validation area of the policy that was kept, and beside what.
    """

    config: type[TrainConfig | ImitateConfig | AdjustConfig]
    dry_run: Callable[..., None]
    run: Callable[..., Trained]
    progress: Callable[[], AbstractContextManager[Callable[[Any], None]]]
    would: Callable[[Any], str]
    became: Callable[[Any, PolicyCard], str]


def _would_train(config: TrainConfig) -> str:
    return f"train {config.agent.algorithm} for {config.agent.episodes} episodes on {_corpora(config)}"


def _would_imitate(config: ImitateConfig) -> str:
    settings = config.imitation
    states = settings.states + settings.dagger_rounds * settings.dagger_states
    return (
        f"try {settings.candidates} candidates at each of {states:,} states on tasks from "
        f"{_corpora(config)}, fit {settings.networks} networks"
    )


def _would_adjust(config: AdjustConfig) -> str:
    settings = config.adjustment
    weights = len(settings.directions) * (len(settings.gates) + 1)
    pairs = settings.updates * settings.pairs * len(settings.batch_sizes)
    return f"adjust {weights} weights of {settings.start} by {pairs:,} pairs of episodes"


def _corpora(config: TrainConfig | ImitateConfig) -> str:
    return ", ".join(one.name or one.corpus for one in config.corpora)


def _trained(config: TrainConfig, card: PolicyCard) -> str:
    return f"{max(point['area'] for point in card.validation):.4f} after {card.chosen_at:,} episodes; "


def _imitated(config: ImitateConfig, card: PolicyCard) -> str:
    return f"{card.validation[-1]['area']:.4f}; "


def _adjusted(config: AdjustConfig, card: PolicyCard) -> str:
    best, first = max(point["area"] for point in card.validation), card.validation[0]["area"]
    return f"{best:.4f} after {card.chosen_at:,} episodes; {config.adjustment.start} {first:.4f}, "


KINDS: Final = {
    "train": Kind(TrainConfig, train.dry_run, train.run_training, training_progress, _would_train, _trained),
    "imitate": Kind(
        ImitateConfig, imitate.dry_run, imitate.run_imitation, imitation_progress, _would_imitate, _imitated
    ),
    "adjust": Kind(
        AdjustConfig,
        adjust.dry_run,
        adjust.run_adjustment,
        adjustment_progress,
        _would_adjust,
        _adjusted,
    ),
}
"""Ways to train a policy, by the name of the command."""


def run_kind(known: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Train a policy, or say what would be done; returns the exit status.

    Args:
        known: Arguments of the command.
        overrides: Further ones, which override keys of the config.

    Raises:
        ReActError: Something in the config does not exist or does not fit.
        WriteError: A file cannot be written.
    """
    kind = KINDS[known.command]
    config = load_config(kind.config, known.config, overrides)
    if known.dry_run:
        kind.dry_run(config, known.results, known.overwrite, partial(show_facts, where=console))
        folder = known.results / config.name / "policy"
        console.print(f"Would {kind.would(config)} and write {folder}.", highlight=False)
        return 0
    with kind.progress() as report:
        trained = kind.run(config, known.results, report, overwrite=known.overwrite, on_facts=show_facts)
    card = trained.card
    baselines = ", ".join(f"{name} {area:.4f}" for name, area in card.baselines.items())
    console.print(f"Policy: {trained.folder}", highlight=False)
    console.print(f"Validation area {kind.became(config, card)}{baselines}", highlight=False)
    return 0
