"""Corpora of tagged sentences: CoNLL columns and tables with lists of tokens and tags become a corpus.

A row is a sentence. Its target holds one number for each token: 0 is O, ``1 + 2k`` begins an entity of type
k, ``2 + 2k`` continues it (IOB2), and ``label_names`` lists them in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.readers import drawn_rows, missing_path, split_files
from react_rl.data.row_origin import RowOrigin
from react_rl.data.splits import DEFAULT_SHARES, Shares, draw_splits
from react_rl.data.stacked import ID_COLUMN, StackedTables
from react_rl.data.tables import decoded, file_content, first_keys, read_table, stem_and_format
from react_rl.data.tags import Scheme, entity_types, to_iob2
from react_rl.errors import ReActError

CONLL: Final = (".conll", ".iob", ".iob2", ".bio", ".bioes")
"""File endings of column files; each may be followed by ``.gz``."""

PLAIN: Final = ".txt"
"""A further one of column files, where a corpus is said to be of tagging."""

_DOCUMENT: Final = "-DOCSTART-"


@dataclass(frozen=True)
class Sentences:
    """Sentences of one file, as they are written there.

    Args:
        where: Name of the file, for messages.
        tokens: Tokens of each sentence.
        tags: As many tags for each.
        places: Where each sentence begins: ``line 12`` or ``row 3``.
        by_line: Whether a token has a line of its own.
        ids: Id of each sentence, an empty text where it has none; None where the file has no ids.
    """

    where: str
    tokens: list[list[str]]
    tags: list[list[str]]
    places: list[int]
    by_line: bool
    ids: list[str] | None = None

    def place(self, row: int, token: int | None = None) -> str:
        """Say where a sentence, or one token of it, is."""
        if self.by_line:
            return f"line {self.places[row] + (token or 0)} of {self.where}"
        at = "" if token is None else f"token {token + 1} in "
        return f"{at}row {self.places[row]} of {self.where}"


def read_conll(path: Path, *, column: int = -1, encoding: str = "utf-8") -> Sentences:
    """Read a column file: a token and its tags on each line, an empty line behind each sentence.

    The token is in the first column, or in the second one where the tag is in the first.

    Args:
        path: The file, gzipped or not. Columns are separated by tabs or, in lines without one, by blanks;
            ``-DOCSTART-`` lines are left out.
        column: Which column is the tag, counted from the first (0) or the last (-1).
        encoding: Encoding of the file.

    Raises:
        ReActError: The file cannot be read, or a line has too few columns.
    """
    text = decoded(path.name, file_content(path), encoding)
    found = Sentences(path.name, [], [], [], by_line=True)
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        # Chinese texts hold ideographic spaces as tokens, so only blanks and tabs separate.
        line = line.rstrip("\r")
        fields = [field.strip(" ") for field in line.split("\t" if "\t" in line else " ")]
        fields = [field for field in fields if field]
        if not fields or fields[0] == _DOCUMENT:
            if tokens:
                found.tokens.append(tokens)
                found.tags.append(tags)
                found.places.append(number - len(tokens))
            tokens, tags = [], []
            continue
        needed = column + 1 if column >= 0 else -column
        if len(fields) < max(needed, 2):
            raise ReActError(
                f"Line {number} of {path.name} has {len(fields)} column{'s'[: len(fields) != 1]} "
                f"({line.strip()[:40]!r}) where a token and its tag belong; "
                "sentences are separated by lines that are empty."
            )
        tag = column % len(fields)
        tokens.append(fields[0 if tag else 1])
        tags.append(fields[tag])
    if not found.tokens:
        raise ReActError(f"{path.name} has no sentences.")
    return found


def read_sentence_table(
    path: Path,
    *,
    tokens: str = "tokens",
    tags: str = "tags",
    id: str | None = None,
    format: str | None = None,
    encoding: str = "utf-8",
) -> Sentences:
    """Read a table whose rows hold a list of tokens and a list of tags: JSON lines, JSON or Parquet.

    Raises:
        ReActError: A column is missing, or a row has no tokens, other tags than tokens, or no strings.
    """
    table = read_table(path, wanted={tokens, tags, id or ID_COLUMN}, format=format, encoding=encoding)
    found = Sentences(
        table.where, table.column(tokens, "tokens"), table.column(tags, "tags"),
        list(range(1, table.n_rows + 1)), by_line=False,
        ids=StackedTables([(None, table)]).ids(id, {"tokens": tokens, "tags": tags}),
    )  # fmt: skip
    for row in range(table.n_rows):
        for name, kind in ((tokens, "tokens"), (tags, "tags")):
            value = (found.tokens if kind == "tokens" else found.tags)[row]
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                shown = type(value).__name__ if not isinstance(value, list) else "list of other things"
                raise ReActError(
                    f"The {kind} in column {name!r}, {found.place(row)}, are a {shown}; "
                    "give a list of strings."
                )
    return found


def check_sentences(found: Sentences) -> None:
    """Check that every sentence has tokens, as many tags, and no empty token.

    Raises:
        ReActError: It has not; file and line are named.
    """
    for row, (tokens, tags) in enumerate(zip(found.tokens, found.tags, strict=True)):
        if not tokens:
            raise ReActError(f"The sentence in {found.place(row)} has no tokens; leave it out.")
        if len(tokens) != len(tags):
            raise ReActError(
                f"The sentence in {found.place(row)} has {len(tokens)} tokens and {len(tags)} tags; "
                "give one tag for each token."
            )
        for token, word in enumerate(tokens):
            if not word.strip():
                raise ReActError(f"There is an empty token in {found.place(row, token)}; leave it out.")


def read_tagged(
    path: str | Path,
    *,
    tokens: str = "tokens",
    tags: str = "tags",
    name: str | None = None,
    format: str | None = None,
    column: int = -1,
    scheme: Scheme | None = None,
    strict: bool = False,
    id: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    encoding: str = "utf-8",
) -> Corpus:
    """Read a corpus for named entity recognition from one file, or from a folder with a file for each split.

    A row costs as many units as it has tokens.

    Args:
        path: A column file (``.conll``, ``.iob``, ``.iob2``, ``.bio``, ``.bioes``, ``.txt``), a JSON,
            JSON-lines or Parquet file with a list of tokens and a list of tags in each row, or a folder with
            such files called train, dev (validation, valid, val) and test.
        tokens: Column of the tokens, in tables.
        tags: Column of the tags, in tables.
        name: Name of the corpus; None takes the name of the file or folder.
        format: ``conll``, ``jsonl`` or ``parquet``; None goes by the file's ending.
        column: Which column of a column file is the tag.
        scheme: ``iob1``, ``iob2`` or ``bioes``; None finds out.
        strict: Refuse tags that break the scheme, such as an I that continues nothing. Otherwise they begin
            an entity, and the corpus notes how many did.
        id: Column of the sentences' ids, in tables; None takes one called ``id`` where there is one.
        max_rows: Keep this many rows, drawn by ``seed``, in their order.
        shares: Shares of train, dev and test, for splits that the files do not give.
        seed: Decides the splits and the rows that are kept.
        encoding: Encoding of text files.

    Raises:
        ReActError: If a file, a column, a token or a tag is missing or wrong; file and line are named.
    """
    path = Path(path)
    if path.is_dir():
        files: list[tuple[int | None, Path]] = list(split_files(path, (*CONLL, PLAIN)))
    elif path.is_file():
        files = [(None, path)]
    else:
        raise missing_path(path)
    parts = []
    for code, file in files:
        if format == "conll" or (format is None and (is_conll(file) or _ends_in(file, (PLAIN,)))):
            if id is not None:
                raise ReActError(f"{file.name} is a column file and has no ids; leave id={id!r} out.")
            found = read_conll(file, column=column, encoding=encoding)
        else:
            found = read_sentence_table(
                file, tokens=tokens, tags=tags, id=id, format=format, encoding=encoding
            )
        check_sentences(found)
        parts.append((code, found))
    return tagged_corpus(
        parts, name=name or _stem(path), source=path.resolve().name, scheme=scheme, strict=strict,
        max_rows=max_rows, shares=shares, seed=seed,
    )  # fmt: skip


def holds_sentences(path: Path) -> bool:
    """Whether a file or folder holds tagged sentences: column files, or rows with ``tokens`` and ``tags``.

    Only the first row of the first file is looked at; what cannot be read holds none.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if is_conll(file):
            return True
        format_ = stem_and_format(file)[1]
        if not file.is_file() or format_ is None:
            continue
        if format_ != "jsonl":
            return False
        return {"tokens", "tags"} <= first_keys(file)
    return False


def is_conll(path: Path) -> bool:
    """Whether a file is a column file by its ending."""
    return _ends_in(path, CONLL)


def _ends_in(path: Path, endings: tuple[str, ...]) -> bool:
    return path.name.casefold().removesuffix(".gz").endswith(endings)


def _stem(path: Path) -> str:
    stem, format_ = stem_and_format(path)
    return path.resolve().name if path.is_dir() else stem if format_ else Path(stem).stem


def tagged_corpus(
    parts: Sequence[tuple[int | None, Sentences]],
    *,
    name: str,
    source: str,
    scheme: Scheme | None = None,
    strict: bool = False,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
) -> Corpus:
    """Put sentences one below the other, convert their tags to IOB2 and draw the splits.

    Args:
        parts: Split code (None when it is not given) and sentences of each file, checked.
        name: Name of the corpus.
        source: Where it came from.
        scheme: What the tags are written in; None finds out.
        strict: Refuse tags that break the scheme.
        max_rows: Number of rows to keep.
        shares: Shares of train, dev and test.
        seed: Decides splits and kept rows.

    Raises:
        ReActError: A tag is wrong, or no entity is tagged at all.
    """
    begun = [(sentences, row) for _, sentences in parts for row in range(len(sentences.tokens))]
    origin = RowOrigin.of_files([(sentences.where, sentences.places) for _, sentences in parts])
    if any(sentences.ids is not None for _, sentences in parts):
        origin = origin.with_ids([word for _, s in parts for word in s.ids or [""] * len(s.tokens)])

    def place(row: int, token: int) -> str:
        sentences, own = begun[row]
        return sentences.place(own, token)

    tokens = [sentences.tokens[row] for sentences, row in begun]
    converted = to_iob2([s.tags[row] for s, row in begun], scheme, place, repair=not strict)
    types = sorted({tag[2:] for tags in converted.tags for tag in tags if tag != "O"})
    if not types:
        raise ReActError(f"No entity is tagged in {source}; check which column holds the tags.")
    names = ("O", *(f"{prefix}-{one}" for one in types for prefix in "BI"))
    number = {tag: place for place, tag in enumerate(names)}
    targets = _objects([np.array([number[tag] for tag in tags], np.int64) for tags in converted.tags])
    official = None
    if all(code is not None for code, _ in parts):
        official = np.concatenate([np.full(len(s.tokens), code, np.uint8) for code, s in parts])
    notes = []
    if converted.repaired:
        notes.append(
            f"{len(converted.repaired)} tags break the scheme {converted.scheme.upper()} and were read as "
            f"the beginning or end of an entity; the first is {converted.repaired[0]}"
        )
    rows, draw_notes = drawn_rows(len(tokens), max_rows, seed)
    notes += draw_notes
    kept = [tokens[row] for row in rows.tolist()]
    texts = [" ".join(words) for words in kept]
    split, split_notes = draw_splits(
        texts,
        entity_strata(targets[rows], len(types)),
        official=None if official is None else official[rows],
        shares=shares,
        seed=seed,
        source=source,
    )
    return Corpus(
        name=name,
        task="tagging",
        texts=tuple(texts),
        targets=targets[rows],
        label_names=names,
        split=split,
        cost=np.array([len(words) for words in kept], np.float64),
        source=source,
        notes=(*notes, *split_notes),
        tokens=tuple(tuple(words) for words in kept),
        origin=origin.take(rows),
    )


def entity_strata(targets: npt.NDArray[Any], n_types: int) -> npt.NDArray[np.int64]:
    """A stratum for each sentence: its rarest entity type (of the corpus) from 1 on, 0 without entities."""
    begun = [np.unique(entity_types(tags)) for tags in targets]
    counts = np.bincount(np.concatenate([*begun, np.zeros(0, np.int64)]), minlength=n_types)
    strata = [0 if own.size == 0 else 1 + int(own[np.argmin(counts[own])]) for own in begun]
    return np.array(strata, np.int64)


def _objects(arrays: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[Any]:
    """An array of arrays of different length."""
    found = np.empty(len(arrays), dtype=object)
    for row, array in enumerate(arrays):
        array.flags.writeable = False
        found[row] = array
    return found
