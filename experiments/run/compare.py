"""Running a comparison: plan the runs, play what is missing in blocks of seeds, write a file for each."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from react_rl import __version__
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import is_strategy
from react_rl.data.corpus import Corpus
from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import ReActError, suggestion
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.altered import Ground, alter
from react_rl.experiments.run.bought import write_bought
from react_rl.experiments.run.devices import devices_of, waves
from react_rl.experiments.run.episodes import TestSplit, one_thread, play
from react_rl.experiments.run.final_models import analyses_key, check_analyses, final_models_of
from react_rl.experiments.run.full_data import FullData
from react_rl.experiments.run.outcome import Outcome
from react_rl.experiments.run.results import PLAN, SCHEMA, ResultFolder, RunId, circumstances
from react_rl.experiments.run.sameness import (
    as_read_now,
    comparison_differences,
    read_mapping,
    refuse_another,
)
from react_rl.experiments.run.strategies import (
    check_learner,
    identity,
    label,
    only_here,
    policies_of,
    resolve,
    surprised,
)
from react_rl.experiments.run.workers import Death, Workers, usable_processors
from react_rl.files import WriteError, canonical_json, digest, remove_abandoned
from react_rl.learners.registry import check_task, entry_of
from react_rl.own_code import import_modules
from react_rl.pulse import pulse
from react_rl.simulation.checkpoint import Checkpoint
from react_rl.simulation.corpora import OnFacts, prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import TASKS, check_metrics, task_of

BLOCK: Final = 32
"""Seeds that are played in lockstep. Blocks begin at multiples of this, whatever is already finished, so
that a comparison which was stopped computes the same numbers in the same batch."""


@dataclass(frozen=True)
class Block:
    """A strategy on a corpus with up to ``BLOCK`` seeds."""

    corpus: str
    strategy: str
    runs: tuple[RunId, ...]


def check_strategies(config: CompareConfig) -> None:
    """Check the strategies and the reference, before any corpus is read.

    Raises:
        ReActError: A strategy does not exist, two share a name, or the reference is not among them.
    """
    import_modules(config.modules)
    for strategy in config.strategies:
        resolve(strategy)
    check_learner(config.strategies, config.learner.settings())
    names = [label(strategy) for strategy in config.strategies]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReActError(
            f"Two strategies are called {twice[0]!r}; train one of the policies under another --name."
        )
    taken = [name for name in policies_of(config.strategies) if is_strategy(name) or name in REFERENCES]
    if taken:
        raise ReActError(
            f"A policy is called {taken[0]!r}, as a query strategy is; train it under another --name."
        )
    alone = only_here(config.strategies, config.modules)
    if alone and (config.jobs or 1) > 1:
        raise ReActError(
            f"Strategy {alone[0]!r} is known in this process only, not in {config.jobs} workers: name it as "
            "module:Name, list the module that registers it under 'modules', or set jobs to 1."
        )
    if config.reference not in names:
        raise ReActError(
            f"The reference strategy {config.reference!r} is not compared."
            f"{suggestion(config.reference, names)} Compared: {', '.join(names)}."
        )


_METRICS: Final = CompareConfig.model_fields["metrics"].default
"""What a config holds where nobody asked for metrics."""


def check_same(config: CompareConfig, folder: ResultFolder) -> None:
    """Refuse to replace another comparison; one with more strategies, seeds or corpora is the same.

    Raises:
        ReActError: The folder holds another comparison; what differs is named.
    """
    old = read_mapping(folder.folder / PLAN)
    if old is not None:
        written = old.get("config")
        if not isinstance(written, dict):
            raise ReActError(f"{folder.folder / PLAN} holds no config; remove it, or use --overwrite.")
        before, now = as_read_now(CompareConfig, written), config.model_dump(mode="json")
        usual = [list(task.default_metrics) for task in TASKS.values()]
        if now["metrics"] == list(_METRICS) and before.get("metrics") in usual:
            now["metrics"] = before["metrics"]  # those of the corpora's task
        found = comparison_differences(before, now)
        refuse_another(folder.folder, "comparison", found)


def fitted(config: CompareConfig, corpora: Sequence[Corpus]) -> CompareConfig:
    """The comparison with the metrics of its corpora's task, where none were asked for.

    Raises:
        ReActError: Metrics, learner, a strategy or an analysis are of another task, or a corpus has no test
            rows.
    """
    for corpus in corpora:
        if corpus.ids("test").size == 0:
            raise ReActError(f"Corpus {corpus.name!r} has no test rows; a comparison reports on them.")
        check_analyses(config.analysis, corpus)
    task = task_of(corpora)
    check_task(config.learner.settings(), task, corpora[0].name)
    check_learner(config.strategies, config.learner.settings(), task.name)
    if config.metrics == _METRICS:
        return config.model_copy(update={"metrics": task.default_metrics})
    check_metrics(task, config.metrics)
    return config


def plan(config: CompareConfig, corpora: Sequence[EncodedCorpus]) -> list[RunId]:
    """List the runs of a comparison, each with the key of everything that determines its result."""
    shared = {
        "schema": SCHEMA,
        "version": __version__,
        "learner": config.learner.identity(),
        "episode": config.episode.model_dump(mode="json"),
        "metrics": list(config.metrics),
        "test_size": config.test_size,
        "device": resolve_device(config.device).type,
        # What is played without a rule does not depend on how rules are described.
        **({} if config.stopping.rule == "none" else {"stopping": config.stopping.model_dump()}),
        **analyses_key(config),
    }
    vectors = [_origin(corpus, config) for corpus in corpora]
    worlds = [canonical_json(shared | {"encoder": origin}) for origin in vectors]
    names = [label(strategy) for strategy in config.strategies]
    contents = [corpus.corpus.digest() for corpus in corpora]
    identities = [identity(strategy) for strategy in config.strategies]
    return [
        RunId(corpus.name, name, seed, digest(world, content, corpus.name, who, str(seed)))
        for corpus, content, world in zip(corpora, contents, worlds, strict=True)
        for name, who in zip(names, identities, strict=True)
        for seed in range(config.first_seed, config.first_seed + config.seeds)
    ]


def _origin(corpus: EncodedCorpus, config: CompareConfig) -> dict[str, str]:
    """Where the vectors of a corpus come from: a file, or an encoder."""
    if corpus.given is not None:
        return {"embeddings": corpus.given}
    return make_encoder(config.encoder.settings(config.device)).fingerprint()


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
        ReActError: Something in the config does not exist or does not fit; nothing was written then.
        WriteError: A result cannot be written; what was finished before is kept.
    """
    with pulse(__name__, f"Comparison {config.name}: preparing the corpora") as say:

        def count(done: int, total: int) -> None:
            say(f"Comparison {config.name}: {done} of {total} runs are finished")
            if report is not None:
                report(done, total)

        return _play(config, Path(results), count, progress, tell, overwrite, on_facts)


def _play(
    config: CompareConfig,
    results: Path,
    report: Callable[[int, int], None],
    progress: bool,
    tell: Callable[[str], None] | None,
    overwrite: bool,
    on_facts: OnFacts | None,
) -> Outcome:
    check_strategies(config)
    folder = ResultFolder(results / config.name)
    remove_abandoned(folder.folder)
    if not overwrite:
        check_same(config, folder)
    asked = (config.episode, surprised(config.strategies), on_facts, partial(fitted, config))
    corpora = prepare(config.corpora, config.encoder, config.device, progress, *asked)
    config = fitted(config, [corpus.corpus for corpus in corpora])
    runs = plan(config, corpora)
    todo = blocks(runs, folder.finished)
    kept_of = Counter(run.strategy for run in runs if folder.finished(run))
    kept = kept_of.total()
    folder.write_plan(config.model_dump(mode="json"), runs, policies_of(config.strategies))
    done = kept
    report(done, len(runs))
    full = FullData(config, folder, runs)
    by_name = {corpus.name: corpus for corpus in corpora}
    failures = full.measure(by_name, BLOCK, tell)
    around = circumstances(str(resolve_device(config.device)))
    named = {label(strategy): strategy for strategy in config.strategies}
    needed = [by_name[name] for name in dict.fromkeys(block.corpus for block in todo)]
    grounds = {corpus.name: _ground(corpus, config, progress) for corpus in needed}
    for block, written, reason in _play_all(todo, config, folder, named, grounds, around, full, tell):
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
    bought = write_bought(folder, config, by_name)
    return Outcome(folder, runs, done - kept, kept, failures, dict(kept_of), bought)


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
    grounds: dict[str, Ground],
    around: dict[str, Any],
    full: FullData,
    tell: Callable[[str], None] | None,
) -> Iterator[tuple[Block, int, str | None]]:
    devices = devices_of(config.device)
    jobs = config.jobs or (usable_processors() if devices == ["cpu"] else len(devices))
    if only_here(config.strategies, config.modules):
        jobs = 1
    jobs = max(min(jobs, len(todo)), 1)

    def task(block: Block, device: str) -> _Task:
        known = [full.of(run) for run in block.runs]
        return _Task(block, config, folder.folder, named[block.strategy], device, around, known)

    if jobs == 1:
        # In this process the encoded corpora are at hand, on the GPU if there is one.
        for block in todo:
            here = task(block, str(grounds[block.corpus].corpus.device))
            yield block, *_play_block(here, partial(grounds.__getitem__, block.corpus), tell)
        return
    shared = {name: ground.arrays() for name, ground in grounds.items()}
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
        return 0, f"{type(error).__name__}: {error}"
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
