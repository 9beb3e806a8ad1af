"""Running a comparison: plan the runs, play what is missing in blocks of seeds, write a file for each."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import with_place
from react_rl.experiments.config.frozen import check_config
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.altered import Ground, alter
from react_rl.experiments.run.bought import write_bought
from react_rl.experiments.run.claim import claimed
from react_rl.experiments.run.devices import devices_of, waves
from react_rl.experiments.run.episodes import TestSplit, one_thread, play
from react_rl.experiments.run.final_models import final_models_of
from react_rl.experiments.run.full_data import FullData
from react_rl.experiments.run.outcome import Outcome
from react_rl.experiments.run.planning import (
    Part,
    check_before_encoding,
    check_same,
    check_strategies,
    parts_of,
    plan,
    write_plan,
)
from react_rl.experiments.run.results import SCHEMA, ResultFolder, RunId, circumstances
from react_rl.experiments.run.strategies import (
    label,
    only_here,
    resolve,
    surprised,
)
from react_rl.experiments.run.workers import Death, Workers, usable_processors
from react_rl.files import WriteError, digest, remove_abandoned
from react_rl.learners.registry import entry_of
from react_rl.pulse import pulse
from react_rl.simulation.checkpoint import Checkpoint
from react_rl.simulation.corpora import OnFacts, prepare
from react_rl.simulation.encoded import EncodedCorpus

BLOCK: Final = 32
"""Seeds that are played in lockstep. Blocks begin at multiples of this, whatever is already finished, so
that a comparison which was stopped computes the same numbers in the same batch."""


@dataclass(frozen=True)
class Block:
    """A strategy on a corpus with up to ``BLOCK`` seeds."""

    corpus: str
    strategy: str
    runs: tuple[RunId, ...]


def blocks(runs: Sequence[RunId], finished: Callable[[RunId], bool]) -> list[Block]:
    """Group runs into blocks of seeds and keep those in which something is missing."""
    groups: dict[tuple[str, str, int], list[RunId]] = defaultdict(list)
    for run in runs:
        groups[run.corpus, run.strategy, run.seed // BLOCK].append(run)
    return [
        Block(corpus, strategy, tuple(members))
        for (corpus, strategy, _), members in groups.items()
        if not all(finished(run) for run in members)
    ]


def play_comparison(
    config: CompareConfig,
    results: str | Path,
    report: Callable[[int, int], None] | None = None,
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
    overwrite: bool = False,
    on_facts: OnFacts | None = None,
) -> Outcome:
    """Play what is missing of a comparison and write its runs; tables and figures are ``cli.comparison``'s.

    Args:
        config: What to compare.
        results: Folder that holds the folders of all comparisons.
        report: Called with finished and all runs, first before anything is played.
        progress: Show the encoder's progress.
        tell: Told after each round of fine-tuning what is going on, where one process plays everything.
        overwrite: Replace another comparison that is in ``results/NAME``.
        on_facts: Told what the corpora hold, before anything is encoded or played; None logs it.

    Raises:
        ReActError: Something in the config does not exist or does not fit, or another command works in the
            folder; nothing was written then.
        WriteError: A result cannot be written; what was finished before is kept.
    """
    check_config(config, CompareConfig)
    check_strategies(config)  # before anything is touched
    results = Path(results)
    about = f"Comparison {config.name}: preparing the corpora"
    with claimed(results / config.name), pulse(__name__, about) as say:

        def count(done: int, total: int) -> None:
            say(f"Comparison {config.name}: {done} of {total} runs are finished")
            if report is not None:
                report(done, total)

        return _play(config, results, count, progress, tell, overwrite, on_facts)


def _play(
    config: CompareConfig,
    results: Path,
    report: Callable[[int, int], None],
    progress: bool,
    tell: Callable[[str], None] | None,
    overwrite: bool,
    on_facts: OnFacts | None,
) -> Outcome:
    folder = ResultFolder(results / config.name)
    remove_abandoned(folder.folder)
    if not overwrite:
        check_same(config, folder)
    asked = (
        config.episode_of,
        surprised(config.strategies),
        on_facts,
        partial(check_before_encoding, config),
    )
    corpora = prepare(config.corpora, config.encoder, config.device, progress, *asked)
    parts = parts_of(config, corpora)
    planned = [(part, plan(part)) for part in parts]
    runs = [run for _, own in planned for run in own]
    todo = blocks(runs, folder.finished)
    kept_of = Counter(run.strategy for run in runs if folder.finished(run))
    kept = kept_of.total()
    write_plan(folder, config, parts, runs)
    done = kept
    report(done, len(runs))
    fulls = [FullData(part, folder, own) for part, own in planned]
    failures = [failure for full in fulls for failure in full.measure(BLOCK, tell)]
    stages = _stages(todo, parts, fulls, progress)
    around = circumstances(str(resolve_device(config.device)))
    named = {label(strategy): strategy for strategy in config.strategies}
    # Closed, so that the workers of an interrupted comparison have ended before its folder is given up.
    with closing(_play_all(todo, config, folder, named, stages, around, tell)) as played:
        for block, written, reason in played:
            if reason is not None:
                failures += [
                    {"corpus": run.corpus, "strategy": run.strategy, "seed": str(run.seed), "reason": reason}
                    for run in block.runs
                    if not folder.finished(run)
                ]
            done += written
            report(done, len(runs))
    folder.write_failures(failures)
    if folder.progress.is_dir():
        # Killed after its last run was written, a block has left its checkpoint.
        for block in blocks(runs, lambda _: False):
            if all(folder.finished(run) for run in block.runs):
                _checkpoint(block, folder).remove()
    with suppress(OSError):  # absent, or holding checkpoints of blocks that are not finished
        folder.progress.rmdir()
    bought = write_bought(folder, parts)
    return Outcome(folder, runs, done - kept, kept, failures, dict(kept_of), bought)


@dataclass(frozen=True)
class _Stage:
    """What the blocks on one corpus share.

    Args:
        config: The comparison, as it is on corpora of this task.
        ground: The corpus.
        full: What all labels bring on it.
    """

    config: CompareConfig
    ground: Ground
    full: FullData


def _stages(
    todo: Sequence[Block],
    parts: Sequence[Part],
    fulls: Sequence[FullData],
    progress: bool,
) -> dict[str, _Stage]:
    """The corpora on which something is left to play, by name."""
    needed = {block.corpus for block in todo}
    return {
        corpus.name: _Stage(part.config, _ground(corpus, part.config, progress), full)
        for part, full in zip(parts, fulls, strict=True)
        for corpus in part.corpora
        if corpus.name in needed
    }


def _ground(corpus: EncodedCorpus, config: CompareConfig, progress: bool) -> Ground:
    if "robustness" not in config.analysis:
        return Ground(corpus)
    rows, encoder = TestSplit(corpus, config.test_size).rows, config.encoder.settings(config.device)
    altered = alter(corpus, rows, config.robustness, make_encoder(encoder), config.device, progress)
    return Ground(corpus, altered)


@dataclass(frozen=True)
class _Task:
    """All that is needed to play one block, but the encoded corpus."""

    block: Block
    config: CompareConfig
    folder: Path
    strategy: str
    device: str
    around: dict[str, Any]
    full: list[dict[str, float] | None]


def _play_all(
    todo: Sequence[Block],
    config: CompareConfig,
    folder: ResultFolder,
    named: dict[str, str],
    stages: dict[str, _Stage],
    around: dict[str, Any],
    tell: Callable[[str], None] | None,
) -> Generator[tuple[Block, int, str | None], None, None]:
    devices = devices_of(config.device)
    jobs = config.jobs or (usable_processors() if devices == ["cpu"] else len(devices))
    if only_here(config.strategies, config.modules):
        jobs = 1
    jobs = max(min(jobs, len(todo)), 1)

    def task(block: Block, device: str) -> _Task:
        stage = stages[block.corpus]
        known = [stage.full.of(run) for run in block.runs]
        return _Task(block, stage.config, folder.folder, named[block.strategy], device, around, known)

    if jobs == 1:
        # In this process the encoded corpora are at hand, on the GPU if there is one.
        for block in todo:
            here = task(block, str(stages[block.corpus].ground.corpus.device))
            yield block, *_play_block(here, partial(getattr, stages[block.corpus], "ground"), tell)
        return
    shared = {name: stage.ground.arrays() for name, stage in stages.items()}
    with Workers(_play_shared, shared, jobs, config.modules) as workers:
        for wave in waves(todo, devices, jobs):
            for played, result in workers.run(task(block, device) for block, device in wave):
                yield played.block, *((0, result.reason) if isinstance(result, Death) else result)


def _play_shared(task: _Task, shared: Mapping[str, Any]) -> tuple[int, str | None]:
    """Play a block in a worker process."""
    return _play_block(task, lambda: Ground.of_arrays(shared[task.block.corpus], task.device))


def _play_block(
    task: _Task, ground: Callable[[], Ground], tell: Callable[[str], None] | None = None
) -> tuple[int, str | None]:
    """Play a block and write the run files that are missing; returns how many, and why it failed."""
    block, config, folder = task.block, task.config, ResultFolder(task.folder)
    checkpoint = None if entry_of(config.learner.settings()).cheap else _checkpoint(block, folder)

    def after_round(spent: float) -> None:
        if tell is not None:
            tell(f"{block.strategy} on {block.corpus}: {spent:g} of {config.episode.budget:g} spent")

    try:
        with one_thread():
            here = ground()
            played = play(
                here.corpus,
                resolve(task.strategy),
                [run.seed for run in block.runs],
                config.episode,
                config.metrics,
                config.test_size,
                config.learner.settings(),
                config.stopping,
                checkpoint,
                after_round if checkpoint is not None else None,
                final_models_of(config, here, TestSplit(here.corpus, config.test_size).rows),
            )
    except WriteError:
        raise  # nothing that is played from here on could be kept
    except Exception as error:  # a failed block is reported with its reason and must not end the others
        return 0, with_place(error)
    written = 0
    share = len(block.runs)
    for run, result, full in zip(block.runs, played.results, task.full, strict=True):
        if folder.finished(run):
            continue
        own = task.around | {
            "key": run.key,
            "device": task.device,
            "process": os.getpid(),
            "threads": 1,
            "runs_in_lockstep": share,
            "selection_seconds": played.selection_seconds / share,
            "training_seconds": played.training_seconds / share,
        }
        line = {} if full is None else {"full": full}
        folder.write_run(run, {"schema": SCHEMA} | asdict(run) | result | line, own)
        written += 1
    if checkpoint is not None:
        checkpoint.remove()
    return written, None


def _checkpoint(block: Block, folder: ResultFolder) -> Checkpoint:
    """Where a block is kept while it is played; a run's key holds all that determines its result."""
    key = digest(*(run.key for run in block.runs))
    return Checkpoint(folder.progress / f"{key[:16]}.safetensors", key)
