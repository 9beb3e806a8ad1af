"""A whole comparison: play what is missing, then write its tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from react_rl.errors import ReActError
from react_rl.experiments.cli.plot import draw_results
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.compare import play_comparison
from react_rl.experiments.run.outcome import Outcome
from react_rl.simulation.corpora import OnFacts


def run_comparison(
    config: CompareConfig,
    results: str | Path,
    report: Callable[[int, int], None] | None = None,
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
    overwrite: bool = False,
    on_facts: OnFacts | None = None,
    draw: bool = True,
) -> Outcome:
    """Run what is missing of a comparison, and write its tables and figures.

    Args:
        config: What to compare.
        results: Folder that holds the folders of all comparisons.
        report: Called with finished and all runs, first before anything is played.
        progress: Show the encoder's progress.
        tell: Told after each round of fine-tuning what is going on, where one process plays everything.
        overwrite: Replace another comparison that is in ``results/NAME``.
        on_facts: Told what the corpora hold, before anything is encoded or played.
        draw: Write tables and figures, where enough has been played for them.

    Raises:
        ReActError: Something in the config does not exist or does not fit; nothing was written then.
        WriteError: A result cannot be written; what was finished before is kept.
    """
    outcome = play_comparison(config, results, report, progress, tell, overwrite, on_facts)
    if draw:
        # Failures are in the outcome; what they leave may not suffice for a summary.
        with suppress(ReActError) if outcome.failures else nullcontext():
            draw_results(outcome.folder.folder)
    return outcome
