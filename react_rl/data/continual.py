"""Corpora that come in phases: several one after the other, or one whose class shares drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import SPLITS, Corpus
from react_rl.data.phases import PhaseRows
from react_rl.data.row_origin import RowOrigin
from react_rl.errors import ReActError
from react_rl.seeding import entropy_of

NEEDED: Final = ("train", "dev", "test")
"""Splits of which every phase needs rows."""


def in_phases(corpora: Sequence[Corpus], name: str | None = None) -> Corpus:
    """Put corpora of classification one after the other; each is a phase.

    A class is its name: corpora that have classes of one name share them. Rows are numbered through in the
    order of the phases.

    Source: de Masson d'Autume et al. 2019, Episodic memory in lifelong language learning, section 4, where
    the two corpora of reviews share their classes.

    Args:
        corpora: The phases, in order.
        name: Name of the whole; None joins those of the phases.

    Raises:
        ReActError: There are fewer than two, two share a name, or one is not of classification.
    """
    for corpus in corpora:
        if corpus.task != "classification":
            raise ReActError(
                f"Corpus {corpus.name!r} is of {corpus.task}; phases are made of corpora of classification."
            )
        if corpus.phases is not None:
            raise ReActError(f"Corpus {corpus.name!r} has phases already; put plain corpora in a row.")
    names = tuple(dict.fromkeys(label for corpus in corpora for label in corpus.label_names))
    place = {label: position for position, label in enumerate(names)}
    known = [corpus.confidence for corpus in corpora]
    origins = [corpus.origin for corpus in corpora]
    return Corpus(
        name=" then ".join(corpus.name for corpus in corpora) if name is None else name,
        task="classification",
        texts=tuple(text for corpus in corpora for text in corpus.texts),
        targets=np.concatenate(
            [np.array([place[label] for label in one.label_names], np.int64)[one.targets] for one in corpora]
        ),
        label_names=names,
        split=np.concatenate([corpus.split for corpus in corpora]),
        cost=np.concatenate([corpus.cost for corpus in corpora]),
        confidence=None
        if all(one is None for one in known)
        else np.concatenate(
            [
                np.full(corpus.n_rows, np.nan) if one is None else one
                for corpus, one in zip(corpora, known, strict=True)
            ]
        ),
        source=", ".join(corpus.source for corpus in corpora),
        notes=tuple(note for corpus in corpora for note in corpus.notes),
        origin=_joined([origin for origin in origins if origin is not None]) if all(origins) else None,
        phases=PhaseRows(
            np.repeat(np.arange(len(corpora)), [corpus.n_rows for corpus in corpora]).astype(np.uint8),
            tuple(corpus.name for corpus in corpora),
        ),
    )


def _joined(origins: Sequence[RowOrigin]) -> RowOrigin:
    """The origins of several corpora, one below the other."""
    first = np.cumsum([0, *(len(origin.files) for origin in origins)])
    ids: Any = None
    if any(origin.ids is not None for origin in origins):
        ids = tuple(row for one in origins for row in (one.ids or ("",) * len(one)))
    return RowOrigin(
        tuple(file for origin in origins for file in origin.files),
        np.concatenate([origin.file + start for origin, start in zip(origins, first[:-1], strict=True)]),
        np.concatenate([origin.row for origin in origins]),
        ids,
    )


def drifting(corpus: Corpus, n_phases: int, share: float = 1.0, seed: int = 0) -> Corpus:
    """Deal the rows of a corpus of classification out to phases that differ in their class shares.

    Every class is at home in one phase, the classes evenly over the phases. So large a ``share`` of its rows
    comes there, the others evenly in the other phases, in train, dev and test alike. Rows are numbered again,
    in the order of the phases.

    Args:
        corpus: The corpus.
        n_phases: Phases, at most as many as there are classes.
        share: 1 gives every phase classes of its own; 1 / n_phases gives all phases the same shares.
        seed: Decides where classes are at home, and which rows go where.

    Raises:
        ReActError: There are too many phases for the classes, or too few rows for the phases.
    """
    if corpus.task != "classification":
        raise ReActError(
            f"Corpus {corpus.name!r} is of {corpus.task}; class shares drift only in classification."
        )
    if not 2 <= n_phases <= corpus.n_classes:
        raise ReActError(
            f"Corpus {corpus.name!r} has {corpus.n_classes} classes and is to have {n_phases} phases; "
            "give at least 2 and at most as many as there are classes."
        )
    if not 1 / n_phases <= share <= 1:
        raise ReActError(
            f"A share of {share:g} of a class at home in one of {n_phases} phases makes no sense; "
            f"give {1 / n_phases:g} (no drift) to 1 (classes of its own for every phase)."
        )
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "drift"))))
    home = np.empty(corpus.n_classes, dtype=np.int64)
    home[rng.permutation(corpus.n_classes)] = np.arange(corpus.n_classes) % n_phases
    phase = home[corpus.targets]  # (N,) where rows in no split stay
    for split in SPLITS:
        rows = corpus.ids(split)
        for label in range(corpus.n_classes):
            own = rng.permutation(rows[corpus.targets[rows] == label])
            phase[own] = _dealt(own.size, home[label], n_phases, share)
        counts = np.bincount(phase[rows], minlength=n_phases)
        if split in NEEDED and (counts == 0).any() and rows.size:
            raise ReActError(
                f"Corpus {corpus.name!r} leaves phase {int(counts.argmin()) + 1} of {n_phases} without "
                f"{split} rows; ask for fewer phases."
            )
    order = np.argsort(phase, kind="stable")
    return replace(
        corpus,
        name=f"{corpus.name}[{n_phases} phases, {share:g}]",
        texts=tuple(corpus.texts[row] for row in order.tolist()),
        targets=corpus.targets[order],
        split=corpus.split[order],
        cost=corpus.cost[order],
        confidence=None if corpus.confidence is None else corpus.confidence[order],
        origin=None if corpus.origin is None else corpus.origin.take(order),
        phases=PhaseRows(phase[order].astype(np.uint8), tuple(f"phase {n + 1}" for n in range(n_phases))),
    )


def _dealt(rows: int, home: int, n_phases: int, share: float) -> npt.NDArray[np.int64]:
    """Phases ``(rows,)`` of the rows of a class: its share at home, the others in turn."""
    phases = np.full(rows, home, dtype=np.int64)
    away = rows - round(share * rows)
    others = np.delete(np.arange(n_phases), home)
    # Every class begins elsewhere, so that no phase gets what rounding leaves over of all of them.
    phases[:away] = others[(np.arange(away) + home) % others.size]
    return phases
