"""What a corpus looks like before anything is played on it, and what about it can mislead a study."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import SPLITS, UNUSED, Corpus, Task
from react_rl.data.grouping import text_groups
from react_rl.data.passages import LONGEST_ANSWER
from react_rl.data.tags import entity_types
from react_rl.data.word_counts import count_words
from react_rl.escaping import for_terminal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusFacts:
    """A line of the table that is shown before a comparison or a training.

    Attributes:
        name: Name of the corpus.
        rows: Rows in use.
        classes: Classes that have a row in use; types of entities in tagging; questions with and without an
            answer; one in a task of one's own, whose targets only the task can read.
        smallest: Rows of the smallest class in use; entities of the rarest type.
        largest: Rows of the largest class; entities of the most frequent type.
        repeated: Rows whose text, after normalisation, an earlier row has.
        contradicted: Different texts that have two labels or more.
        median_words: Median number of words of a text, of a question and its context together.
        warnings: What can mislead, one sentence each.
        notes: What was changed while the corpus was read, one sentence each.
    """

    name: str
    rows: int
    classes: int
    smallest: int
    largest: int
    repeated: int
    contradicted: int
    median_words: float
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def inspect_corpus(corpus: Corpus) -> CorpusFacts:
    """Count what a corpus holds, in the rows that are in use."""
    used = np.flatnonzero(corpus.split != UNUSED)
    targets, all_names = corpus.targets[used], corpus.label_names
    if corpus.task != "classification":
        targets = _numbered(targets)
    if corpus.task == "tagging":
        all_names = tuple(name[2:] for name in corpus.label_names[1::2])
    elif corpus.task not in get_args(Task):
        all_names = (corpus.task,)
    sizes = np.bincount(_classes(corpus, used), minlength=len(all_names))
    texts = [corpus.texts[row] for row in used.tolist()]
    if corpus.passages is not None:
        contexts = corpus.passages.contexts()
        texts = [f"{text}\n{contexts[row]}" for row, text in zip(used.tolist(), texts, strict=True)]
    groups = text_groups(texts)
    n_texts = int(groups.max()) + 1
    # Pairs of text and label: a text with two of them is labelled in two ways.
    n_targets = int(targets.max()) + 1
    pairs = np.unique(groups * n_targets + targets)
    contradicted = int((np.bincount(pairs // n_targets) > 1).sum())
    repeated = len(texts) - n_texts
    present = sizes[sizes > 0]
    return CorpusFacts(
        name=corpus.name,
        rows=len(texts),
        classes=int(present.size),
        smallest=int(present.min()),
        largest=int(present.max()),
        repeated=repeated,
        contradicted=contradicted,
        median_words=float(np.median([count_words(text) for text in texts])),
        warnings=tuple(_warnings(corpus, all_names, sizes.tolist(), repeated, contradicted)),
        notes=corpus.notes,
    )


def log_facts(facts: Sequence[CorpusFacts]) -> None:
    """Log what corpora hold: numbers as information, what can mislead as warnings."""
    for one in facts:
        _LOG.info(
            "corpus %s: %d rows, %d classes of %d to %d rows, %d repeated texts, %d texts with several "
            "labels, median %g words",
            *(one.name, one.rows, one.classes, one.smallest, one.largest),
            *(one.repeated, one.contradicted, one.median_words),
        )
        for note in one.notes:
            _LOG.info("corpus %s: %s", one.name, for_terminal(note))
        for warning in one.warnings:
            _LOG.warning("corpus %s: %s", one.name, for_terminal(warning))


def _numbered(targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A number for each target, the same for the same one."""
    numbers: dict[bytes, int] = {}
    plain = (np.asarray(target).tobytes() for target in targets)
    return np.array([numbers.setdefault(one, len(numbers)) for one in plain], np.int64)


def _classes(corpus: Corpus, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Classes of rows: in tagging types of all entities, in question answering whether there is an answer.

    Rows of a task of one's own are all of one class.
    """
    if corpus.task == "tagging":
        return np.concatenate([np.empty(0, np.int64), *(entity_types(tags) for tags in corpus.targets[rows])])
    if corpus.task == "question-answering":
        return np.asarray(corpus.targets[rows, 0] > 0, np.int64)
    if corpus.task not in get_args(Task):
        return np.zeros(rows.size, np.int64)
    targets: npt.NDArray[np.int64] = corpus.targets[rows]
    return targets


def _warnings(
    corpus: Corpus, all_names: Sequence[str], sizes: Sequence[int], repeated: int, contradicted: int
) -> list[str]:
    said = []
    names = [name for name, size in zip(all_names, sizes, strict=True) if size]
    fractions = [name for name in names if _is_fraction(name)]
    if fractions:
        said.append(
            f"the labels look like numbers with fractions ({_listed(fractions)}); every value is a class"
            " of its own"
        )
    said += alike_labels(names)
    for code, split in enumerate(SPLITS):
        found = set(np.unique(_classes(corpus, np.flatnonzero(corpus.split == code))).tolist())
        missing = [name for c, name in enumerate(all_names) if sizes[c] and c not in found]
        if missing and found:
            said.append(f"no {split} row has the label {_listed(missing)}")
    if corpus.task == "question-answering":
        first, last = corpus.targets[corpus.split != UNUSED].T
        long = int((last - first + 1 > LONGEST_ANSWER).sum())
        if long:
            have = "answer has" if long == 1 else "answers have"
            said.append(
                f"{long} {have} more than {LONGEST_ANSWER} words, and no model gives an answer that long"
            )
    if repeated:
        said.append(f"{repeated} {'row repeats' if repeated == 1 else 'rows repeat'} the text of another row")
    if contradicted:
        said.append(f"{contradicted} {'text has' if contradicted == 1 else 'texts have'} two labels or more")
    return said


def alike_labels(names: Sequence[str]) -> list[str]:
    """Say which labels may be one class though they are written differently, one sentence each."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_plain(name)].append(name)
    return [
        f"the labels {_listed(group)} differ only in case, blanks or type, and are different classes"
        for group in groups.values()
        if len(group) > 1
    ]


def _plain(name: str) -> str:
    """A label without what people write differently: case, blanks, the form of a number."""
    word = "".join(name.casefold().split())
    try:
        number = float(word)
    except ValueError:
        return word
    return repr(number) if math.isfinite(number) else word


def _is_fraction(name: str) -> bool:
    try:
        number = float(name)
    except ValueError:
        return False
    return math.isfinite(number) and not number.is_integer()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
