"""`bought.csv`: every label that a comparison bought, led back to the rows of the user's files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.data.corpus import Corpus
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.escaping import csv_row
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.config.tasks import kinds_in
from react_rl.experiments.run.planning import Part, parts_of
from react_rl.experiments.run.results import PLAN, ResultFolder, RunId
from react_rl.files import written_atomically
from react_rl.own_code import require_imported
from react_rl.simulation.corpora import prepare
from react_rl.simulation.draw import check_fit, draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import Oracle
from react_rl.tasks.registry import task_of
from react_rl.validation import validated

BOUGHT: Final = "bought.csv"
COLUMNS: Final = ("id", "file", "row", "text", "label", "round", "seed", "strategy", "corpus")
TRUE_LABEL: Final = "true_label"
"""Follows the label where the annotator may err or abstain."""

MOST_ROWS: Final = 100_000
"""Rows up to which a comparison writes the file by itself."""
MOST_LETTERS: Final = 20_000_000
"""Letters of texts up to which it does."""


def write_bought(
    folder: ResultFolder,
    parts: Sequence[Part],
    limited: bool = True,
) -> Path | None:
    """Write the rows that the finished runs of a comparison bought, the initial ones (round 0) included.

    With label noise or abstention the answers are drawn again, as the runs heard them.

    Args:
        folder: The comparison.
        parts: Its corpora by task, and how they are played.
        limited: Write nothing, and remove an older file, where there are more than ``MOST_ROWS`` rows or
            their texts have more than ``MOST_LETTERS`` letters.

    Returns:
        The file; None where there would be too much in it.

    Raises:
        ReActError: A run file is damaged, or a corpus is not the one that was played on.
        WriteError: The file cannot be written.
    """
    path = folder.folder / BOUGHT
    columns = list(COLUMNS)
    if any(_may_err(part.config.episode) for part in parts):
        columns.insert(columns.index("label") + 1, TRUE_LABEL)
    rows = letters = 0
    try:
        with written_atomically(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            for found in _purchases(folder, parts):
                rows += 1
                letters += len(found["text"])
                if limited and (rows > MOST_ROWS or letters > MOST_LETTERS):
                    raise _TooMuch
                table.writerow(csv_row(found[name] for name in columns))
    except _TooMuch:
        path.unlink(missing_ok=True)
        return None
    return path


def export_bought(folder: Path) -> Path:
    """Write ``bought.csv`` of a comparison, however long it gets; its corpora are read again.

    Args:
        folder: ``results/NAME``.

    Raises:
        ReActError: The folder is no comparison of this version, or a corpus cannot be had or has changed.
        WriteError: The file cannot be written.
    """
    found = ResultFolder(folder)
    where = f"The config in {folder / PLAN} is not one that this version can read"
    config = validated(CompareConfig, found.read_plan()[0], where)
    for corpus in config.corpora:
        require_imported(corpus.corpus, f"Corpus {corpus.corpus}")
    require_imported(config.encoder.model, f"Encoder {config.encoder.model}")
    for kind in kinds_in(config):
        require_imported(kind, f"Learner {kind}")
    parts = parts_of(config, prepare(config.corpora, config.encoder, config.device))
    for part in parts:
        for encoded in part.corpora:
            check_fit(encoded.corpus, part.config.episode)
    path = write_bought(found, parts, limited=False)
    assert path is not None
    return path


def too_much(folder: Path) -> str:
    """The sentence for a comparison that bought more than it lists by itself."""
    return (
        f"More than {MOST_ROWS:,} rows or {MOST_LETTERS:,} letters were bought; "
        f"`react-rl export {folder}` lists them in {BOUGHT}."
    )


class _TooMuch(Exception):
    """There is more than a comparison writes by itself."""


def _may_err(options: EpisodeOptions) -> bool:
    return options.label_noise != 0 or isinstance(options.confusion, dict) or options.abstention > 0


@dataclass(frozen=True)
class _Answers:
    """What the oracle of one corpus and seed answers.

    Args:
        initial: ``(I,)`` ids of the initial labelled set.
        pool: ``(P,)`` row ids, ascending.
        given: What was answered for each, as a table shows it.
        right: What would have been right.
    """

    initial: npt.NDArray[np.int64]
    pool: npt.NDArray[np.int64]
    given: list[str]
    right: list[str]

    def of(self, row: int) -> dict[str, str]:
        """What was answered for a row, and what would have been right."""
        place = int(np.searchsorted(self.pool, row))
        return {"label": self.given[place], TRUE_LABEL: self.right[place]}


def _purchases(folder: ResultFolder, parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    corpora = {encoded.name: (encoded, part.config.episode) for part in parts for encoded in part.corpora}
    known: dict[tuple[str, int], _Answers] = {}
    oracles: dict[str, Oracle] = {}
    contents = folder.corpora()
    for run in folder.read_plan()[1]:
        if not folder.finished(run):
            continue
        if run.corpus not in corpora:
            raise ReActError(f"The config of {folder.folder} has no corpus {run.corpus!r}; compare again.")
        encoded, options = corpora[run.corpus]
        if run.corpus not in oracles:
            if contents.get(run.corpus) not in (None, encoded.corpus.digest()):
                raise _changed(folder, run)
            oracles[run.corpus] = _oracle_of(encoded, options)
        if (run.corpus, run.seed) not in known:
            known[run.corpus, run.seed] = _answers(encoded, options, run.seed, oracles[run.corpus])
        answers = known[run.corpus, run.seed]
        played = folder.read_run(run)
        rounds = [played["initial"], *played["batches"]]
        _check_same(folder, run, rounds, answers)
        for number, batch in enumerate(rounds):
            for row in batch:
                yield (
                    _line(encoded.corpus, row)
                    | answers.of(row)
                    | {
                        "round": number,
                        "seed": run.seed,
                        "strategy": run.strategy,
                        "corpus": run.corpus,
                    }
                )


def _oracle_of(encoded: EncodedCorpus, options: EpisodeOptions) -> Oracle:
    task = task_of([encoded.corpus])
    return Oracle(1, options.pool_size, options, encoded.device, task, task.shape([encoded.corpus]))


def _answers(encoded: EncodedCorpus, options: EpisodeOptions, seed: int, oracle: Oracle) -> _Answers:
    """Draw an episode and the answers of its oracle again."""
    streams = episode_streams(seed, encoded.name)
    draw = draw_episode([encoded], options, streams, 0)
    oracle.draw([0], [draw], [encoded], [streams])
    everything = torch.arange(draw.pool.size, device=encoded.device)[None]
    heard = oracle.answer(torch.zeros(1, dtype=torch.int64), everything)[0].cpu().numpy()
    corpus, task = encoded.corpus, task_of([encoded.corpus])
    truth = task.targets(corpus, draw.pool, draw.classes, heard.shape[1:])
    given, right = (
        [
            task.written(corpus, row, target, draw.classes)
            for row, target in zip(draw.pool.tolist(), targets, strict=True)
        ]
        for targets in (heard, truth)
    )
    return _Answers(draw.initial, draw.pool, given, right)


def _check_same(folder: ResultFolder, run: RunId, rounds: list[list[int]], answers: _Answers) -> None:
    bought = np.array([row for batch in rounds for row in batch], np.int64)
    if sorted(rounds[0]) != answers.initial.tolist() or not np.isin(bought, answers.pool).all():
        raise _changed(folder, run)


def _changed(folder: ResultFolder, run: RunId) -> ReActError:
    return ReActError(
        f"The corpus {run.corpus!r} is not the one that {folder.folder / 'runs' / run.file} was played "
        "on, so its rows cannot be named; put the old files back, or run the comparison again."
    )


def _line(corpus: Corpus, row: int) -> dict[str, Any]:
    origin = corpus.origin
    # Rows without a file go by their place in the corpus, as in the run files.
    where: dict[str, Any] = {"id": "", "file": "", "row": row}
    if origin is not None:
        where = {
            "id": "" if origin.ids is None else origin.ids[row],
            "file": origin.files[origin.file[row]],
            "row": int(origin.row[row]),
        }
    return where | {"text": corpus.texts[row]}
