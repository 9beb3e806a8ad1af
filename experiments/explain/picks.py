"""Typical picks of a policy: the rows it bought whose reasons are nearest to the mean of their phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.data.grouping import normalised
from react_rl.escaping import for_terminal
from react_rl.experiments.explain.drivers import without_feature
from react_rl.experiments.explain.situations import PHASES, Situations
from react_rl.experiments.explain.subjects import Subject
from react_rl.experiments.explain.weights import within
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import task_of

TYPICAL: Final = 10
"""Picks that are shown of each phase."""

LEADING: Final = 3
"""Features that are named beside a pick."""

LONGEST: Final = 160
"""Letters of a text that are kept; the row id leads to the rest."""

COLUMNS: Final = ("phase", "corpus", "row", "text", "label", "times", "leading")


def contributions(subject: Subject, situations: Situations) -> npt.NDArray[np.float64]:
    """What each feature adds to a row's score ``(S, R, F)``, beyond what it adds to the average row.

    The score minus the score with the feature at its mean in all rows of the pool. Where a policy does not
    score rows, the standardised features themselves.
    """
    own, seen = situations.answer.scores, situations.seen
    if own is None or not subject.sees_rows:
        return seen.rows.astype(np.float64)
    found = np.zeros(seen.rows.shape)
    for f in range(len(subject.features)):
        other = subject.answer(replace(seen, rows=without_feature(seen, f))).scores
        assert other is not None
        found[:, :, f] = within(np.where(seen.free, own, 0.0) - np.where(seen.free, other, 0.0), seen.free)
    return found


def typical_picks(
    subject: Subject,
    situations: Situations,
    corpora: Sequence[EncodedCorpus],
    most: int = TYPICAL,
) -> pd.DataFrame:
    """The most typical picks of each phase of the budget, taken from the corpora in turn.

    A pick is typical where the contributions of its features are nearest to their mean over the picks of the
    same corpus and phase, each in units of its deviation over these picks. No text comes twice in a phase.

    Args:
        subject: The policy.
        situations: Its choices.
        corpora: The corpora that it chose from.
        most: Picks of each phase.

    Returns:
        Phase, corpus, row id, beginning of the text, label, times that the row was bought in this phase (over
        the seeds) and the features that contribute most, with their standardised values.
    """
    s, r = np.nonzero(situations.picked)
    reasons = contributions(subject, situations)[s, r]
    values = situations.seen.rows[s, r]
    rows, where = situations.seen.ids[s, r], situations.corpus[s]
    phase, known = situations.phase[s], {corpus.name: corpus for corpus in corpora}
    lines: list[dict[str, object]] = []
    for place, name in enumerate(PHASES):
        ordered = {
            corpus: _ordered(reasons, (phase == place) & (where == corpus)) for corpus in situations.corpora
        }
        taken: set[str] = set()
        for corpus, pick in _in_turn(ordered):
            text = known[corpus].corpus.texts[rows[pick]]
            if len(taken) == most or normalised(text) in taken:
                continue
            taken.add(normalised(text))
            same = (phase == place) & (where == corpus) & (rows == rows[pick])
            lines.append(
                {
                    "phase": name,
                    "corpus": corpus,
                    "row": int(rows[pick]),
                    "text": excerpt(text),
                    "label": _label(known[corpus], int(rows[pick])),
                    "times": int(same.sum()),
                    "leading": _leading(subject.features, reasons[pick], values[pick]),
                }
            )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def excerpt(text: str) -> str:
    """The beginning of a text, in one line without control characters."""
    line = for_terminal(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"


def _ordered(reasons: npt.NDArray[np.float64], which: npt.NDArray[np.bool_]) -> list[int]:
    """Places of some picks, the most typical first."""
    places = np.flatnonzero(which)
    if not places.size:
        return []
    own = reasons[places]
    distance = (((own - own.mean(0)) / np.maximum(own.std(0), 1e-9)) ** 2).sum(1)
    order: list[int] = places[np.argsort(distance, kind="stable")].tolist()
    return order


def _in_turn(ordered: Mapping[str, Sequence[int]]) -> list[tuple[str, int]]:
    """Name and pick, one of each in turn as long as there are some."""
    longest = max((len(picks) for picks in ordered.values()), default=0)
    return [(name, picks[i]) for i in range(longest) for name, picks in ordered.items() if i < len(picks)]


def _label(corpus: EncodedCorpus, row: int) -> str:
    """The row's label as a table shows it."""
    task, classes = task_of([corpus.corpus]), np.arange(corpus.corpus.n_classes)
    target = task.targets(corpus.corpus, np.array([row]), classes, task.shape([corpus.corpus]))[0]
    return task.written(corpus.corpus, row, target, classes)


def _leading(
    features: Sequence[str], reasons: npt.NDArray[np.float64], values: npt.NDArray[np.float32]
) -> str:
    """The features that contribute most, with their standardised values."""
    order = np.argsort(-reasons, kind="stable")[:LEADING]
    return ", ".join(f"{features[f]} {values[f]:+.1f}" for f in order if reasons[f] > 0)
