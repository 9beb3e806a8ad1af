"""The corpora known by name, and the one door to a corpus of any kind: ``load_corpus``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from react_rl.data import samples
from react_rl.data.corpus import Corpus, Task
from react_rl.data.generated import is_generated
from react_rl.data.hub import is_saved_dataset, load_hub
from react_rl.data.questions import holds_questions, read_questions
from react_rl.data.readers import missing_path, read_corpus
from react_rl.data.sentences import holds_sentences, read_tagged
from react_rl.data.synthetic import synthetic_corpus, synthetic_sentences
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.data.tables import stem_and_format
from react_rl.errors import ReActError, suggestion, unknown
from react_rl.own_code import CORPUS, is_outside, load_outside

HUB_PREFIX: Final = "hub:"


@dataclass(frozen=True)
class BuiltIn:
    """A corpus that is known by name.

    Attributes:
        task: What a target is.
        rows: Number of rows.
        classes: Number of classes.
        package: Top-level package that holds the data, or None when no package is needed.
        about: One line on what it is.
        load: Builds the corpus; its keyword arguments are the options of ``load_corpus``.
    """

    task: Task
    rows: int
    classes: int
    package: str | None
    about: str
    load: Callable[..., Corpus]


CORPORA: Final[dict[str, BuiltIn]] = {
    "bbc_news": BuiltIn(
        "classification", 2225, 5, samples.BBC_PACKAGE, "BBC articles by topic", samples.bbc_news
    ),
    "crowd_tweets": BuiltIn(
        "classification", 38158, 3, samples.TWEETS_PACKAGE, "crowd-labelled sentiment", samples.crowd_tweets
    ),
    "synthetic": BuiltIn("classification", 600, 3, None, "made-up words, made in code", synthetic_corpus),
    "synthetic_questions": BuiltIn(
        "question-answering", 400, 2, None, "questions about made-up facts, made in code", synthetic_questions
    ),
    "synthetic_sentences": BuiltIn(
        "tagging", 400, 7, None, "tagged sentences of made-up words, made in code", synthetic_sentences
    ),
}
"""The corpora by name."""


@dataclass(frozen=True)
class CorpusInfo:
    """A line of ``react-rl list corpora``.

    Attributes:
        name: Name for ``load_corpus``.
        task: What a target is.
        rows: Number of rows.
        classes: Number of classes.
        package: Package that holds the data, or None.
        installed: Whether the package is there (True when none is needed).
        about: One line on what it is.
    """

    name: str
    task: Task
    rows: int
    classes: int
    package: str | None
    installed: bool
    about: str


def describe_corpora() -> tuple[CorpusInfo, ...]:
    """Describe the corpora known by name, sorted, without loading or importing any."""
    return tuple(
        CorpusInfo(
            name=name,
            task=entry.task,
            rows=entry.rows,
            classes=entry.classes,
            package=entry.package,
            installed=entry.package is None or samples.is_installed(entry.package),
            about=entry.about,
        )
        for name, entry in sorted(CORPORA.items())
    )


def load_corpus(name_or_path: str | Path, **options: Any) -> Corpus:
    """Load a corpus by name, from a file or folder, or from the Hugging Face hub.

    Args:
        name_or_path: A name in ``CORPORA``; one that an installed package announces; ``module:Name``, a
            function that returns a corpus; ``hub:owner/name``; or a path. A name goes before a path of the
            same spelling: write ``./bbc_news`` for the folder.
        options: Options of the reader: those of ``read_corpus`` for a path (of ``read_tagged`` where it holds
            tagged sentences and of ``read_questions`` where it holds questions about contexts, which is seen
            from its columns or said by ``task``), of ``load_hub`` for the hub
            and for folders that ``datasets`` saved, of the function for a name.

    Raises:
        ReActError: If the name, the path or an option is unknown, or the data are wrong.
    """
    word = os.fspath(name_or_path)
    if isinstance(name_or_path, str):
        if word.startswith(HUB_PREFIX):
            if not word.removeprefix(HUB_PREFIX):
                raise ReActError("'hub:' lacks the name of the dataset; write hub:owner/name.")
            return _call(load_hub, options, word.removeprefix(HUB_PREFIX))
        if is_generated(word):
            raise ReActError(
                f"The labels of {word!r} are invented from embeddings, so it is no corpus of texts alone; "
                "name it in a config or an environment, or call react_rl.simulation.generated_task."
            )
        if word in CORPORA:
            return _call(CORPORA[word].load, options)
        if is_outside(word, CORPUS):
            return _outside(word, options)
    path = Path(word).expanduser()
    if path.is_dir() and is_saved_dataset(path):
        return _call(load_hub, options, path)
    if word and path.exists():
        return _read(path, task_at(path, options.pop("task", None)), options)
    if isinstance(name_or_path, Path) or _looks_like_path(word):
        raise missing_path(path)
    raise ReActError(
        f"Unknown corpus {word!r}.{suggestion(word, CORPORA)} Known: {', '.join(sorted(CORPORA))};"
        " or name a file, a folder, or hub:owner/name."
    )


_READERS: Final[dict[Task, Callable[..., Corpus]]] = {
    "classification": read_corpus,
    "tagging": read_tagged,
    "question-answering": read_questions,
}


def _read(path: Path, task: Task, options: dict[str, Any]) -> Corpus:
    """Read a corpus of a task.

    Raises:
        ReActError: An option is unknown, or belongs to corpora of another task.
    """
    known = {one: inspect.signature(reader).parameters for one, reader in _READERS.items()}
    for option in options:
        others = [one for one, names in known.items() if option in names]
        if others and task not in others:
            raise ReActError(
                f"Option {option!r} is for corpora of {' or '.join(others)}, and {path} is read as one of "
                f"{task}; add task={others[0]!r}, or leave {option!r} out."
            )
    return _call(_READERS[task], options, path)


def task_at(path: Path, task: str | None = None) -> Task:
    """The task that a path holds a corpus of: as ``task`` says, else by its columns.

    Raises:
        ReActError: There is no such task.
    """
    for known in get_args(Task):
        if task == known:
            return cast(Task, known)
    if task is not None:
        raise unknown("task", task, get_args(Task))
    if path.exists() and holds_sentences(path):
        return "tagging"
    return "question-answering" if path.exists() and holds_questions(path) else "classification"


def is_named(word: str) -> bool:
    """Whether ``word`` names a corpus that a function builds: no file, no folder, no dataset of the hub."""
    apart = word.startswith(HUB_PREFIX) or is_generated(word)
    return word in CORPORA or (not apart and is_outside(word, CORPUS))


def _outside(word: str, options: dict[str, Any]) -> Corpus:
    found = load_outside(word, CORPUS)
    if isinstance(found, BuiltIn):
        found = found.load
    if isinstance(found, Corpus) and not options:
        return found
    if isinstance(found, type) or not callable(found):
        raise ReActError(
            f"Corpus {word!r} is of type {type(found).__name__}; it must be a function that returns a corpus "
            "and has the options as keyword arguments."
        )
    made = _call(found, options)
    if not isinstance(made, Corpus):
        raise ReActError(
            f"Corpus {word!r} gave {type(made).__name__}; it must return a react_rl.data.Corpus."
        )
    return made


def _looks_like_path(word: str) -> bool:
    return "/" in word or os.sep in word or stem_and_format(Path(word))[1] is not None


def _call(load: Callable[..., Corpus], options: dict[str, Any], *first: Any) -> Corpus:
    allowed = list(inspect.signature(load).parameters)[len(first) :]
    for option in options:
        if option not in allowed:
            raise unknown("corpus option", option, allowed)
    return load(*first, **options)
