"""From files to a corpus: which column is what, what is missing, and which file is which split.

How the bytes of a file become columns is in ``tables``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import TRAIN, Corpus
from react_rl.data.labels import classes_of, is_missing, merged_labels
from react_rl.data.splits import DEFAULT_SHARES, Shares, draw_splits, is_split, split_code
from react_rl.data.stacked import ID_COLUMN, StackedTables, refuse_missing
from react_rl.data.tables import Table, read_table, stem_and_format
from react_rl.errors import ReActError, suggestion
from react_rl.files import unusual
from react_rl.seeding import entropy_of

if TYPE_CHECKING:
    import pandas as pd

_SHARD: Final = re.compile(r"-\d+-of-\d+$")
"""What large files that were cut in pieces carry behind their name: ``train-00000-of-00002``."""

_VERSION: Final = re.compile(r"-v\d+(\.\d+)*$")
"""And what SQuAD's carry: ``train-v1.1``."""

_MANY: Final = 10
"""Fewer label values than this are classes even where most rows have one of their own."""


def read_corpus(
    path: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    name: str | None = None,
    format: str | None = None,
    splits: str | None = None,
    cost: str | None = None,
    confidence: str | None = None,
    id: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    encoding: str = "utf-8",
    separator: str | None = None,
) -> Corpus:
    """Read a classification corpus from one file, or from a folder with a file for each split.

    Args:
        path: A CSV, TSV, JSON-lines, JSON or Parquet file (all but Parquet also gzipped), or a folder with
            such files called train, dev (validation, valid, val) and test.
        text: Column of the texts.
        label: Column of the labels: strings, integers or bools.
        name: Name of the corpus; None takes the name of the file or folder.
        format: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; None goes by the file's ending.
        splits: Column that names the split of each row. Only read when it is named here.
        cost: Column of the cost of each row, in cost units; None gives every row 1.
        confidence: Column of the annotators' agreement, 0 to 1. A row may have none: it becomes NaN.
        id: Column of the rows' ids, which are kept as ``Corpus.origin.ids``; None takes a column called
            ``id`` where there is one.
        max_rows: Keep this many rows, drawn by ``seed``, in their order.
        shares: Shares of train, dev and test, for splits that the files do not give.
        seed: Decides the splits and the rows that are kept.
        encoding: Encoding of text files.
        separator: What separates the columns of CSV and TSV files; None finds it out.

    Raises:
        ReActError: If the file, a column, a label, a text or a number is missing or wrong.
    """
    path = Path(path)
    named = (text, label, splits, cost, confidence, id or ID_COLUMN)
    wanted = {column for column in named if column is not None}
    reading: dict[str, Any] = {
        "wanted": wanted, "format": format, "encoding": encoding, "separator": separator
    }  # fmt: skip
    parts: list[tuple[int | None, Table]]
    if path.is_dir():
        files = split_files(path)
        if splits is not None and any(code is not None for code, _ in files):
            raise ReActError(
                f"The files in {path.name} already say which split a row is in: leave out splits={splits!r}."
            )
        parts = [(code, read_table(file, **reading)) for code, file in files]
        stem = path.resolve().name
    elif path.is_file():
        parts = [(None, read_table(path, **reading))]
        stem = stem_and_format(path)[0]
    else:
        raise missing_path(path)
    return corpus_from_tables(
        parts,
        name=name or stem,
        source=path.resolve().name,
        text=text,
        label=label,
        splits=splits,
        cost=cost,
        confidence=confidence,
        id=id,
        max_rows=max_rows,
        shares=shares,
        seed=seed,
    )


def corpus_from_frame(
    frame: pd.DataFrame,
    *,
    text: str = "text",
    label: str = "label",
    name: str = "frame",
    splits: str | None = None,
    cost: str | None = None,
    confidence: str | None = None,
    id: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
) -> Corpus:
    """Make a classification corpus of a pandas data frame; row id i is its line i.

    Args:
        frame: The data frame; its index does not matter.
        text: Column of the texts.
        label: Column of the labels.
        name: Name of the corpus.
        splits: Column that names the split of each row.
        cost: Column of the cost of each row, in cost units.
        confidence: Column of the annotators' agreement, 0 to 1.
        id: Column of the rows' ids; None takes a column called ``id`` where there is one.
        max_rows: Keep this many rows, drawn by ``seed``.
        shares: Shares of train, dev and test, for splits that are not given.
        seed: Decides the splits and the rows that are kept.

    Raises:
        ReActError: If a column, a label, a text or a number is missing or wrong.
    """
    names = tuple(map(str, frame.columns))
    if len(set(names)) < len(names):
        raise ReActError(f"The data frame has two columns of one name among {', '.join(names)}.")
    if not len(frame):
        raise ReActError("The data frame has no rows.")
    columns = {key: frame.iloc[:, place].tolist() for place, key in enumerate(names)}
    return corpus_from_tables(
        [(None, Table("the data frame", names, columns, len(frame)))],
        name=name,
        source="data frame",
        text=text,
        label=label,
        splits=splits,
        cost=cost,
        confidence=confidence,
        id=id,
        max_rows=max_rows,
        shares=shares,
        seed=seed,
    )


def missing_path(path: Path) -> ReActError:
    """Build the error for what is no file and no folder: what it is, or the nearest name beside it."""
    what = unusual(path)
    if what is not None:
        return ReActError(f"{str(path)!r} {what}; name a file or a folder.")
    beside = path.parent
    if beside.is_dir():
        return ReActError(
            f"There is no file or folder {str(path)!r}."
            f"{suggestion(path.name, [other.name for other in beside.iterdir()])}"
        )
    return ReActError(f"There is no file {str(path)!r}, nor the folder {str(beside)!r} it should be in.")


def split_files(folder: Path, endings: tuple[str, ...] = ()) -> list[tuple[int, Path]]:
    """Find the files of a folder that are named after a split, in the order train, dev, test.

    Args:
        folder: The folder.
        endings: File endings to look at besides those of tables, such as ``.conll``.

    Returns:
        Split code and path of each.

    Raises:
        ReActError: There is no train file, or two files are for one split.
    """
    found: dict[int, list[Path]] = {}
    others = []
    for file in sorted(folder.iterdir()):
        stem, format_ = stem_and_format(file)
        ending = Path(stem).suffix.casefold()
        if not file.is_file() or (format_ is None and ending not in endings):
            continue
        stem = stem if format_ else Path(stem).stem
        stem = _VERSION.sub("", _SHARD.sub("", stem))
        if is_split(stem):
            found.setdefault(split_code(stem), []).append(file)
        else:
            others.append(file.name)
    for files in found.values():
        whole = [file for file in files if not _SHARD.search(stem_and_format(file)[0])]
        if whole and len(files) > 1:
            raise ReActError(
                f"The folder {folder.name} has two files for one split,"
                f" {files[0].name} and {files[1].name}; keep one."
            )
    if TRAIN not in found:
        seen = ", ".join([*(file.name for files in found.values() for file in files), *others])
        raise ReActError(
            f"The folder {folder} has no train file (such as train.csv or train.jsonl.gz);"
            f" it has {seen or 'no data files'}."
        )
    return [(code, file) for code in sorted(found) for file in found[code]]


def corpus_from_tables(
    parts: Sequence[tuple[int | None, Table]],
    *,
    name: str,
    source: str,
    text: str,
    label: str,
    splits: str | None = None,
    cost: str | None = None,
    confidence: str | None = None,
    id: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    label_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Corpus:
    """Put the tables of a classification corpus one below the other, check them and draw its splits.

    Args:
        parts: Split code (None when it is not given) and table of each file.
        name: Name of the corpus.
        source: Where it came from.
        text: Column of the texts.
        label: Column of the labels.
        splits: Column of the splits; only for tables without a split code.
        cost: Column of the costs.
        confidence: Column of the confidences.
        id: Column of the ids; None takes one called ``id`` where there is one.
        max_rows: Number of rows to keep.
        shares: Shares of train, dev and test.
        seed: Decides splits and kept rows.
        label_names: Names in their order, if known; the labels must then be among them.
        notes: What was changed so far.

    Raises:
        ReActError: If anything in the tables is missing or wrong.
    """
    tables = StackedTables(parts)
    ids = tables.ids(id, {"text": text, "label": label})
    texts = tables.texts(text)
    labels = tables.column(label, "label")
    targets, names = _classes(tables, label, labels, label_names)
    official = tables.split(splits)
    costs = np.ones(len(texts)) if cost is None else _costs(tables, cost)
    agreed = None if confidence is None else _confidence(tables, confidence)
    notes = [*notes, *merged_labels(labels)]
    rows, draw_notes = drawn_rows(len(texts), max_rows, seed)
    notes += draw_notes
    texts = [texts[row] for row in rows.tolist()]
    targets = targets[rows]
    split, split_notes = draw_splits(
        texts,
        targets,
        official=None if official is None else official[rows],
        shares=shares,
        seed=seed,
        source=source,
    )
    return Corpus(
        name=name,
        task="classification",
        texts=tuple(texts),
        targets=targets,
        label_names=names,
        split=split,
        cost=costs[rows],
        confidence=None if agreed is None else agreed[rows],
        source=source,
        notes=(*notes, *split_notes),
        origin=tables.origin(ids).take(rows),
    )


def _classes(
    tables: StackedTables, column: str, labels: Sequence[Any], names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Classes of the rows and their names; labels that are missing, all alike or no classes are refused."""
    refuse_missing(tables, "label", column, [is_missing(value) for value in labels])
    targets, found = classes_of(labels, tables.place, names)
    seen = np.unique(targets)
    if len(seen) < 2:
        raise ReActError(
            f"The label column {column!r} of {tables.where} holds one class only ({found[seen[0]]!r});"
            " at least two are needed."
        )
    if len(seen) >= _MANY and 2 * len(seen) > len(labels):
        raise ReActError(
            f"The label column {column!r} of {tables.where} holds {len(seen)} different values in"
            f" {len(labels)} rows, as ids, numbers or texts do and classes do not; name the column of the"
            " classes with label=..."
        )
    return targets, found


def _costs(tables: StackedTables, column: str) -> npt.NDArray[np.float64]:
    costs = tables.numbers(column, "cost")
    wrong = ~(costs > 0) | ~np.isfinite(costs)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ReActError(
            f"The cost of {tables.place(row)} is {costs[row]}; a cost must be a finite number above 0."
        )
    return costs


def _confidence(tables: StackedTables, column: str) -> npt.NDArray[np.float64]:
    agreed = tables.numbers(column, "confidence")
    wrong = (agreed < 0) | (agreed > 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ReActError(
            f"The confidence of {tables.place(row)} is {agreed[row]}; it must be between 0 and 1."
        )
    return agreed


def drawn_rows(n_rows: int, max_rows: int | None, seed: int) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Draw the rows ``(max_rows,)`` that are kept, ascending; all where there are no more.

    Returns:
        The rows, and a note where some are left out.

    Raises:
        ReActError: ``max_rows`` is below 1.
    """
    if max_rows is None:
        return np.arange(n_rows), []
    if max_rows < 1:
        raise ReActError(f"max_rows is {max_rows}; it must be 1 or above, or left out.")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "max_rows"))))
    rows = np.sort(rng.permutation(n_rows)[:max_rows]).astype(np.int64)
    return rows, [f"{len(rows)} of {n_rows} rows drawn with seed {seed}"] if len(rows) < n_rows else []


def split_words(parts: Mapping[str, Any]) -> dict[int, str]:
    """Return code and word of the keys of ``parts`` that name a split; of two for one split, the first."""
    words: dict[int, str] = {}
    for word in parts:
        if is_split(word):
            words.setdefault(split_code(word), word)
    return words
