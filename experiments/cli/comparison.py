"""A whole comparison: play what is missing, then write its tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.experiments.cli.plot import draw_results
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.report.text import counted
from react_rl.experiments.run.compare import play_comparison
from react_rl.experiments.run.outcome import Outcome
from react_rl.experiments.run.planning import check_before_encoding, check_same, check_strategies
from react_rl.experiments.run.results import ResultFolder
from react_rl.experiments.run.strategies import label
from react_rl.simulation.corpora import OnFacts, inspect_all


def dry_run(config: CompareConfig, results: Path, overwrite: bool, on_facts: OnFacts) -> str:
    """Check all that a comparison checks before it encodes, and say what it would play; nothing is written.

    Args:
        config: What to compare.
        results: Folder that holds the folders of all comparisons.
        overwrite: Replace another comparison that is in ``results/NAME``.
        on_facts: Told what the corpora hold.

    Raises:
        ReActError: Something in the config does not exist or does not fit.
    """
    check_strategies(config)
    folder = results / config.name
    if not overwrite:
        check_same(config, ResultFolder(folder))
    tasks: dict[str, CompareConfig] = {}

    def check(corpora: Sequence[Corpus]) -> None:
        tasks.update(check_before_encoding(config, corpora))

    asked = (config.encoder, config.device, config.episode_of, on_facts, check)
    corpora = inspect_all(config.corpora, *asked)
    names = [label(strategy) for strategy in config.strategies]
    said = [
        f"{task}: {', '.join(own.metrics)}, {own.episode.budget:g} cost units, learner {own.learner.kind}."
        for task, own in tasks.items()
    ]
    whole = (
        f"Would play {counted(len(names) * len(corpora) * config.seeds, 'run')}: "
        f"{counted(len(names), 'strategy', 'strategies')} ({', '.join(names)}) x "
        f"{counted(len(corpora), 'corpus', 'corpora')} ({', '.join(corpora)}) x "
        f"{counted(config.seeds, 'seed')}, and write {folder}."
    )
    return "\n".join([whole, *(said if len(said) > 1 else ())])


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
