"""`react-rl demo`: train on one half of the rows of two real corpora, compare on the other half."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from react_rl.experiments.cli.comparison import run_comparison
from react_rl.experiments.cli.plot import plot_results
from react_rl.experiments.cli.screen import aside, console, run_progress, show_facts, training_progress
from react_rl.experiments.config.models import CompareConfig, TrainConfig, load_config
from react_rl.experiments.run.strategies import resolve
from react_rl.experiments.run.train import run_training


def run_demo(
    results: Path, episodes: int | None = None, seeds: int | None = None, finetune: bool = False
) -> int:
    """Train, compare, draw; returns the exit status.

    Args:
        results: Folder for results; the demo writes below ``demo`` (and ``demo-finetune``).
        finetune: Compare on the learner that fine-tunes the transformer; the policy is trained on the
            frozen encoder all the same.
        episodes: Training episodes, if not those of the packaged config.
        seeds: Paired seeds, if not those of the packaged config.
    """
    started = time.monotonic()
    trained_with = ["--strategy", "demo-policy"]
    trained_with += [] if episodes is None else ["--agent.episodes", str(episodes)]
    compared_with = [] if seeds is None else ["--seeds", str(seeds)]
    training = load_config(TrainConfig, "demo-train", trained_with)
    comparison = load_config(CompareConfig, "demo-finetune" if finetune else "demo-compare", compared_with)
    for strategy in comparison.strategies:
        resolve(strategy)
    aside.print("1/2 Training a policy on the first half of the rows (the first run encodes the texts).")
    with training_progress() as report:
        trained = run_training(training, results, report, overwrite=True, on_facts=show_facts)
    how = "by fine-tuning the transformer in every round " if finetune else ""
    aside.print(f"2/2 Comparing it with fixed strategies {how}on the second half.")
    comparison = comparison.model_copy(update={"strategies": (str(trained.folder), *comparison.strategies)})
    with run_progress() as count:
        outcome = run_comparison(comparison, results, count, overwrite=True, on_facts=show_facts, draw=False)
    for reason in dict.fromkeys(failure["reason"] for failure in outcome.failures):
        print(f"react-rl: failed runs: {reason}", file=sys.stderr)
    if len(outcome.failures) == len(outcome.runs):
        return 1
    plot_results(outcome.folder.folder)
    console.print(f"Policy:  {trained.folder}", highlight=False)
    console.print(f"Done in {time.monotonic() - started:.0f} seconds.", highlight=False)
    return 1 if outcome.failures else 0
