"""From corpus configs to encoded corpora: load, price, halve, thin, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from react_rl.data.config import CorpusConfig
from react_rl.data.continual import drifting, in_phases
from react_rl.data.corpus import Corpus, Task
from react_rl.data.costs import apply_cost, apply_question_cost, apply_sentence_cost
from react_rl.data.generated import is_generated, parse_generated
from react_rl.data.imbalance import imbalanced
from react_rl.data.inspection import CorpusFacts, inspect_corpus, log_facts
from react_rl.data.registry import CORPORA, HUB_PREFIX, is_named, load_corpus, task_at
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.embedding import Encoder
from react_rl.encoders.named import checkpoint_of, make_encoder
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import ReActError
from react_rl.simulation.draw import check_fit
from react_rl.simulation.encoded import EncodedCorpus, encode
from react_rl.simulation.generated import generated_task
from react_rl.simulation.options import EpisodeOptions

COLUMN = "column:"

_KEYS: Final[dict[Task, tuple[str, ...]]] = {
    "tagging": ("tokens", "tags", "column", "scheme"),
    "question-answering": ("question", "context", "answers"),
}
"""Keys of a corpus that are for files of one task."""

OnFacts = Callable[[Sequence[CorpusFacts]], None]
"""What is told about corpora before they are encoded."""

Check = Callable[[Sequence[Corpus]], object]
"""What looks at corpora before they are encoded, and raises where they do not fit; its result is not used."""


def load(config: CorpusConfig, encoder: Encoder | None = None) -> Corpus:
    """Load one corpus as its config says.

    Args:
        config: The corpus.
        encoder: Whose tokenizer counts tokens for the cost model ``tokens``.

    Raises:
        ReActError: Something named does not exist or does not fit.
    """
    if config.then or config.phases is not None:
        return _in_phases(config, encoder)
    task = _task_of(config)
    cost = config.cost or ("tokens" if task == "tagging" else "uniform")
    corpus = _with_cost(load_corpus(config.corpus, **_options(config, task, cost)), cost, encoder)
    if config.half is not None:
        corpus = corpus.half(config.half)
    if config.imbalance is not None:
        corpus = imbalanced(corpus, config.imbalance)
    return corpus if config.name is None else replace(corpus, name=config.name)


def _options(config: CorpusConfig, task: Task, cost: str) -> dict[str, Any]:
    """What ``load_corpus`` is told; raises a ReActError where a key has no meaning for the corpus."""
    options: dict[str, Any] = {}
    if config.max_rows is not None and config.corpus == "synthetic":
        options["n_rows"] = min(config.max_rows, CORPORA["synthetic"].rows)
    elif config.max_rows is not None:
        options["max_rows"] = config.max_rows
    reading = {key: getattr(config, key) for key in ("encoding", "separator") if getattr(config, key)}
    if reading and (is_named(config.corpus) or config.corpus.startswith(HUB_PREFIX)):
        raise ReActError(
            f"{config.corpus!r} is no file of columns, so '{next(iter(reading))}' has no meaning;"
            " leave it out."
        )
    if task != "classification" and not is_named(config.corpus):
        if config.corpus.startswith(HUB_PREFIX):
            raise ReActError(
                f"Corpora of the hub are of classification; save {config.corpus!r} as JSON lines."
            )
        options |= {"task": task} | {key: getattr(config, key) for key in _KEYS[task]}
        _only_of_tables(config, task)
        options |= {key: getattr(config, key) for key in ("encoding", "id") if getattr(config, key)}
    elif not is_named(config.corpus):
        options |= {"text": config.text, "label": config.label} | reading
        if config.splits is not None:
            if config.corpus.startswith(HUB_PREFIX):
                raise ReActError("A hub corpus has its own splits; leave 'splits' out.")
            options["splits"] = config.splits
        if config.confidence is not None:
            options["confidence"] = config.confidence
        if config.id is not None:
            options["id"] = config.id
        if config.task is not None and not config.corpus.startswith(HUB_PREFIX):
            options["task"] = config.task
        if cost.startswith(COLUMN):
            options["cost"] = cost.removeprefix(COLUMN)
    elif config.id is not None:
        raise ReActError(f"Built-in corpus {config.corpus!r} has no column {config.id!r}; leave 'id' out.")
    elif cost.startswith(COLUMN):
        raise ReActError(
            f"Built-in corpus {config.corpus!r} has no column {cost.removeprefix(COLUMN)!r}; "
            "use the cost model uniform, words or tokens."
        )
    return options


def _with_cost(corpus: Corpus, cost: str, encoder: Encoder | None) -> Corpus:
    """The corpus with the costs of a cost model; costs of a column are those that it was read with."""
    if corpus.task == "tagging":
        return apply_sentence_cost(corpus, cost)
    if corpus.task == "question-answering":
        return apply_question_cost(corpus, cost)
    if cost == "tokens":
        if encoder is None:
            raise ReActError("The cost model 'tokens' needs an encoder, whose tokenizer counts them.")
        tokenizer = checkpoint_of(encoder, "The cost model 'tokens'").tokenizer
        # Texts that are longer than what the model reads are counted whole, which is nothing to warn of.
        return apply_cost(corpus, "tokens", tokenizer=partial(tokenizer.tokenize, verbose=False))
    if cost != "uniform" and not cost.startswith(COLUMN):
        return apply_cost(corpus, cost)
    return corpus


def _in_phases(config: CorpusConfig, encoder: Encoder | None) -> Corpus:
    """Load a corpus that comes in phases."""
    plain = config.model_copy(update={"then": (), "phases": None, "name": None})
    if config.phases is not None:
        corpus = drifting(load(plain, encoder), config.phases, config.drift)
        return corpus if config.name is None else replace(corpus, name=config.name)
    names = (config.corpus, *config.then)
    return in_phases([load(plain.model_copy(update={"corpus": n}), encoder) for n in names], config.name)


def _task_of(config: CorpusConfig) -> Task:
    """The task of the corpus that a config names."""
    if config.corpus in CORPORA:
        return CORPORA[config.corpus].task
    if is_named(config.corpus) or config.corpus.startswith(HUB_PREFIX):
        return config.task or "classification"
    told = next((task for task in _KEYS if _changed(config, _KEYS[task])), None)
    return task_at(Path(config.corpus).expanduser(), config.task or told)


def _changed(config: CorpusConfig, keys: Iterable[str]) -> list[str]:
    """Those of some keys that are not as they come."""
    return [key for key in keys if getattr(config, key) != CorpusConfig.model_fields[key].default]


def _only_of_tables(config: CorpusConfig, task: Task) -> None:
    """Refuse keys that mean nothing for tagged sentences and questions.

    Raises:
        ReActError: One is set.
    """
    what = "tagged sentences" if task == "tagging" else "questions about contexts"
    others = [key for other, keys in _KEYS.items() if other != task for key in keys]
    for key in _changed(config, ("text", "label", "splits", "confidence", "separator", *others)):
        raise ReActError(
            f"{config.corpus!r} holds {what}, so {key!r} has no meaning; leave it out, "
            "or set task: classification."
        )


def inspect_all(
    configs: Sequence[CorpusConfig],
    encoder: EncoderConfig,
    device: str,
    episode: EpisodeOptions | Callable[[str], EpisodeOptions] | None = None,
    on_facts: OnFacts | None = None,
    check: Check | None = None,
) -> list[str]:
    """Load and check corpora as ``prepare`` does before it encodes, and tell what they hold: a dry run.

    Arguments and errors are those of ``prepare``.

    Returns:
        Names of the corpora that the configs stand for.
    """
    corpora = _loaded(configs, make_encoder(encoder.settings(device)), episode, on_facts, check)
    return _all_names(configs, corpora)


def prepare(
    configs: Sequence[CorpusConfig],
    encoder: EncoderConfig,
    device: str,
    progress: bool = True,
    episode: EpisodeOptions | Callable[[str], EpisodeOptions] | None = None,
    surprisal: bool = False,
    on_facts: OnFacts | None = None,
    check: Check | None = None,
) -> list[EncodedCorpus]:
    """Load and encode corpora; embeddings come from the cache where they are in it.

    Args:
        configs: The corpora.
        encoder: Frozen encoder.
        device: Where to encode, and where the embeddings go.
        progress: Show the encoder's progress.
        episode: Episodes that must fit every corpus, or those of a task by its name; checked before anything
            is encoded.
        surprisal: Compute surprisal vectors too (see ``acquisition.registry.needs_surprisal``).
        on_facts: Told what the corpora hold, before anything is encoded; None logs it.
        check: Looks at the corpora after that; None asks for nothing more.

    Raises:
        ReActError: A corpus or the encoder cannot be had, two corpora share a name, or the episodes do
            not fit.
    """
    return encode_all(
        configs,
        make_encoder(encoder.settings(device)),
        resolve_device(device),
        progress=progress,
        episode=episode,
        surprisal=surprisal,
        on_facts=on_facts,
        check=check,
    )


def encode_all(
    configs: Sequence[CorpusConfig],
    encoder: Encoder,
    device: torch.device,
    progress: bool = True,
    episode: EpisodeOptions | Callable[[str], EpisodeOptions] | None = None,
    surprisal: bool = False,
    on_facts: OnFacts | None = None,
    check: Check | None = None,
) -> list[EncodedCorpus]:
    """Load and encode corpora with a given encoder, which loads its model only where it is needed.

    Arguments and errors are those of ``prepare``.
    """
    corpora = _loaded(configs, encoder, episode, on_facts, check)
    cache = ArrayCache()
    encoded = {
        config: _vectors(config, corpus, encoder, cache, device, progress, surprisal)
        for config, corpus in corpora.items()
    }
    return [one for config in configs for one in _tasks(config, encoded[_base(config)])]


def _loaded(
    configs: Sequence[CorpusConfig],
    encoder: Encoder,
    episode: EpisodeOptions | Callable[[str], EpisodeOptions] | None,
    on_facts: OnFacts | None,
    check: Check | None,
) -> dict[CorpusConfig, Corpus]:
    """The corpora under all tasks, each once, when all that needs no embeddings has been checked."""
    corpora = {config: load(config, encoder) for config in dict.fromkeys(_base(one) for one in configs)}
    names = _all_names(configs, corpora)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ReActError(f"Two corpora are called {sorted(twice)[0]!r}; give one of them another 'name'.")
    if episode is not None:
        for corpus in corpora.values():
            check_fit(corpus, episode(corpus.task) if callable(episode) else episode)
    (on_facts or log_facts)([inspect_corpus(corpus) for corpus in corpora.values()])
    if check is not None:
        check(list(corpora.values()))
    return corpora


def _vectors(
    config: CorpusConfig,
    corpus: Corpus,
    encoder: Encoder,
    cache: ArrayCache,
    device: torch.device,
    progress: bool,
    surprisal: bool,
) -> EncodedCorpus:
    """A corpus with the embeddings of its file, or else of the encoder."""
    if config.embeddings is None:
        return encode(corpus, encoder, cache, device, progress=progress, surprisal=surprisal)
    if surprisal:
        raise ReActError(
            f"Corpus {corpus.name!r} has embeddings from {config.embeddings}, and no encoder gives it the "
            "surprisal that 'alps' needs; leave out one of the two."
        )
    return EncodedCorpus.of_file(corpus, config.embeddings, cache, device)


def by_config(
    configs: Sequence[CorpusConfig], corpora: Sequence[EncodedCorpus]
) -> list[tuple[CorpusConfig, list[EncodedCorpus]]]:
    """Each config with the corpora that it stands for, one or, with generated labels, several.

    Args:
        configs: The configs.
        corpora: What ``prepare`` gave for them.
    """
    rest = iter(corpora)
    return [(config, [next(rest) for _ in _names(config, "")]) for config in configs]


def task_by_name(config: CorpusConfig) -> Task | None:
    """The task of a corpus before it is loaded; None where only its own code knows.

    Raises:
        ReActError: The config names a task that there is not.
    """
    base = _base(config)
    if base.task is None and base.corpus not in CORPORA and is_named(base.corpus):
        return None
    return _task_of(base)


def _base(config: CorpusConfig) -> CorpusConfig:
    """The corpus under a generated task, or the corpus itself."""
    generated = [name for name in (config.corpus, *config.then) if is_generated(name)]
    if generated and (config.then or config.phases is not None):
        raise ReActError(
            f"{generated[0]!r} has invented labels and cannot come in phases; name plain corpora."
        )
    if not generated:
        return config
    return config.model_copy(update={"corpus": parse_generated(config.corpus).base, "name": None})


def _all_names(configs: Sequence[CorpusConfig], corpora: Mapping[CorpusConfig, Corpus]) -> list[str]:
    """Names of the corpora that configs stand for, from those under all tasks."""
    return [name for config in configs for name in _names(config, corpora[_base(config)].name)]


def _names(config: CorpusConfig, base: str) -> list[str]:
    """Names of the corpora that a config stands for, ``base`` being what the corpus calls itself."""
    if not is_generated(config.corpus):
        return [base]
    generated = parse_generated(config.corpus)
    if config.name is None:
        return [generated.name_of(seed, base) for seed in generated.seeds]
    several = len(generated.seeds) > 1
    return [f"{config.name} {seed}" if several else config.name for seed in generated.seeds]


def _tasks(config: CorpusConfig, base: EncodedCorpus) -> list[EncodedCorpus]:
    """The encoded corpora that a config stands for."""
    if not is_generated(config.corpus):
        return [base]
    generated = parse_generated(config.corpus)
    names = _names(config, base.name)
    return [
        generated_task(base, seed, generated.kind, name)
        for seed, name in zip(generated.seeds, names, strict=True)
    ]
