"""Sentences and questions of other tasks as texts with classes: further texts to adjust a policy on.

Written by ``python -m react_rl.experiments.studies.derived_corpora --data data --out data/derived``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.files import write_atomically
from react_rl.seeding import entropy_of

Row = tuple[str, str]
"""Text and label."""

MOST_ROWS: Final = 4000
"""Rows that are kept of each corpus."""


def first_type(record: dict[str, Any]) -> Row | None:
    """A sentence, labelled by the type of its first entity; none of one or two words."""
    if len(record["tokens"]) < 3:
        return None
    types = [tag.partition("-")[2] for tag in record["tags"] if tag != "O"]
    return " ".join(record["tokens"]), types[0] if types else "none"


def article(record: dict[str, Any]) -> Row:
    """A question, labelled by the article that it is about."""
    return record["question"], record["title"]


@dataclass(frozen=True)
class Derived:
    """Where the records of a corpus are, and what is made of them.

    Args:
        files: Files of the records, JSON lines.
        row: Makes a row of a record.
    """

    files: tuple[str, ...]
    row: Callable[[dict[str, Any]], Row | None]


CORPORA: Final[dict[str, Derived]] = {
    "conll_types": Derived(("conll2003/train.jsonl.gz",), first_type),
    "wnut_types": Derived(("wnut17/train.jsonl.gz",), first_type),
    "bc5cdr_types": Derived(("bc5cdr/train.jsonl.gz",), first_type),
    "restaurant_types": Derived(("mit_restaurant/train.jsonl.gz",), first_type),
    "squad_articles": Derived(("squad_v1/dev.jsonl.gz",), article),
}
"""The corpora by name."""


def rows_of(derived: Derived, data: Path, name: str) -> list[Row]:
    """Rows of a corpus, ``MOST_ROWS`` of them at most, drawn by its name."""
    rows = [row for record in _records(derived.files, data) if (row := derived.row(record)) is not None]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(0, "derived", name))))
    chosen = np.sort(rng.permutation(len(rows))[:MOST_ROWS])
    return [rows[place] for place in chosen.tolist()]


def _records(files: Sequence[str], data: Path) -> Iterator[dict[str, Any]]:
    for file in files:
        with gzip.open(data / file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def study(asked: argparse.Namespace) -> str:
    """Write each corpus as a CSV file; returns a table of them."""
    lines = ["| corpus | rows | classes |", "| --- | ---: | ---: |"]
    for name, derived in CORPORA.items():
        rows = rows_of(derived, asked.data, name)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)
        write_atomically(asked.out / f"{name}.csv", text.getvalue())
        lines.append(f"| {name} | {len(rows)} | {len({label for _, label in rows})} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    return run_study(study_parser(__doc__, "derived_corpora", "data/derived", data=True), arguments, study)


if __name__ == "__main__":
    sys.exit(main())
