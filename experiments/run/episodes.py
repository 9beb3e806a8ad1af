"""Playing comparison episodes: one strategy, one corpus, many seeds in lockstep, measured on dev and test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import LooksAtLabels
from react_rl.acquisition.stopping import StoppingRule, StoppingSettings, make_stopping
from react_rl.agents.learned import LearnedStrategy
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.run.final_models import FinalModels
from react_rl.experiments.run.phases import note_phases, phases_of
from react_rl.learners.recipes import Recipe
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import Turn
from react_rl.simulation.play import play as play_rounds
from react_rl.simulation.view import PoolView

_DIGITS = 6


def rounded(value: float) -> float:
    """A number as run files hold it."""
    return round(float(value), _DIGITS)


@dataclass(frozen=True)
class Played:
    """Episodes of one strategy on one corpus.

    Args:
        results: One mapping for each seed: cost, labels, dev and test metrics after each round (before the
            first one too), row ids of the initial set and of each batch; feature weights of a policy.
        selection_seconds: Seconds for choosing rows, all seeds together.
        training_seconds: Seconds for everything else that the labelling loop does.
    """

    results: list[dict[str, Any]]
    selection_seconds: float
    training_seconds: float


class TestSplit:
    """The rows that nobody sees before the report.

    Args:
        corpus: The corpus.
        size: Most rows to take; the same ones for every run.
    """

    __test__ = False  # not a test case, whatever its name begins with

    def __init__(self, corpus: EncodedCorpus, size: int | None) -> None:
        rows = corpus.corpus.ids("test")
        if rows.size == 0:
            raise ReActError(f"Corpus {corpus.name!r} has no test rows; a comparison reports on them.")
        phases = corpus.corpus.phases
        of_phases = [rows] if phases is None else [rows[phases.of[rows] == p] for p in range(len(phases))]
        most = size if size is None else max(size // len(of_phases), 1)
        self.by_phase = [_some(own, most) for own in of_phases]
        """Row ids of each phase, equally many where there are enough; all of them on a corpus without."""
        self.rows = np.concatenate(self.by_phase)
        """Row ids, ascending."""
        self._held_out = HeldOut(self.rows)

    def measure(self, engine: LabelingEngine, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """Test metrics of each episode's present model, by name."""
        return self._held_out.measure(engine, names)


def _some(rows: npt.NDArray[np.int64], size: int | None) -> npt.NDArray[np.int64]:
    """So many of the rows, the same ones for every run."""
    if size is None or rows.size <= size:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, size=size, replace=False))


def play(
    corpus: EncodedCorpus,
    strategy: QueryStrategy,
    seeds: Sequence[int],
    options: EpisodeOptions,
    metrics: Sequence[str],
    test_size: int | None = None,
    learner: LearnerSettings | None = None,
    stopping: StoppingSettings | None = None,
    checkpoint: Checkpoint | None = None,
    report: Callable[[float], None] | None = None,
    final: FinalModels | None = None,
) -> Played:
    """Play one episode for each seed, in lockstep.

    Args:
        corpus: The corpus.
        strategy: What chooses.
        seeds: Seed k draws the same pool, dev set and initial labels for every strategy.
        options: Sizes and budget.
        metrics: Names of the metrics to measure on dev and test.
        test_size: Most test rows.
        learner: Settings of the learner; None is the softmax regression as it comes.
        stopping: Rule that ends an episode before its budget does.
        checkpoint: Where to go on from, and what to write after each round; the caller removes it.
        report: Told after each round what the episodes have spent so far, in cost units, on average.
        final: Analyses of the models at the end, kept as ``analysis`` of each result.

    Raises:
        ReActError: The episodes do not fit the corpus.
    """
    rule = make_stopping(stopping) if stopping is not None else None
    looked_at = [] if stopping is None or not stopping.looks_at_metric else [stopping.metric or metrics[0]]
    if isinstance(strategy, LearnedStrategy):
        looked_at += strategy.interface.metrics
    measured = tuple(dict.fromkeys((*metrics, *looked_at)))
    engine = LabelingEngine([corpus], options, len(seeds), measured, learner)
    if isinstance(strategy, LooksAtLabels):
        strategy = strategy.bind(engine)
    block = _Block(engine, strategy, rule, TestSplit(corpus, test_size), metrics, checkpoint)
    block.begin(_streams(corpus, seeds))
    for turn in play_rounds(engine, block.chooser):
        block.note(turn)
        if report is not None:
            report(float(engine.spent.mean()))
    if final is not None:
        for record, kept in zip(block.records, final.of(engine, _streams(corpus, seeds)), strict=True):
            record["analysis"] = kept
    return Played(block.records, block.selection, block.training)


def _streams(corpus: EncodedCorpus, seeds: Sequence[int]) -> list[Streams]:
    return [episode_streams(seed, corpus.name) for seed in seeds]


class _Weighing:
    """A trained policy that remembers the weights of its last choice.

    Args:
        strategy: The policy.
    """

    def __init__(self, strategy: LearnedStrategy) -> None:
        self.strategy = strategy
        self.weights: npt.NDArray[np.float32] | None = None

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows, and remember the weights. Mutates."""
        return self.choose(view, n)[0]

    def choose(self, view: PoolView, n: int) -> tuple[Tensor, Sequence[Recipe | None] | None]:
        """Choose ``n`` rows and how to train, and remember the weights. Mutates."""
        self.weights = self.strategy.weights(view)
        return self.strategy.choose(view, n)


class _Block:
    """Episodes in lockstep, and what was noted of them.

    Args:
        engine: Their engine.
        strategy: What chooses.
        rule: What ends episodes early.
        test: Where to measure besides dev.
        metrics: What to note; the engine may measure more.
        checkpoint: Where to keep all this.
    """

    def __init__(
        self,
        engine: LabelingEngine,
        strategy: QueryStrategy,
        rule: StoppingRule | None,
        test: TestSplit,
        metrics: Sequence[str],
        checkpoint: Checkpoint | None,
    ) -> None:
        self._engine = engine
        self.chooser = _Weighing(strategy) if isinstance(strategy, LearnedStrategy) else strategy
        self._rule = rule
        self._test = test
        self._metrics = tuple(metrics)
        self._checkpoint = checkpoint
        self.records: list[dict[str, Any]] = []
        self.selection = 0.0
        self.training = 0.0

    def begin(self, streams: Sequence[Streams]) -> None:
        """Draw the episodes and train their first models, or go on from the checkpoint. Mutates."""
        if self._restored(streams):
            return
        engine = self._engine
        started = time.perf_counter()
        engine.reset(streams, None, [0] * len(streams))
        self.training = time.perf_counter() - started
        self.records = [
            {
                "cost": [],
                "labels": [],
                "dev": {name: [] for name in self._metrics},
                "test": {name: [] for name in self._metrics},
                "initial": engine.draw_of(e).initial.tolist(),
                "batches": [],
            }
            for e in range(engine.n_episodes)
        ]
        for episode, record in enumerate(self.records):
            record |= phases_of(engine, episode, self._metrics)
        self._note(np.ones(engine.n_episodes, dtype=np.bool_))
        self._stop_by_rule()
        self._keep()

    def note(self, turn: Turn) -> None:
        """Note a round, measure on test, and keep it. Mutates."""
        records, chooser = self.records, self.chooser
        self._stop_by_rule()
        self.selection += turn.selection_seconds
        self.training += turn.training_seconds
        for e in np.flatnonzero(turn.running):
            records[e]["batches"].append([int(i) for i in turn.round.ids[e] if i >= 0])
            if isinstance(chooser, _Weighing) and chooser.weights is not None:
                records[e]["features"] = list(chooser.strategy.features)
                records[e].setdefault("weights", []).append([rounded(w) for w in chooser.weights[e]])
        self._note(turn.running)
        self._keep()

    @torch.inference_mode()
    def _stop_by_rule(self) -> None:
        if self._rule is not None:
            self._engine.stop(self._rule.update(self._engine.view))

    def _note(self, running: npt.NDArray[np.bool_]) -> None:
        engine = self._engine
        measured = self._test.measure(engine, self._metrics)
        for e in np.flatnonzero(running):
            record = self.records[e]
            if int(e) in engine.learner.failures:
                record["failed"] = engine.learner.failures[int(e)]
            record["cost"].append(rounded(engine.spent[e]))
            record["labels"].append(int(engine.labels[e]))
            for name in self._metrics:
                record["dev"][name].append(rounded(engine.reached[name][e]))
                record["test"][name].append(rounded(measured[name][e]))
        note_phases(engine, self._test.by_phase, self.records, _DIGITS)

    def _keep(self) -> None:
        if self._checkpoint is None:
            return
        values = {
            "records": self.records,
            "selection": self.selection,
            "training": self.training,
        }
        self._checkpoint.save([self._engine], Notes(values, self._rule.memory if self._rule else {}))

    def _restored(self, streams: Sequence[Streams]) -> bool:
        notes = None
        if self._checkpoint is not None:
            notes = self._checkpoint.restore([self._engine], streams, [0] * len(streams))
        if notes is None:
            return False
        self.records = notes.values["records"]
        self.selection, self.training = notes.values["selection"], notes.values["training"]
        if self._rule is not None:
            self._rule.memory.update(notes.arrays)
        return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which torch uses one thread."""
    # The products of one round are small: threads cost more than they bring, and workers share the cores.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
