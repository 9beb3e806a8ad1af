"""Labels written into a file of texts; all else in it stays as it was, and in a text file to the byte."""

from __future__ import annotations

import csv
import gzip
import io
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from react_rl.data.labels import classes_of, is_missing
from react_rl.data.tables import (
    GZIP_MAGIC,
    Records,
    Table,
    decoded,
    file_content,
    read_table,
    records_of,
    stem_and_format,
)
from react_rl.errors import ReActError, first_line
from react_rl.files import written_atomically

_MARKS: Final = ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
"""Byte order marks that a text file may begin with, and what follows them."""

_DECODER: Final = json.JSONDecoder()


def fill_labels(
    path: Path,
    column: str,
    labels: Mapping[int, str],
    *,
    encoding: str = "utf-8",
    separator: str | None = None,
) -> None:
    """Write labels into rows of a file that have none.

    In a text file the other bytes stay as they are, but for quotes in a CSV record that gets a label; of a
    Parquet file the values, types and metadata do. What was written is read again and compared before it
    takes the place of the file.

    Args:
        path: A CSV, TSV, JSON-lines, JSON or Parquet file, gzipped or not, that ``read_table`` can read.
        column: Column of the labels, which is added behind the others where there is none.
        labels: Label of each row that gets one, by its position; 0 is the first data row. In JSON and Parquet
            it takes the type of the labels that are there, if it can.
        encoding: Encoding of text files.
        separator: What separates the columns of CSV and TSV files; None finds it out.

    Raises:
        ReActError: A label does not fit the encoding or the type of the column, the file could not be written
            back as it was, or it changed meanwhile.
        WriteError: The file cannot be written.
    """
    path = path.resolve()  # a link stays a link
    where, format = path.name, stem_and_format(path)[1]
    reading: dict[str, Any] = {"format": format, "encoding": encoding, "separator": separator}
    raw, content = path.read_bytes(), file_content(path)
    before = read_table(path, wanted=read_table(path, **reading).names, **reading)
    typed = _typed(labels, before.columns.get(column, []))
    if format == "parquet":
        content = _parquet(where, content, column, typed)
    else:
        text = decoded(where, content, encoding)
        mark, codec = _codec(where, content, text, encoding)
        if format == "jsonl":
            text = _json(text, column, typed)
        else:
            text = _csv(text, records_of(where, text, str(format), separator), column, labels)
        try:
            content = mark + text.encode(codec)
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            raise ReActError(
                f"A label holds {letter!r}, which {where} cannot hold in {encoding}; save it as UTF-8."
            ) from None
    if raw[:2] == GZIP_MAGIC:
        content = gzip.compress(content, mtime=0)
    with written_atomically(path) as part:
        part.write_bytes(content)
        after = read_table(part, wanted=(*before.names, column), **reading)
        if not _kept(before, after, column, typed):
            raise ReActError(
                f"With the labels in it {where} would no longer read the same, so nothing was written; "
                "write them by hand."
            )
        if path.read_bytes() != raw:
            raise ReActError(f"{where} changed while labels were written, so none was; try again.")


def _kept(before: Table, after: Table, column: str, labels: Mapping[int, Any]) -> bool:
    """Whether a file has the labels now, and otherwise what it had."""
    if (*after.names,) != tuple(dict.fromkeys((*before.names, column))) or after.n_rows != before.n_rows:
        return False
    # Of equal values of all kinds, NaN and lists among them, the texts are equal.
    others = [name for name in before.names if name != column]
    if any(list(map(repr, before.columns[name])) != list(map(repr, after.columns[name])) for name in others):
        return False
    old = before.columns.get(column, [None] * before.n_rows)
    return all(
        classes_of([now], str)[1] == classes_of([labels[row]], str)[1]
        if row in labels
        else repr(now) == repr(was) or (is_missing(now) and is_missing(was))
        for row, (was, now) in enumerate(zip(old, after.columns[column], strict=True))
    )


def _codec(where: str, content: bytes, text: str, encoding: str) -> tuple[bytes, str]:
    """The byte order mark and the codec that make of a text the bytes that it was read from.

    Raises:
        ReActError: None do.
    """
    for mark, codec in ((b"", encoding), (b"", "utf-8"), *_MARKS):
        with suppress(UnicodeEncodeError):
            if mark + text.encode(codec) == content:
                return mark, codec
    raise ReActError(f"{where} cannot be written back as it was in {encoding}; save it as UTF-8.")


def _typed(labels: Mapping[int, str], column: Sequence[Any]) -> dict[int, Any]:
    """Labels in the type of those that a column has already, as far as they can be."""
    given = [value for value in column if not is_missing(value)]
    classes, names = classes_of(given, str)
    known: dict[str, Any] = {}
    for number, value in zip(classes.tolist(), given, strict=True):
        known.setdefault(names[number], value)
    kinds = {type(value) for value in given}

    def typed(word: str) -> Any:
        if word in known:
            return known[word]
        if kinds == {bool}:
            return {"true": True, "false": False}.get(word.casefold(), word)
        if len(kinds) == 1 and kinds <= {int, float}:
            with suppress(ValueError):
                value = next(iter(kinds))(word)
                return value if classes_of([value], str)[1] == (word,) else word
        return word

    return {row: typed(word) for row, word in labels.items()}


def _csv(text: str, records: Records, column: str, labels: Mapping[int, str]) -> str:
    lines = list(io.StringIO(text, newline=""))
    names = records.cells[0]
    written = {row + 1: label for row, label in labels.items()}  # the header is record 0
    if column not in names:
        written = {**dict.fromkeys(range(len(records.cells)), ""), 0: column, **written}
    for record, label in written.items():
        begin, end = records.lines[record]
        whole = "".join(lines[begin:end])
        body = whole.rstrip("\r\n")
        if column in names:
            cells = [
                label if name == column else cell
                for name, cell in zip(names, records.cells[record], strict=True)
            ]
            new = _record(cells, records)
        else:
            new = body + _record(["", label], records)
        lines[begin:end] = [new + whole[len(body) :], *[""] * (end - begin - 1)]
    return "".join(lines)


def _record(cells: Sequence[str], records: Records) -> str:
    """A record as it is written, without the end of its line."""
    out = io.StringIO()
    plain = records.quoting == csv.QUOTE_NONE
    csv.writer(
        out,
        delimiter=records.separator,
        quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
        quotechar=None if plain else '"',
    ).writerow(cells)
    return out.getvalue().removesuffix("\r\n")


def _json(text: str, column: str, labels: Mapping[int, Any]) -> str:
    parts, done = [], 0
    for row, begin in enumerate(_objects(text)):
        if row in labels:
            value = json.dumps(labels[row], ensure_ascii=text.isascii())
            start, end = _member(text, begin, column)
            if start == end:
                comma = ", " if text[begin + 1 : end].strip() else ""
                value = f"{comma}{json.dumps(column, ensure_ascii=text.isascii())}: {value}"
            parts += [text[done:start], value]
            done = end
    return "".join([*parts, text[done:]])


def _objects(text: str) -> Iterator[int]:
    """Where each object of a JSON-lines file, or of a JSON file that is one list, begins."""
    place = _skip(text, 0)
    if text[place] == "[":
        place = _skip(text, place + 1)
    while place < len(text) and text[place] != "]":
        yield place
        place = _skip(text, _DECODER.raw_decode(text, place)[1], ",")


def _member(text: str, begin: int, key: str) -> tuple[int, int]:
    """Where the value of a key is in the object that begins at a place; where it would be added, twice.

    Of a key that is given twice the last one counts.
    """
    found, place = None, _skip(text, begin + 1)
    behind = place
    while text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        start = _skip(text, place, ":")
        behind = _DECODER.raw_decode(text, start)[1]
        if name == key:
            found = start, behind
        place = _skip(text, behind, ",")
    return found or (behind, behind)


def _skip(text: str, place: int, mark: str = "") -> int:
    """The next place that holds neither a blank nor the mark."""
    while place < len(text) and (text[place].isspace() or text[place] == mark):
        place += 1
    return place


def _parquet(where: str, content: bytes, column: str, labels: Mapping[int, Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
    table = file.read()
    there = column in table.column_names
    field = table.schema.field(column) if there else pyarrow.field(column, pyarrow.null())
    kind = pyarrow.string() if pyarrow.types.is_null(field.type) else field.type
    values = table.column(column).to_pylist() if there else [None] * table.num_rows
    for row, label in labels.items():
        values[row] = label
    try:
        filled = pyarrow.array(values, kind)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise ReActError(
            f"A label does not fit the column {column!r} of {where}, which is of type {kind} "
            f"({first_line(error)}); correct it, or store the labels as strings."
        ) from None
    place = table.column_names.index(column) if there else table.num_columns
    table = (table.remove_column(place) if there else table).add_column(place, field.with_type(kind), filled)
    codec = file.metadata.row_group(0).column(0).compression
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, out, compression="none" if codec == "UNCOMPRESSED" else codec.lower())
    return bytes(out.getvalue())
