"""`react-rl suggest`: which rows of a file to label next, as a table and as CSV."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from react_rl.data.partly_labelled import PartlyLabelled
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import ReActError, suggestion
from react_rl.escaping import for_terminal
from react_rl.experiments.cli.screen import aside, console
from react_rl.experiments.config.frozen import Frozen
from react_rl.experiments.config.models import overridden
from react_rl.experiments.report.text import counted
from react_rl.experiments.run.merging import MergedLabels, check_replaceable, merge_labels
from react_rl.experiments.run.suggestions import (
    Suggestions,
    suggest_rows,
    usual_strategy,
    write_suggestions,
)
from react_rl.own_code import look_in

_NAMED: Final = 12
"""Classes that are named with their counts; of more the most frequent ones are."""

_ENCODER: Final = "encoder"


class _Encoding(Frozen):
    """What can be overridden: how texts become vectors."""

    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""


def run_suggest(known: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Perhaps put labels into a file, suggest rows of it, print them and perhaps write them.

    Returns:
        The exit status.

    Raises:
        ReActError: The file, an option or the strategy does not exist or does not fit.
        WriteError: The file, or that of suggestions, cannot be written.
    """
    for argument in overrides:
        section = argument.removeprefix("--").split("=")[0].split(".")[0]
        if argument.startswith("--") and section != _ENCODER:
            options = [f"--{name.replace('_', '-')}" for name in vars(known)]
            raise ReActError(
                f"Unknown option {argument!r}.{suggestion(argument, options)} Of the keys of a config, "
                "`react-rl suggest` takes those of the encoder alone (--encoder.model ...)."
            )
    encoder = overridden(_Encoding(), overrides, "the encoder").encoder
    if (
        known.out is not None
        and known.out.exists()
        and known.file.exists()
        and known.out.samefile(known.file)
    ):
        raise ReActError(f"--out names {known.file} itself, whose labels would be lost; name another file.")
    if known.file.parent.is_dir():
        look_in(known.file.parent)  # one's own modules may be beside the file, as they are beside a config
    reading = {
        "text": known.text, "label": known.label, "encoding": known.encoding, "separator": known.separator
    }  # fmt: skip
    if known.labels is not None:
        merged = merge_labels(known.file, known.labels, **reading)
        _print(_merged(merged, known.labels, known.file))
        if not merged.waiting:
            _print(f"All rows of {known.file} have a label now.")
            return 0

    def look_at(data: PartlyLabelled) -> None:
        _say(data, known.strategy)
        if known.out is not None:
            check_replaceable(known.out, data)

    found = suggest_rows(
        known.file,
        **reading,
        id=known.id,
        n=known.n,
        strategy=known.strategy,
        budget=known.budget,
        seed=known.seed,
        encoder=encoder,
        device=known.device,
        on_data=look_at,
    )
    console.print(_table(found), highlight=False)
    if known.out is not None:
        write_suggestions(known.out, found)
        console.print(f"Written: {known.out}", highlight=False, markup=False, soft_wrap=True)
    return 0


def summary(data: PartlyLabelled) -> str:
    """One line on a file: its rows, how many of them are labelled, and the classes with their counts."""
    rows = len(data.texts)
    labelled = rows - data.waiting
    head = f"{data.origin.files[0]}: {rows:,} {'row' if rows == 1 else 'rows'}, {labelled:,} labelled"
    if not labelled:
        return head
    counts = data.counts.tolist()
    order = sorted(range(len(counts)), key=lambda c: -counts[c])
    shown = ", ".join(f"{data.label_names[c]} {counts[c]:,}" for c in order[:_NAMED])
    rest = f" and {len(order) - _NAMED} more classes" if len(order) > _NAMED else ""
    return f"{head} ({shown}{rest})"


def _say(data: PartlyLabelled, strategy: str | None) -> None:
    """Say what the file holds, before anything is encoded."""
    lines = [summary(data)]
    repeated = data.waiting - data.candidates.size
    notes = list(data.notes)
    if repeated:
        verb = "repeats" if repeated == 1 else "repeat"
        notes.append(
            f"{counted(repeated, 'row')} without a label {verb} the text of another row; each text is "
            "suggested once, and not if it has a label"
        )
    lines += [f"Note: {note}." for note in notes]
    if strategy is None and len(data.label_names) < 2:
        so_far = "No row has a label yet" if not data.label_names else "All labels are of one class so far"
        lines.append(
            f"{so_far}, so {usual_strategy(data)} chooses: it reads embeddings alone, and maxherding was the "
            "best such strategy where episodes began with one label."
        )
    _print(*lines)


def _merged(found: MergedLabels, suggestions: Path, path: Path) -> str:
    """One line on labels that were put into a file."""
    rows = counted(sum(found.written.values()), "label")
    shown = ", ".join(f"{name} {count:,}" for name, count in found.written.items())
    parts = [f"{path}: {rows} of {suggestions} written" + (f" ({shown})" if shown else "")]
    parts += [f"{found.there} there already"] if found.there else []
    parts += [f"{counted(found.empty, 'row')} without one"] if found.empty else []
    new = f"; new: {', '.join(found.new)}" if found.new else ""
    return f"{', '.join(parts)}{new}"


def _print(*lines: str) -> None:
    for line in lines:
        aside.print(escape(for_terminal(line)), highlight=False, soft_wrap=True)


def _table(found: Suggestions) -> Table:
    """Suggestions for the terminal, each in one line, the text cut where the line ends."""
    origin = found.data.origin
    title = f"Label next, most wanted first ({found.strategy}); row 1 is the first data row of the file"
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.expand = True  # other columns keep their width where a text is long
    table.add_column("row", justify="right", no_wrap=True)
    if origin.ids is not None:
        table.add_column("id", no_wrap=True, overflow="ellipsis", max_width=24)
    if found.predictions is not None:
        table.add_column("prediction", no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column("p", justify="right", no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for line in found.lines():
        cells = [str(line["row"])]
        cells += [str(line["id"])] if origin.ids is not None else []
        if found.predictions is not None:
            cells += [str(line["prediction"]), f"{line['probability']:.2f}"]
        cells.append(" ".join(str(line["text"]).split()))
        table.add_row(*(escape(for_terminal(cell)) for cell in cells))
    return table
