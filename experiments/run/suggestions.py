"""Which rows of a file to label next: the labels that it has are read, and nothing is simulated."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.acquisition.origin import base_of
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import entry_of, is_strategy, reads_model
from react_rl.agents.bridges.arrays import pool_of_arrays, rows_of
from react_rl.agents.learned import LearnedStrategy
from react_rl.data.partly_labelled import PartlyLabelled, read_partly_labelled
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.embedding import encode_corpus
from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import resolve_device
from react_rl.errors import ReActError
from react_rl.escaping import csv_row
from react_rl.experiments.run.merging import check_replaceable
from react_rl.experiments.run.strategies import check_learner, resolve, surprised
from react_rl.files import written_atomically
from react_rl.learners.linear.settings import SoftmaxSettings

USUAL: Final = "learned"
"""Chooses once two classes have a labelled row: the policy that comes with the package."""

FIRST: Final = "maxherding"
"""Chooses before: the best of those that read embeddings alone where episodes began with one label."""

FIRST_OF_MANY: Final = f"subsample:{FIRST}"
"""Chooses before in a file of more than ``MANY`` rows: the cost grows with the square of their number."""

MANY: Final = 10_000
"""Rows of a file up to which all are compared with each other before the first labels."""

ROUNDS: Final = 10
"""Batches that the labels still to be bought are taken to be, where nobody says."""

COLUMNS: Final = ("id", "file", "row", "text", "label", "prediction", "probability")
"""Columns of the file of suggestions; the first four are those of ``bought.csv``, the label is empty."""


@dataclass(frozen=True)
class Suggestions:
    """Rows to label next.

    Args:
        data: The file.
        strategy: Name of the strategy that chose them.
        rows: ``(n,)`` positions in ``data``, most wanted first.
        predictions: Most probable class of each under a model that is fitted to the labels, and its
            probability to four digits; None where the labels are not of two classes.
    """

    data: PartlyLabelled
    strategy: str
    rows: npt.NDArray[np.int64]
    predictions: tuple[tuple[str, float], ...] | None

    def lines(self) -> list[dict[str, str | int | float]]:
        """One mapping for each row, by ``COLUMNS``; without predictions these are empty texts."""
        origin = self.data.origin
        shown: Sequence[tuple[str, str | float]] = self.predictions or (("", ""),) * len(self.rows)
        return [
            {
                "id": "" if origin.ids is None else origin.ids[row],
                "file": origin.files[origin.file[row]],
                "row": int(origin.row[row]),
                "text": self.data.texts[row],
                "label": "",
                "prediction": name,
                "probability": probability,
            }
            for row, (name, probability) in zip(self.rows.tolist(), shown, strict=True)
        ]


def suggest_rows(
    path: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    id: str | None = None,
    n: int = 20,
    strategy: str | None = None,
    budget: float | None = None,
    seed: int = 0,
    encoder: EncoderConfig = EncoderConfig(),  # noqa: B008 frozen
    device: str = "auto",
    encoding: str = "utf-8",
    separator: str | None = None,
    progress: bool = True,
    on_data: Callable[[PartlyLabelled], None] | None = None,
) -> Suggestions:
    """Say which rows of a file to label next: a softmax regression is fitted to the labels that it has.

    Rows that repeat a text are suggested once, and not at all where one of them has a label.

    Args:
        path: A CSV, TSV, JSON-lines, JSON or Parquet file; a row whose label is empty has none yet.
        text: Column of the texts.
        label: Column of the labels; see ``read_partly_labelled``.
        id: Column of the rows' ids; None takes a column called ``id`` where there is one.
        n: Rows wanted.
        strategy: Name of a strategy, or folder of a row scorer; None takes ``learned``, and ``maxherding``
            (on random rows of a file of more than ``MANY``) before two classes have a labelled row.
        budget: Labels that are still to be bought, these ones included, for policies that look ahead; None
            takes ten times ``n``.
        seed: Of everything random.
        encoder: Frozen encoder; embeddings come from the cache where they are in it.
        device: ``auto``, ``cpu`` or ``cuda``.
        encoding: Encoding of text files.
        separator: What separates the columns of CSV and TSV files; None finds it out.
        progress: Show the encoder's progress.
        on_data: Told what the file holds, before anything is encoded.

    Raises:
        ReActError: The file, a column or the strategy cannot be had or does not fit, or fewer than ``n`` rows
            wait for a label.
    """
    if not isinstance(n, int) or n < 1:
        raise ReActError(f"n is {n!r}; ask for one row at least.")
    if budget is not None and not budget >= n:
        raise ReActError(
            f"budget is {budget:g}, less than the {n} rows that are asked for; it counts the labels that are "
            "still to be bought, these ones included."
        )
    if strategy is not None:
        _check_strategy(strategy)
    place = resolve_device(device)
    data = read_partly_labelled(path, text=text, label=label, id=id, encoding=encoding, separator=separator)
    if on_data is not None:
        on_data(data)
    name = _chooser(data, strategy)
    candidates = _candidates(data, n)
    chooser = resolve(name)
    vectors = encode_corpus(data, make_encoder(encoder.settings(device)), ArrayCache(), progress)
    view = pool_of_arrays(
        vectors,
        data.labels,
        n,
        n_classes=max(2, len(data.label_names)),
        candidates=candidates,
        budget=ROUNDS * n if budget is None else budget,
        texts=data.texts,
        seed=seed,
        device=place,
        cache=ArrayCache(),
        progress=progress,
    )
    rows = rows_of(chooser, view, n)
    if not rows.size:
        raise ReActError(f"{name!r} would buy no label for these rows; name another strategy.")
    predictions = None
    if len(data.label_names) > 1:
        columns = view.columns_of(torch.from_numpy(rows).to(place)[None])[0]
        sure, best = view.confidence[0, columns], view.predicted[0, columns]
        predictions = tuple(
            (data.label_names[c], round(p, 4)) for c, p in zip(best.tolist(), sure.tolist(), strict=True)
        )
    return Suggestions(data, name, rows, predictions)


def usual_strategy(data: PartlyLabelled) -> str:
    """Name of the strategy that chooses where none is named."""
    if len(data.label_names) > 1:
        return USUAL
    return FIRST if len(data.texts) <= MANY else FIRST_OF_MANY


def write_suggestions(path: Path, found: Suggestions) -> None:
    """Write suggestions as CSV, whole texts, most wanted first, each with an empty label to be filled.

    Raises:
        ReActError: A file is there that holds labels which the data lack, or something else.
        WriteError: The file cannot be written.
    """
    check_replaceable(path, found.data)
    # Spreadsheets, in which labels are filled in, take UTF-8 for another encoding without the mark.
    with written_atomically(path) as part, part.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for line in found.lines():
            table.writerow(csv_row(line[column] for column in COLUMNS))


def _check_strategy(name: str) -> None:
    """Check that a strategy asks for no more than embeddings and some labels.

    Raises:
        ReActError: There is no such strategy, or it does.
    """
    base = base_of(name)
    if base in REFERENCES:
        raise ReActError(
            f"{name!r} looks at labels that nobody has given yet, so it can only be compared; name one of "
            "`react-rl list strategies`."
        )
    strategy = resolve(name)
    check_learner([name], SoftmaxSettings(), "classification")
    if surprised([name]):
        raise ReActError(
            f"{name!r} reads how surprising words are to a masked language model, which is computed in "
            "comparisons only; maxherding and typiclust choose first rows, too."
        )
    if isinstance(strategy, LearnedStrategy) or isinstance(resolve(base), LearnedStrategy):
        raise ReActError(
            f"{name!r} is a policy that looks at a dev metric, and a file that is being labelled has no dev "
            "set; name one that scores rows, such as 'learned' (or train one: react-rl imitate)."
        )
    if is_strategy(base) and entry_of(base).remembers:
        raise ReActError(
            f"{name!r} goes by the rounds before this one, which a file does not tell; name a strategy that "
            "looks at the present labels alone."
        )


def _chooser(data: PartlyLabelled, strategy: str | None) -> str:
    """Name of the strategy that chooses.

    Raises:
        ReActError: The one that was asked for reads a model, and no model can be fitted to these labels.
    """
    names = data.label_names
    if strategy is None:
        return usual_strategy(data)
    if len(names) < 2 and reads_model(strategy):
        so_far = "no row has one yet" if not names else f"all labels so far are {names[0]!r}"
        raise ReActError(
            f"{strategy!r} chooses by a model, which needs labels of two classes, and {so_far}; without "
            f"--strategy, {FIRST} suggests first rows from the embeddings alone."
        )
    return strategy


def _candidates(data: PartlyLabelled, n: int) -> npt.NDArray[np.int64]:
    """Rows that may be suggested.

    Raises:
        ReActError: There are fewer than ``n``.
    """
    where, waiting = data.origin.files[0], data.waiting
    if not waiting:
        raise ReActError(f"All {len(data.texts)} rows of {where} have a label; nothing is left to suggest.")
    candidates = data.candidates
    if not candidates.size:
        raise ReActError(
            f"Every row of {where} without a label repeats a text that has one; copy the label to it."
        )
    if n > candidates.size:
        rows = "1 row waits" if candidates.size == 1 else f"{candidates.size} rows wait"
        repeated = waiting - candidates.size
        more = f" ({repeated} more repeat a text)" if repeated else ""
        raise ReActError(
            f"n is {n}, but {rows} for a label in {where}{more}; ask for {candidates.size} at most."
        )
    return candidates
