"""What a comparison will play: strategies and tasks checked, its runs listed. Nothing is played here.

A comparison on corpora of several tasks is, for each task, a comparison on corpora of one: a ``Part``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from react_rl import __version__
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import is_strategy
from react_rl.data.corpus import Corpus
from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import ReActError, suggestion, unknown
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.config.tasks import episode_of, kinds_in, learner_of, of_several
from react_rl.experiments.run.final_models import analyses_key, check_analyses, has_analyses
from react_rl.experiments.run.results import PLAN, SCHEMA, PlannedTask, ResultFolder, RunId
from react_rl.experiments.run.sameness import comparison_differences, read_mapping, refuse_another
from react_rl.experiments.run.strategies import (
    check_learner,
    identity,
    label,
    only_here,
    policies_of,
    resolve,
)
from react_rl.files import canonical_json, digest
from react_rl.learners.checkpoints import NamedModel, check_checkpoints
from react_rl.learners.registry import check_models, check_needs, check_task
from react_rl.own_code import import_modules, is_own, sources_outside
from react_rl.simulation.corpora import by_config, task_by_name
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import TASKS, check_metrics

_METRICS: Final = CompareConfig.model_fields["metrics"].default
"""What a config holds where nobody asked for metrics."""


@dataclass(frozen=True)
class Part:
    """What a comparison plays on its corpora of one task.

    Args:
        task: Name of the task.
        config: The comparison as if it had no other corpora, with learner, episode and metrics of the task.
        corpora: The corpora.
    """

    task: str
    config: CompareConfig
    corpora: tuple[EncodedCorpus, ...]


def check_strategies(config: CompareConfig) -> None:
    """Check the strategies and the reference, before any corpus is read.

    Raises:
        ReActError: A strategy does not exist or needs what a task or its learner lacks, two share a name, or
            the reference is not among them.
    """
    import_modules(config.modules)
    for strategy in config.strategies:
        resolve(strategy)
    check_tasks(config)
    names = [label(strategy) for strategy in config.strategies]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReActError(
            f"Two strategies are called {twice[0]!r}; train one of the policies under another --name, or "
            "change 'name' in its card.json."
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
    if label(config.reference) not in names:
        raise ReActError(
            f"The reference strategy {config.reference!r} is not compared."
            f"{suggestion(config.reference, names)} Compared: {', '.join(names)}; set 'reference' to one of "
            "them, or add it to 'strategies'."
        )


def check_tasks(config: CompareConfig) -> dict[str, CompareConfig]:
    """Check learners, metrics and strategies against every task, before any corpus is read.

    Returns:
        The comparison as it is on each task; nothing where a corpus is of a task that only its code knows.

    Raises:
        ReActError: As in ``by_task``.
    """
    tasks = [task_by_name(corpus) for corpus in config.corpora]
    known: dict[str, str] = {}
    for task, corpus in zip(tasks, config.corpora, strict=True):
        if task is not None:
            known.setdefault(task, corpus.name or corpus.corpus)
    if None not in tasks:
        return by_task(config, known)
    if not config.tasks:  # the rest is checked when the corpora are loaded
        check_learner(config.strategies, config.learner.settings())
    return {}


def check_same(config: CompareConfig, folder: ResultFolder) -> None:
    """Refuse to replace another comparison; one with more strategies, seeds or corpora is the same.

    One of which nothing was kept, because every run failed or the command was killed first, is none.

    Raises:
        ReActError: The folder holds another comparison; what differs is named.
    """
    old = read_mapping(folder.folder / PLAN)
    if old is None or not folder.kept_anything():
        return
    written = old.get("config")
    if not isinstance(written, dict):
        raise ReActError(f"{folder.folder / PLAN} holds no config; remove it, or use --overwrite.")
    try:
        before = CompareConfig.model_validate(written)
    except ValidationError:  # written by another version
        before = None
    # Learners of one's own that the file alone names are not imported.
    if before is None or any(map(is_own, kinds_in(before) - kinds_in(config))):
        refuse_another(
            folder.folder, "comparison", comparison_differences(written, config.model_dump(mode="json"))
        )
        return
    tasks = old.get("tasks")
    names = list(tasks) if isinstance(tasks, dict) else [_task_with(before.metrics)]
    found = []
    for name in (name for name in names if name in TASKS):
        then, now = (_for_task(one, name, True).model_dump(mode="json") for one in (before, config))
        own = comparison_differences(then, now)
        found += own if len(names) == 1 else [f"{name}: {one}" for one in own]
    refuse_another(folder.folder, "comparison", found)


def _task_with(metrics: Sequence[str]) -> str:
    """The task that such metrics are of."""
    return next((name for name, task in TASKS.items() if metrics[0] in task.metrics), next(iter(TASKS)))


def _for_task(config: CompareConfig, task: str, several: bool) -> CompareConfig:
    """A comparison as it is on corpora of one of its tasks."""
    kind = TASKS[task]
    metrics = config.metrics
    if metrics == _METRICS:
        metrics = kind.default_metrics
    elif several:
        metrics = tuple(name for name in metrics if name in kind.metrics)
    changes: dict[str, Any] = {
        "metrics": metrics, "reference": label(config.reference), "stopping": config.stopping.of_task(kind),
        "analysis": config.analysis if has_analyses(kind) else (),
    }  # fmt: skip
    if several:
        own = {"learner": learner_of(config, task), "episode": episode_of(config, task), "tasks": {}}
        changes |= own
    return config.model_copy(update=changes)


def by_task(config: CompareConfig, tasks: Mapping[str, str]) -> dict[str, CompareConfig]:
    """A comparison as it is on corpora of each of its tasks: learner, episode and metrics.

    Args:
        config: The comparison.
        tasks: Tasks of its corpora, each with the name of one that is of it.

    Raises:
        ReActError: Metrics, learner, analyses or a strategy are of other tasks, or the config says something
            of a task that no corpus is of.
    """
    check_analyses(config.analysis, tasks)
    several = of_several(config, tasks)
    found = {}
    for name, corpus in tasks.items():
        if name not in TASKS:
            raise unknown("task", name, TASKS)
        own = _for_task(config, name, several)
        check_task(own.learner.settings(), TASKS[name], corpus)
        check_learner(config.strategies, own.learner.settings(), name)
        check_needs(f"stopping.rule {own.stopping.rule}", own.stopping.needs, own.learner.settings(), name)
        if not own.metrics:
            raise ReActError(
                f"Corpus {corpus!r} is of {name}, and none of the metrics {', '.join(config.metrics)} is; "
                f"name one of {', '.join(TASKS[name].metrics)} besides, or leave 'metrics' out."
            )
        if not several:
            check_metrics(TASKS[name], own.metrics)
        found[name] = own
    measured = {metric for own in found.values() for metric in own.metrics}
    for metric in config.metrics:
        if metric not in measured and config.metrics != _METRICS:
            raise unknown(f"metric of {' and '.join(found)}", metric, measured)
    return found


def check_corpora(config: CompareConfig, corpora: Sequence[Corpus]) -> dict[str, CompareConfig]:
    """A comparison as it is on each task of its corpora, which are loaded and not yet encoded.

    Raises:
        ReActError: As in ``by_task``; or a corpus has no test rows.
    """
    for corpus in corpora:
        if corpus.ids("test").size == 0:
            raise ReActError(f"Corpus {corpus.name!r} has no test rows; a comparison reports on them.")
    known: dict[str, str] = {}
    for corpus in corpora:
        known.setdefault(corpus.task, corpus.name)
    return by_task(config, known)


def check_before_encoding(config: CompareConfig, corpora: Sequence[Corpus]) -> dict[str, CompareConfig]:
    """What ``check_corpora`` checks, and that the models of learners and analyses can be loaded.

    Raises:
        ReActError: As in ``by_task``; or a checkpoint is missing or lacks a head.
    """
    found = check_corpora(config, corpora)
    for own in found.values():
        check_models(own.learner.settings())
    named = config.robustness.paraphrase
    if "robustness" in config.analysis and named is not None:
        check_checkpoints([NamedModel(named, "robustness.paraphrase", "a paraphrase")])
    return found


def parts_of(config: CompareConfig, corpora: Sequence[EncodedCorpus]) -> list[Part]:
    """Take a comparison apart by the tasks of its corpora, in the order in which they come.

    Args:
        config: The comparison.
        corpora: All of its corpora, as ``prepare`` gives them.

    Raises:
        ReActError: As in ``by_task``.
    """
    own = by_config(config.corpora, corpora)
    found = check_corpora(config, [one.corpus for one in corpora])
    parts = []
    for task, alone in found.items():
        sources = tuple(source for source, members in own if members[0].corpus.task == task)
        alone = alone.model_copy(update={"corpora": sources})
        parts.append(Part(task, alone, tuple(one for one in corpora if one.corpus.task == task)))
    return parts


def plan(part: Part) -> list[RunId]:
    """List the runs on corpora of one task, each with the key of everything that determines its result."""
    config = part.config
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
    if code := sources_outside([TASKS[part.task]]):
        shared["task"] = digest(*code)
    vectors = [_origin(corpus, config) for corpus in part.corpora]
    worlds = [canonical_json(shared | {"encoder": origin}) for origin in vectors]
    names = [label(strategy) for strategy in config.strategies]
    contents = [corpus.corpus.digest() for corpus in part.corpora]
    identities = [identity(strategy) for strategy in config.strategies]
    return [
        RunId(corpus.name, name, seed, digest(world, content, corpus.name, who, str(seed)))
        for corpus, content, world in zip(part.corpora, contents, worlds, strict=True)
        for name, who in zip(names, identities, strict=True)
        for seed in range(config.first_seed, config.first_seed + config.seeds)
    ]


def _origin(corpus: EncodedCorpus, config: CompareConfig) -> dict[str, str]:
    """Where the vectors of a corpus come from: a file, or an encoder."""
    if corpus.given is not None:
        return {"embeddings": corpus.given}
    return make_encoder(config.encoder.settings(config.device)).fingerprint()


def write_plan(folder: ResultFolder, config: CompareConfig, parts: Sequence[Part], runs: list[RunId]) -> None:
    """Write what will be played into the folder of the comparison."""
    policies = policies_of(config.strategies)
    contents = {corpus.name: corpus.corpus.digest() for part in parts for corpus in part.corpora}
    if len(parts) == 1 and not config.tasks:
        folder.write_plan(parts[0].config.model_dump(mode="json"), runs, policies, corpora=contents)
        return
    tasks = {
        part.task: PlannedTask(part.config.model_dump(mode="json"), [corpus.name for corpus in part.corpora])
        for part in parts
    }
    whole = config.model_copy(update={"reference": label(config.reference)})
    folder.write_plan(whole.model_dump(mode="json"), runs, policies, tasks, contents)
