"""What every learner must do, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_random
from react_rl.contracts.worlds import begun, corpora, options_for, require
from react_rl.learners.registry import LearnerSettings, entry_of
from react_rl.seeding import Streams
from react_rl.simulation.encoded import EncodedCorpus, synthetic_tagged
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.options import EpisodeOptions


@dataclass(frozen=True)
class Bench:
    """What a learner is tried on.

    Args:
        learner: Its settings.
        corpus: A corpus of a task that it learns.
        options: Sizes of the episodes.
        tolerance: How far scores of side by side and alone may be apart.
    """

    learner: LearnerSettings
    corpus: EncodedCorpus
    options: EpisodeOptions
    tolerance: float = 1e-3

    def begun(
        self, seeds: Sequence[int], rounds: int = 0, corpus: EncodedCorpus | None = None
    ) -> LabelingEngine:
        """Episodes of these seeds, some rounds of random batches played."""
        return begun(seeds, [corpus or self.corpus], rounds, self.options, self.learner)

    def round(self, engine: LabelingEngine) -> None:
        """Play a round of random batches. Mutates."""
        engine.step(take_random(engine.view, self.options.batch_size))


def _signals(engine: LabelingEngine) -> Tensor:
    """Confidence, margin and entropy of all rows of the pools ``(3, E, P)``."""
    view = engine.view
    there = view.available | view.labelled
    signals = view.signals
    both = torch.stack([signals.confidence, signals.margin, signals.entropy])
    return torch.where(there, both, 0.0).clone()


def scores_are_numbers(bench: Bench) -> None:
    """Confidence, margin and entropy are finite for every row, and so are the metrics of dev and test."""
    engine = bench.begun([0, 1], rounds=1)
    require(bool(torch.isfinite(_signals(engine)).all()), "Confidence, margin or entropy is not finite.")
    rows = bench.corpus.corpus.ids("test")[:20]
    found = HeldOut(rows).measure(engine, engine.metrics) if rows.size else {}
    for name, values in (*engine.current.items(), *found.items()):
        require(bool(np.isfinite(values).all()), f"The metric {name} is {values}.")


def repeats_itself(bench: Bench) -> None:
    """The same seeds give the same scores to the last bit."""
    first, second = (_signals(bench.begun([0, 1], rounds=2)) for _ in range(2))
    require(torch.equal(first, second), "The same seeds gave different scores; draw from the seeds of start.")


def learns_alone_as_together(bench: Bench) -> None:
    """An episode's scores do not depend on its neighbours, up to the tolerance."""
    together = _signals(bench.begun([3, 4, 5], rounds=2))
    for place, seed in enumerate((3, 4, 5)):
        alone = _signals(bench.begun([seed], rounds=2))[:, 0]
        apart = float((alone - together[:, place]).abs().max())
        require(apart <= bench.tolerance, f"Alone and beside others scores are {apart:.2g} apart.")


def begins_again_alone(bench: Bench) -> None:
    """An episode that begins again is a fresh one, and its neighbours stay as they were."""
    engine = bench.begun([0, 1], rounds=2)
    before = _signals(engine)[:, 1]
    engine.reset([Streams(7)], [0])
    now = _signals(engine)
    require(torch.equal(now[:, 1], before), "An episode changed when its neighbour began again.")
    fresh = _signals(bench.begun([7, 1]))[:, 0]
    apart = float((now[:, 0] - fresh).abs().max())
    require(apart <= bench.tolerance, f"An episode that began again is {apart:.2g} from a fresh one.")


def goes_on_from_its_state(bench: Bench) -> None:
    """Put where ``state`` was taken, it goes on to the same scores to the last bit."""
    engine = bench.begun([0, 1], rounds=1)
    state = {name: array.clone() for name, array in engine.state().items()}
    streams = [one.state() for one in engine.draws.streams]
    bench.round(engine)
    again = bench.begun([5, 6])
    fresh = [Streams(0), Streams(1)]
    again.resume(fresh, [0, 0], state)
    for one, kept in zip(fresh, streams, strict=True):
        one.load_state(kept)
    bench.round(again)
    same = torch.equal(_signals(engine), _signals(again))
    require(same, "Resumed from its state it gives other scores; state() must hold all that update changes.")


def sees_bought_labels_only(bench: Bench) -> None:
    """Labels of train and test rows that were not bought change nothing."""
    engine = bench.begun([0], rounds=2)
    bought = {int(row) for row in engine.view.ids[0][engine.view.labelled[0]].tolist()}
    corpus = bench.corpus.corpus
    targets = corpus.targets.copy()
    hidden = [row for split in ("train", "test") for row in corpus.ids(split) if int(row) not in bought]
    # Turned round among themselves, so that every target stays one of its row's kind where kinds matter.
    same_shape = [row for row in hidden if np.shape(targets[row]) == np.shape(targets[hidden[0]])]
    kept = [targets[row] for row in same_shape]
    for row, target in zip(same_shape, kept[1:] + kept[:1], strict=True):
        targets[row] = target
    other = replace(bench.corpus, corpus=replace(corpus, targets=targets))
    draw = engine.draw_of(0)
    again = LabelingEngine([other], bench.options, 1, learner=bench.learner)
    again.reset([Streams(0)])
    if not np.array_equal(again.draw_of(0).pool, draw.pool):
        return  # draws of this task depend on the targets, so the two cannot be compared
    for _ in range(2):
        bench.round(again)
    apart = float((_signals(engine) - _signals(again)).abs().max())
    require(apart <= bench.tolerance, "Scores changed with labels that were not bought.")


LEARNER_CHECKS: Final[dict[str, Callable[[Bench], None]]] = {
    check.__name__: check
    for check in (
        scores_are_numbers,
        repeats_itself,
        learns_alone_as_together,
        begins_again_alone,
        goes_on_from_its_state,
        sees_bought_labels_only,
    )
}
"""The checks by name."""


def bench_of(
    learner: LearnerSettings, corpus: EncodedCorpus | None = None, options: EpisodeOptions | None = None
) -> Bench:
    """What a learner is tried on unless told otherwise: a small corpus made in code.

    Raises:
        ContractBroken: No such corpus is of a task that it learns; give one.
    """
    tasks = entry_of(learner).tasks
    if corpus is None and "classification" in tasks:
        corpus = corpora()[1]
    elif corpus is None and "tagging" in tasks:
        corpus = synthetic_tagged(200, n_types=2)
    require(corpus is not None, f"Give a corpus of {' or '.join(tasks)} to try the learner on.")
    assert corpus is not None
    return Bench(learner, corpus, options or options_for(corpus))


def check_learner(
    learner: LearnerSettings, corpus: EncodedCorpus | None = None, options: EpisodeOptions | None = None
) -> None:
    """Run all checks on a registered learner.

    Args:
        learner: Its settings; their class is in ``LEARNERS``.
        corpus: What it learns; None is a small corpus made in code.
        options: Sizes of the episodes; None takes pools of 40 rows and batches of 4.

    Raises:
        ContractBroken: It does something that the engine does not expect; the first thing is named.
    """
    bench = bench_of(learner, corpus, options)
    for check in LEARNER_CHECKS.values():
        check(bench)
