"""Files with columns, read as they are: CSV, TSV, JSON lines, JSON arrays and Parquet, gzipped or not.

What the columns mean is decided in ``readers``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from react_rl.documents import parse_json
from react_rl.errors import ReActError, first_line, suggestion, unknown
from react_rl.files import utf16

SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""File endings and the formats they stand for; each but Parquet may be followed by ``.gz``."""

_HEAD: Final = 1 << 20
"""Bytes in which the first object of a file must end to be looked at."""

GZIP_MAGIC: Final = b"\x1f\x8b"
"""How a gzipped file begins."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one file.

    Attributes:
        where: Name of the file, for messages.
        names: Names of all columns in the file.
        columns: Values of the columns that were asked for, all of length ``n_rows``.
        n_rows: Number of data rows.
    """

    where: str
    names: tuple[str, ...]
    columns: dict[str, list[Any]]
    n_rows: int

    def column(self, name: str, role: str) -> list[Any]:
        """Return the values of column ``name``.

        Args:
            name: Name of the column.
            role: What it is for, as the option is called: text, label, cost, ...

        Raises:
            ReActError: If there is no such column, with the nearest one.
        """
        if name not in self.columns:
            if len(self.names) == 1 and name in re.split(r"\W+", self.names[0]):
                raise ReActError(
                    f"{self.where} has one column, {self.names[0]!r}, and {name!r} is a part of its name; "
                    "say what separates the columns with separator=..."
                )
            raise ReActError(
                f"{self.where} has no {role} column {name!r}.{suggestion(name, self.names)}"
                f" Columns: {', '.join(self.names) or 'none'}; choose one with {role}=..."
            )
        return self.columns[name]


def stem_and_format(path: Path) -> tuple[str, str | None]:
    """Return the file name without its known endings, and the format these name (None if they name none)."""
    name = path.name
    if name.casefold().endswith(".gz"):
        name = name[:-3]
    format_ = SUFFIXES.get(Path(name).suffix.casefold())
    return (Path(name).stem if format_ else name), format_


def read_table(
    path: Path,
    *,
    wanted: Collection[str] = (),
    format: str | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
) -> Table:
    """Read the columns of one file.

    Args:
        path: The file. Gzip is recognised by its content.
        wanted: Columns to keep; those that do not exist are left out, without complaint.
        format: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; None goes by the ending.
        encoding: Encoding of text formats. UTF-8 files may start with a byte order mark.
        separator: What separates the columns of a CSV or TSV file, one character; None finds it out.

    Raises:
        ReActError: If the format is unknown, or the file is missing, empty, damaged or in another encoding.
    """
    formats = sorted(set(SUFFIXES.values()))
    if format is None:
        format = stem_and_format(path)[1]
        if format is None:
            raise ReActError(
                f"The format of {path.name} is not clear from its ending; use one of the endings "
                f"{', '.join(SUFFIXES)} (and .gz), or, from Python, name one of {', '.join(formats)} with "
                "format=..."
            )
    if format not in formats:
        raise unknown("format", format, formats)
    if separator is not None:
        separator = _checked_separator(separator, format)
    content = file_content(path)
    if format == "parquet":
        table = _parquet(path.name, content, wanted)
    else:
        text = decoded(path.name, content, encoding)
        if format == "jsonl":
            table = _json(path.name, text, wanted)
        else:
            table = _csv(path.name, records_of(path.name, text, format, separator), wanted)
    if table.n_rows == 0:
        raise ReActError(f"{path.name} has no rows.")
    return table


def file_content(path: Path) -> bytes:
    """Read a file, unpacked where it is gzipped.

    Raises:
        ReActError: It cannot be read, is a damaged gzip file, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReActError(f"{path} cannot be read: {error.strerror or error}.") from None
    if content[:2] == GZIP_MAGIC:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ReActError(
                f"{path.name} is a damaged gzip file ({error}); fetch or pack it again."
            ) from None
    if not content.strip():
        raise ReActError(f"{path.name} is empty.")
    return content


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def first_keys(path: Path) -> set[str]:
    """Keys of the first object of a JSON-lines or JSON file; none where it cannot be read."""
    try:
        found, _ = json.JSONDecoder().raw_decode(file_head(path).lstrip("\ufeff[ \r\n\t"))
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()


def file_head(path: Path) -> str:
    """The beginning of a UTF-8 file, unpacked where it is gzipped; empty where it cannot be read."""
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8", "ignore")
    except (OSError, EOFError, zlib.error):
        return ""


def decoded(where: str, content: bytes, encoding: str) -> str:
    """Decode a text file.

    Args:
        where: Its name, for messages.
        content: Its bytes; UTF-8 may begin with a byte order mark.
        encoding: Its encoding.

    Raises:
        ReActError: The encoding is unknown, or the content is in another one.
    """
    utf8 = encoding.casefold().replace("_", "-") in ("utf-8", "utf8")
    if utf8 and utf16(content):
        raise ReActError(
            f"{where} is UTF-16, not {encoding}; save it as UTF-8, or name its encoding, 'utf-16', with "
            "encoding=..."
        )
    try:
        return content.decode("utf-8-sig" if utf8 else encoding)
    except LookupError:
        raise ReActError(
            f"Unknown encoding {encoding!r}; use a name Python knows, such as utf-8 or latin-1."
        ) from None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content[:start].count(b"\n") + 1
        raise ReActError(
            f"{where} is not {encoding}: byte 0x{content[start]:02x} in line {line} does not fit;"
            " save it as UTF-8, or name its encoding with encoding=..., such as 'cp1252' or 'utf-16'."
        ) from None


def _checked_separator(separator: str, format_: str) -> str:
    if format_ not in ("csv", "tsv"):
        raise ReActError(
            f"separator {separator!r} is for CSV and TSV files, not for {format_}; leave it out."
        )
    # In YAML an unquoted \\t is two characters.
    separator = separator.replace("\\t", "\t")
    if len(separator) != 1 or separator in '"\r\n':
        raise ReActError(f"separator {separator!r} must be one character, such as ',', ';', '|' or a tab.")
    return separator


def _separators(header: str) -> list[str]:
    """What may separate the columns under ``header``: commas, then what else is outside its quotes."""
    # Spreadsheets in much of Europe write semicolons into files called CSV.
    unquoted = "".join(header.split('"')[::2])
    return [mark for mark in (",", ";", "\t") if mark in unquoted] or [","]


@dataclass(frozen=True, eq=False)
class Records:
    """The records of a CSV or TSV file.

    Attributes:
        cells: Cells of each record, the header first; blank lines are none.
        lines: First line of each record, and the line behind its last one, counted from 0 as
            ``io.StringIO(text, newline="")`` splits them.
        separator: What separates the cells.
        quoting: ``csv.QUOTE_NONE`` where quotes are part of the texts, ``csv.QUOTE_MINIMAL`` elsewhere.
    """

    cells: list[list[str]]
    lines: list[tuple[int, int]]
    separator: str
    quoting: int


def records_of(where: str, text: str, format: str, separator: str | None) -> Records:
    """Find the records of a CSV or TSV file, and how they are written.

    Args:
        where: Its name, for messages.
        text: Its content.
        format: ``csv`` or ``tsv``.
        separator: What separates the columns; None finds it out.

    Raises:
        ReActError: The quotes are broken, or a record has more or fewer cells than the header.
    """
    separator = separator or ("\t" if format == "tsv" else None)
    if separator is None:
        first, *others = _separators(text.lstrip("\r\n").split("\n", 1)[0])
        try:
            return _separated(where, text, first, csv.QUOTE_MINIMAL)
        except ReActError:
            for other in others:
                with suppress(ReActError):
                    return _separated(where, text, other, csv.QUOTE_MINIMAL)
            raise
    if separator != "\t":
        return _separated(where, text, separator, csv.QUOTE_MINIMAL)
    # Half of the published TSV files quote as CSV does, the other half never quote. When every line is whole,
    # a quote that joins lines or breaks the grammar is part of the text.
    lines = [line for line in text.split("\n") if line.strip()]
    whole = all(line.count("\t") == lines[0].count("\t") for line in lines)
    try:
        records = _separated(where, text, separator, csv.QUOTE_MINIMAL)
    except ReActError:
        if not whole:
            raise
        return _separated(where, text, separator, csv.QUOTE_NONE)
    if whole and len(records.cells) != len(lines):
        return _separated(where, text, separator, csv.QUOTE_NONE)
    return records


def _separated(where: str, text: str, separator: str, quoting: int) -> Records:
    with _long_fields():
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=separator,
            quoting=quoting,  # type: ignore[arg-type]
            strict=True,
        )
        try:
            names = next(reader, [])
            cells, lines = [names], [(0, reader.line_num)]
            begin = reader.line_num
            for row in reader:
                if row:
                    if len(row) != len(names):
                        raise ReActError(
                            f"{where}, line {reader.line_num}: {len(row)} fields under a header of "
                            f"{len(names)}; put quotes around a text that holds the separator "
                            f"{separator!r}, or name another with separator=..."
                        )
                    cells.append(row)
                    lines.append((begin, reader.line_num))
                begin = reader.line_num
        except csv.Error as error:
            raise ReActError(f"{where}, line {reader.line_num}: {error}; check the quotes.") from None
    _refuse_repeated(where, names)
    return Records(cells, lines, separator, quoting)


def _csv(where: str, records: Records, wanted: Collection[str]) -> Table:
    names, *rows = records.cells
    columns: dict[str, list[Any]] = {
        name: [row[place] for row in rows] for place, name in enumerate(names) if name in wanted
    }
    return Table(where, tuple(names), columns, len(rows))


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's limit of 128 KiB a field, which whole articles exceed, for a while."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _refuse_repeated(where: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ReActError(f"{where} has two columns called {name!r}; rename one.")


def _json(where: str, text: str, wanted: Collection[str]) -> Table:
    records: list[Any] = []
    if text.lstrip().startswith("["):
        records = parse_json(text, where, "it must hold one list of objects")
        places = [f"item {number}" for number in range(1, len(records) + 1)]
    else:
        places = []
        # Not splitlines: a text may hold U+2028 or U+0085 as they are.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                places.append(f"line {number}")
                records.append(parse_json(line, f"{where}, line {number}", "each line must hold one object"))
    for place, record in zip(places, records, strict=True):
        if not isinstance(record, dict):
            raise ReActError(
                f"{where}, {place} is a {type(record).__name__}; each must be an object"
                ' such as {"text": "...", "label": "..."}.'
            )
    names = tuple(dict.fromkeys(name for record in records for name in record))
    columns = {name: [record.get(name) for record in records] for name in names if name in wanted}
    return Table(where, names, columns, len(records))


def _parquet(where: str, content: bytes, wanted: Collection[str]) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ReActError(
            f"Reading {where} needs pyarrow, which is not installed; run: pip install 'react-rl[hub]'."
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
        names = [str(name) for name in file.schema_arrow.names]
        _refuse_repeated(where, names)
        kept = [name for name in names if name in wanted]
        columns = {name: values.to_pylist() for name, values in _columns(file.read(columns=kept), kept)}
        return Table(where, tuple(names), columns, int(file.metadata.num_rows))
    except ReActError:
        raise
    # Of a damaged file the library raises what its many parts do.
    except Exception as error:
        raise ReActError(f"{where} is no readable Parquet file: {first_line(error)}.") from None


def _columns(table: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        yield name, table.column(name)
