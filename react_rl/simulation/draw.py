"""The draw of one episode: which corpus, classes, pool, dev set and initial labels. Row ids only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.phases import PhaseRows
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.tasks.registry import task_of

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """One episode before its first round. All ids are row ids of the corpus.

    Args:
        corpus: Position of the corpus in the engine's list.
        classes: ``(C,)`` class indices of the corpus that take part, ascending.
        pool: ``(P,)`` ascending, the initial labelled set included; equally many rows of each phase.
        dev: ``(V,)`` ascending.
        initial: ``(I,)`` rows labelled before the first round, a subset of ``pool``, of the first phase.
    """

    corpus: int
    classes: Ids
    pool: Ids
    dev: Ids
    initial: Ids


def check_fit(corpus: Corpus, options: EpisodeOptions) -> None:
    """Check that episodes of these sizes can be drawn from ``corpus``.

    Raises:
        ReActError: The pool, the dev set or the budget is larger than the corpus allows, or its rows lack
            what the annotator's errors depend on.
    """
    task_of([corpus]).check(corpus, options)
    if corpus.phases is not None:
        _check_phases(corpus, corpus.phases, options)
    train, dev = corpus.ids("train"), corpus.ids("dev")
    if options.classes is None:
        sizes = (("pool_size", options.pool_size, train, "train"), ("dev_size", options.dev_size, dev, "dev"))
        large = [
            (f"{key} {size}", f"the {rows.size} {split} rows", rows.size)
            for key, size, rows, split in sizes
            if size > rows.size
        ]
        if large:
            (first, held, _), *more = large
            also = "".join(f", and {second} than {others}" for second, others, _ in more)
            raise ReActError(
                f"{first} is larger than {held} of corpus {corpus.name!r}{also}; "
                f"use at most {' and '.join(str(most) for *_, most in large)}."
            )
    elif options.classes[1] > corpus.n_classes:
        raise ReActError(
            f"A subset of {options.classes[1]} classes is asked of corpus {corpus.name!r}, "
            f"which has {corpus.n_classes}."
        )
    # The costliest pool: the budget must leave a choice in every pool that can be drawn.
    costliest = np.sort(corpus.cost[train])[::-1][: options.pool_size - options.initial_size].sum()
    if options.budget > costliest:
        raise ReActError(
            f"budget {options.budget:g} is larger than the cost of the whole pool of corpus {corpus.name!r} "
            f"({costliest:g} cost units); use a smaller budget or a larger pool_size."
        )


def phase_sizes(size: int, n_phases: int) -> list[int]:
    """So many rows of each phase; the first ones get what rounding leaves over."""
    return [size // n_phases + (phase < size % n_phases) for phase in range(n_phases)]


def _check_phases(corpus: Corpus, phases: PhaseRows, options: EpisodeOptions) -> None:
    """Raise a ReActError unless episodes that go through the phases of a corpus can be drawn."""
    n_phases, name = len(phases), corpus.name
    if options.classes is not None:
        raise ReActError(
            f"Corpus {name!r} comes in phases, which have classes of their own; leave classes out."
        )
    if isinstance(options.phases, tuple) and len(options.phases) != n_phases:
        raise ReActError(
            f"Corpus {name!r} has {n_phases} phases and episode.phases {len(options.phases)} shares; "
            "give one for each phase."
        )
    for key, split in (("pool_size", "train"), ("dev_size", "dev")):
        size, held = getattr(options, key), np.bincount(phases.of[corpus.ids(split)], minlength=n_phases)
        for phase, wanted in enumerate(phase_sizes(size, n_phases)):
            if wanted > held[phase] or wanted < 1:
                raise ReActError(
                    f"{key} {size} takes {wanted} {split} rows of each phase, and {phases.names[phase]!r} of "
                    f"corpus {name!r} has {held[phase]}; use at most {held.min() * n_phases}."
                )
    first = phase_sizes(options.pool_size, n_phases)[0]
    if options.phases != "ignored" and first < options.initial_size + options.batch_size:
        raise ReActError(
            f"The first of {n_phases} phases has {first} pool rows, too few for initial_size "
            f"{options.initial_size} and a batch of {options.batch_size}; make pool_size larger."
        )


def draw_episode(
    corpora: Sequence[EncodedCorpus],
    options: EpisodeOptions,
    streams: Streams,
    corpus: int | None = None,
) -> Draw:
    """Draw one episode from the streams ``pool`` and ``initial``.

    Args:
        corpora: The engine's corpora.
        options: Sizes of the episode.
        streams: The episode's named streams.
        corpus: Position of the corpus, or None to draw it.

    Raises:
        ReActError: A class subset has too few rows for a pool or a dev set.
    """
    rng = streams.pool
    index = int(rng.integers(len(corpora))) if corpus is None else corpus
    data = corpora[index].corpus
    classes = np.arange(data.n_classes, dtype=np.int64)
    train, dev = data.ids("train"), data.ids("dev")
    pool_size, dev_size = options.pool_size, options.dev_size
    if options.classes is not None:
        size = int(rng.integers(options.classes[0], options.classes[1] + 1))
        classes = np.sort(rng.choice(classes, size=size, replace=False))
        train = train[np.isin(data.targets[train], classes)]
        dev = dev[np.isin(data.targets[dev], classes)]
        # A subset of the classes may have fewer rows than asked for: take what there is.
        pool_size, dev_size = min(pool_size, train.size), min(dev_size, dev.size)
        if pool_size < options.initial_size + options.batch_size or dev_size < 2:
            raise ReActError(
                f"Classes {[data.label_names[c] for c in classes]} of corpus {data.name!r} have only "
                f"{train.size} train and {dev.size} dev rows; use larger class subsets or smaller episodes."
            )
    pool, chosen_dev = (
        _drawn(rows, size, data.phases, rng) for rows, size in ((train, pool_size), (dev, dev_size))
    )
    several = data.phases is not None and options.phases != "ignored"
    labelled = pool[data.phases.of[pool] == 0] if data.phases is not None and several else pool
    initial = _initial(data, labelled, classes, options, streams.initial)
    return Draw(index, classes, pool, chosen_dev, initial)


def _drawn(rows: Ids, size: int, phases: PhaseRows | None, rng: np.random.Generator) -> Ids:
    """So many of the rows, ascending; equally many of each phase."""
    if phases is None:
        return np.sort(rng.choice(rows, size=size, replace=False))
    parts = [rows[phases.of[rows] == phase] for phase in range(len(phases))]
    sizes = phase_sizes(size, len(phases))
    return np.concatenate(
        [np.sort(rng.choice(own, size=n, replace=False)) for own, n in zip(parts, sizes, strict=True)]
    )


def _initial(
    corpus: Corpus, pool: Ids, classes: Ids, options: EpisodeOptions, rng: np.random.Generator
) -> Ids:
    order = rng.permutation(pool.size)
    size = options.initial_size
    if options.initial == "random":
        return np.sort(pool[order[:size]])
    strata = task_of([corpus]).strata(corpus)[pool]
    # Rank of each row within its class, in random order; the rows with the lowest keys are taken.
    key = np.empty(pool.size)
    for position, label in enumerate(rng.permutation(classes)):
        members = order[strata[order] == label]
        rank = np.arange(members.size, dtype=float)
        # Stratified: classes advance in proportion to their share. Balanced: all at the same pace.
        pace = (rank + 0.5) / max(members.size, 1) if options.initial == "stratified" else rank
        key[members] = pace + position * 1e-9
    return np.sort(pool[np.argsort(key, kind="stable")[:size]])
