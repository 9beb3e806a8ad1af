"""The corpus: texts, targets, splits and costs in one frozen value with one id space.

Reading files is in ``readers``, drawing splits in ``splits``, pricing rows in ``costs``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from react_rl.data.grouping import deal_groups, text_groups
from react_rl.data.passages import Passages
from react_rl.data.phases import PhaseRows
from react_rl.data.row_origin import RowOrigin
from react_rl.errors import ReActError, unknown
from react_rl.escaping import check_name
from react_rl.files import canonical_json, digest

Task = Literal["classification", "tagging", "question-answering"]
"""Tasks whose targets are checked here and read from files; further ones are registered."""

Half = Literal["first", "second"]

SPLITS: Final = ("train", "dev", "test")
"""Names of the splits; the position is the code in ``Corpus.split``."""
TRAIN: Final = 0
DEV: Final = 1
TEST: Final = 2
UNUSED: Final = 255

ALL_CORPORA: Final = "(mean of corpora)"
"""What tables call the mean over corpora, and so no corpus may be called."""

_HALVING_SEED: Final = 0x5A11


@dataclass(frozen=True, eq=False)
class Corpus:
    """A labelled dataset. The row id is the index into every array, and no method renumbers rows.

    The arrays are copied and made read-only, and every field is checked, when the corpus is built.

    Attributes:
        name: Short name for tables and file names.
        task: What a target is: the name of a task, one of ``Task`` or registered (``react_rl.tasks``).
        texts: N texts, none empty.
        targets: For classification (N,) int64, an index into ``label_names``. For question answering (N, 2)
            int64, first and last word of the answer from 1 on, 0 for none. For tagging (N,) objects, the tags
            of each sentence as int64. For a task of one's own N of what it reads.
        label_names: The K names of the classes.
        split: (N,) uint8, ``TRAIN``, ``DEV``, ``TEST`` or ``UNUSED``.
        cost: (N,) float64, cost units paid for the row's label, above 0.
        confidence: (N,) float64 in [0, 1], how far the annotators agreed, NaN for rows where it is not known;
            None when it is known for none.
        source: Where the corpus came from: a package, a file name or a hub name.
        notes: What was changed while reading, one sentence each.
        tokens: For tagging, the tokens of each text; None for other tasks.
        passages: For question answering, whose texts are questions, what they are about; None for others.
        origin: File, row and id of each row as its owner knows it; None where the rows are not from files.
        phases: The phase of each row, where a corpus comes in phases (``continual``); None for others.

    Raises:
        ReActError: If a field is wrong.
    """

    name: str
    task: str
    texts: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    label_names: tuple[str, ...]
    split: npt.NDArray[np.uint8]
    cost: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    tokens: tuple[tuple[str, ...], ...] | None = None
    passages: Passages | None = None
    origin: RowOrigin | None = None
    phases: PhaseRows | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(self.texts))
        object.__setattr__(self, "label_names", tuple(self.label_names))
        object.__setattr__(self, "notes", tuple(self.notes))
        for field in ("targets", "split", "cost", "confidence"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, _read_only(value))
        check_corpus(self)

    def __repr__(self) -> str:
        """One line: the name, the task, and how many rows and classes."""
        rows = ", ".join(f"{self.ids(split).size} {split}" for split in SPLITS)
        return f"Corpus({self.name!r}, {self.task}, {rows} rows, {len(self.label_names)} classes)"

    @property
    def n_rows(self) -> int:
        """Number of rows N, those in no split included."""
        return len(self.texts)

    @property
    def n_classes(self) -> int:
        """Number of label names K."""
        return len(self.label_names)

    def ids(self, split: str) -> npt.NDArray[np.int64]:
        """Return the row ids of ``split``, ascending.

        Raises:
            ReActError: If ``split`` is not one of ``SPLITS``.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def digest(self) -> str:
        """Return a content hash of texts, targets, label names, split, cost, confidence and phases.

        The name, the source, the notes and the origin do not count.
        """
        if self.targets.dtype == object:
            targets: bytes | str = canonical_json([_plain(target) for target in self.targets])
        elif self.targets.dtype.kind in "iub":
            targets = self.targets.astype("<i8").tobytes()
        else:
            targets = repr(self.targets.tolist())
        confidence = b"" if self.confidence is None else self.confidence.astype("<f8").tobytes()
        return digest(
            self.task,
            canonical_json(list(self.label_names)),
            targets,
            self.split.tobytes(),
            self.cost.astype("<f8").tobytes(),
            confidence,
            *self.texts,
            # Texts alone do not say where a token ends that holds a blank.
            *(() if self.tokens is None else (canonical_json(self.tokens),)),
            *(() if self.passages is None else self.passages.contexts()),
            *(() if self.passages is None else (canonical_json(self.passages.answers),)),
            *(() if self.phases is None else (canonical_json(self.phases.names), self.phases.of.tobytes())),
        )

    def restrict(self, keep: npt.NDArray[np.bool_]) -> Corpus:
        """Return the same rows under the same ids, with the rows outside ``keep`` set to ``UNUSED``.

        Args:
            keep: (N,) bool.

        Raises:
            ReActError: If the mask has another shape or type, or leaves no two classes in use.
        """
        mask = np.asarray(keep)
        if mask.shape != (self.n_rows,) or mask.dtype != np.bool_:
            raise ReActError(
                f"A mask for corpus {self.name!r} must be bool of shape ({self.n_rows},),"
                f" not {mask.dtype} of shape {mask.shape}."
            )
        return replace(self, split=np.where(mask, self.split, np.uint8(UNUSED)).astype(np.uint8))

    def half(self, which: Half) -> Corpus:
        """Return one of two disjoint halves, under the same ids.

        Train, dev and test are halved each on their own, and keep their class shares. Rows with the same
        normalised text stay on one side, and so do questions on one context.

        Args:
            which: ``"first"`` or ``"second"``.

        Raises:
            ReActError: If ``which`` is another word, or the corpus is too small to be halved.
        """
        if which not in get_args(Half):
            raise unknown("half", which, get_args(Half))
        used = np.flatnonzero(self.split != UNUSED)
        strata = self.split[used].astype(np.int64)
        if self.task == "classification":
            strata = strata * self.n_classes + self.targets[used]
        texts = self.texts if self.passages is None else self.passages.contexts()
        groups = text_groups([texts[row] for row in used.tolist()])
        rng = np.random.Generator(np.random.PCG64(_HALVING_SEED))
        side = deal_groups(groups, strata, (0.5, 0.5), rng)
        keep = np.zeros(self.n_rows, dtype=np.bool_)
        keep[used[side == get_args(Half).index(which)]] = True
        for code, split in enumerate(SPLITS):
            rows = self.split == code
            if rows.any() and not (rows & keep).any():
                raise ReActError(
                    f"Corpus {self.name!r} is too small to be halved: its {int(rows.sum())} {split} rows"
                    f" leave none for the {which} half."
                )
        return replace(self.restrict(keep), name=f"{self.name}[{which} half]")


def _plain(target: Any) -> Any:
    return target.tolist() if isinstance(target, np.ndarray) else target


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``array`` itself if nobody can write to it, else a read-only copy."""
    if isinstance(array, np.ndarray) and array.base is None and not array.flags.writeable:
        return array
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def check_corpus(corpus: Corpus) -> None:
    """Check every field of ``corpus``.

    Raises:
        ReActError: If a field has the wrong type, shape or values, a text is empty or no valid Unicode,
            or fewer than two classes are in use.
    """
    check_name(corpus.name, "The corpus name")
    if corpus.name.strip("() ").casefold() == ALL_CORPORA.strip("()"):
        raise ReActError(
            f"A corpus cannot be called {corpus.name!r}, which stands for the mean of all in tables;"
            " give it another name."
        )
    check_name(corpus.task, f"Corpus {corpus.name!r}: the name of the task")
    if not corpus.texts:
        raise ReActError(f"Corpus {corpus.name!r} has no rows.")
    _check_texts(corpus)
    _check_array(corpus, "split", corpus.split, np.uint8)
    _check_array(corpus, "cost", corpus.cost, np.float64)
    known = np.isin(corpus.split, (TRAIN, DEV, TEST, UNUSED))
    if not known.all():
        row = int(np.argmin(known))
        raise ReActError(
            f"Corpus {corpus.name!r} has split code {int(corpus.split[row])} in row id {row};"
            f" allowed are {TRAIN} (train), {DEV} (dev), {TEST} (test) and {UNUSED} (unused)."
        )
    priced = np.isfinite(corpus.cost) & (corpus.cost > 0)
    if not priced.all():
        row = int(np.argmin(priced))
        raise ReActError(
            f"Corpus {corpus.name!r} has cost {corpus.cost[row]} in row id {row};"
            " a cost must be a finite number above 0."
        )
    if corpus.confidence is not None:
        _check_array(corpus, "confidence", corpus.confidence, np.float64)
        valid = ((corpus.confidence >= 0) & (corpus.confidence <= 1)) | np.isnan(corpus.confidence)
        if not valid.all():
            row = int(np.argmin(valid))
            raise ReActError(
                f"Corpus {corpus.name!r} has confidence {corpus.confidence[row]} in row id {row};"
                " a confidence must be between 0 and 1."
            )
    if corpus.origin is not None and len(corpus.origin) != corpus.n_rows:
        raise ReActError(
            f"Corpus {corpus.name!r} has {corpus.n_rows} rows and an origin of {len(corpus.origin)}."
        )
    if corpus.phases is not None and len(corpus.phases.of) != corpus.n_rows:
        raise ReActError(
            f"Corpus {corpus.name!r} has {corpus.n_rows} rows and phases of {len(corpus.phases.of)}."
        )
    if corpus.task == "classification":
        _check_classes(corpus)
    elif corpus.task == "tagging" and corpus.tokens is not None:
        _check_tags(corpus)
    elif corpus.task == "question-answering":
        _check_spans(corpus)
    elif len(corpus.targets) != corpus.n_rows:
        raise ReActError(
            f"Corpus {corpus.name!r} has {corpus.n_rows} texts and {len(corpus.targets)} targets."
        )


def _check_array(corpus: Corpus, field: str, array: npt.NDArray[Any], dtype: type[np.generic]) -> None:
    if array.shape != (corpus.n_rows,) or array.dtype != dtype:
        raise ReActError(
            f"Corpus {corpus.name!r}: {field} must be {np.dtype(dtype)} of shape ({corpus.n_rows},),"
            f" not {array.dtype} of shape {array.shape}."
        )


def _check_texts(corpus: Corpus) -> None:
    for row, text in enumerate(corpus.texts):
        if not isinstance(text, str):
            raise ReActError(
                f"Corpus {corpus.name!r}: the text of row id {row} is {type(text).__name__}, not a string."
            )
        if not text.strip():
            raise ReActError(f"Corpus {corpus.name!r}: the text of row id {row} is empty.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ReActError(
                f"Corpus {corpus.name!r}: the text of row id {row} holds half of a surrogate pair"
                f" at character {error.start}, which is no valid Unicode."
            ) from None


def _check_classes(corpus: Corpus) -> None:
    _check_array(corpus, "targets", corpus.targets, np.int64)
    names = corpus.label_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReActError(f"Corpus {corpus.name!r} has the label name {twice[0]!r} more than once.")
    for name in names:
        check_name(name, f"Corpus {corpus.name!r}: the label name")
    inside = (corpus.targets >= 0) & (corpus.targets < len(names))
    if not inside.all():
        row = int(np.argmin(inside))
        raise ReActError(
            f"Corpus {corpus.name!r} has target {int(corpus.targets[row])} in row id {row};"
            f" with {len(names)} label names it must be between 0 and {len(names) - 1}."
        )
    used = np.unique(corpus.targets[corpus.split != UNUSED])
    if len(used) < 2:
        seen = f"one class only ({names[used[0]]!r})" if len(used) else "no rows"
        raise ReActError(f"Corpus {corpus.name!r} has {seen} in use; at least two classes are needed.")


def _check_tags(corpus: Corpus) -> None:
    tokens = corpus.tokens or ()
    if len(tokens) != corpus.n_rows or len(corpus.targets) != corpus.n_rows:
        raise ReActError(
            f"Corpus {corpus.name!r} has {corpus.n_rows} texts, {len(tokens)} lists of tokens and "
            f"{len(corpus.targets)} of tags."
        )
    for row, (words, tags) in enumerate(zip(tokens, corpus.targets.tolist(), strict=True)):
        if len(words) != len(tags) or not words:
            raise ReActError(
                f"Corpus {corpus.name!r} has {len(words)} tokens and {len(tags)} tags in row id {row}."
            )
        if min(tags) < 0 or max(tags) >= len(corpus.label_names):
            most = len(corpus.label_names) - 1
            raise ReActError(f"Corpus {corpus.name!r} has a tag outside 0 to {most} in row id {row}.")


def _check_spans(corpus: Corpus) -> None:
    passages = corpus.passages
    if passages is None or len(passages.of) != corpus.n_rows or corpus.targets.shape != (corpus.n_rows, 2):
        raise ReActError(
            f"Corpus {corpus.name!r} of questions needs passages and targets of shape ({corpus.n_rows}, 2)."
        )
    first, last = corpus.targets.T
    none = (first == 0) & (last == 0)
    wrong = ~none & ((first < 1) | (last < first) | (last > passages.lengths))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ReActError(
            f"Corpus {corpus.name!r} has an answer from word {first[row]} to {last[row]} in row id {row}, "
            f"whose context has {passages.lengths[row]} words."
        )
