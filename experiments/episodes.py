"""Playing comparison episodes: one strategy, one corpus, many seeds in lockstep, measured on dev and test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import LooksAtLabels
from react_rl.acquisition.stopping import StoppingRule, StoppingSettings, make_stopping
from react_rl.agents.learned import LearnedStrategy
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.learners.build import LearnerSettings
from react_rl.metrics.classification import METRICS
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

_DIGITS = 6


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
        if size is not None and rows.size > size:
            rows = np.sort(np.random.default_rng(0).choice(rows, size=size, replace=False))
        self._rows = rows
        self._targets = corpus.corpus.targets[rows]

    def measure(self, engine: LabelingEngine, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """Test metrics of each episode's present model, by name."""
        labels = np.full((engine.n_episodes, self._targets.size), -1, dtype=np.int64)
        mask = np.zeros((engine.n_episodes, engine.most_classes), dtype=np.bool_)
        for e in range(engine.n_episodes):
            classes = engine.draw_of(e).classes
            position = np.searchsorted(classes, self._targets).clip(max=classes.size - 1)
            labels[e] = np.where(classes[position] == self._targets, position, -1)
            mask[e, : classes.size] = True
        scores = engine.scores(self._rows)
        truth = torch.from_numpy(labels).to(scores.device)
        valid = torch.from_numpy(mask).to(scores.device)
        return {n: METRICS[n].function(scores, truth, valid).double().cpu().numpy() for n in names}


def play(
    corpus: EncodedCorpus,
    strategy: QueryStrategy,
    seeds: Sequence[int],
    options: EpisodeOptions,
    metrics: Sequence[str],
    test_size: int | None = None,
    learner: LearnerSettings | None = None,
    stopping: StoppingSettings | None = None,
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

    Raises:
        ReActError: The episodes do not fit the corpus.
    """
    engine = LabelingEngine([corpus], options, len(seeds), metrics, learner)
    rising = METRICS[metrics[0]].higher_is_better
    rule = make_stopping(stopping, rising) if stopping is not None else None
    if isinstance(strategy, LooksAtLabels):
        strategy = strategy.bind(engine)
    test = TestSplit(corpus, test_size)
    started = time.perf_counter()
    engine.reset([episode_streams(seed, corpus.name) for seed in seeds], None, [0] * len(seeds))
    training, selection = time.perf_counter() - started, 0.0
    records: list[dict[str, Any]] = [
        {
            "cost": [],
            "labels": [],
            "dev": {name: [] for name in metrics},
            "test": {name: [] for name in metrics},
            "initial": engine.draw_of(e).initial.tolist(),
            "batches": [],
        }
        for e in range(len(seeds))
    ]
    _note(records, engine, test, metrics, np.ones(len(seeds), dtype=np.bool_))
    _stop_by_rule(engine, rule)
    while not engine.finished.all():
        running = ~engine.finished
        started = time.perf_counter()
        with torch.inference_mode():
            weights = strategy.weights(engine.view) if isinstance(strategy, LearnedStrategy) else None
            ids = strategy.select(engine.view, options.batch_size)
        chosen = time.perf_counter()
        round_ = engine.step(ids)
        # A strategy that asks for nothing has stopped.
        engine.stop((ids < 0).all(1).cpu().numpy())
        _stop_by_rule(engine, rule)
        selection += chosen - started
        training += time.perf_counter() - chosen
        for e in np.flatnonzero(running):
            if int(e) in engine.learner.failures:
                records[e]["failed"] = engine.learner.failures[int(e)]
            records[e]["batches"].append([int(i) for i in round_.ids[e] if i >= 0])
            if weights is not None and isinstance(strategy, LearnedStrategy):
                records[e]["features"] = list(strategy.features)
                rounded = [round(float(w), _DIGITS) for w in weights[e]]
                records[e].setdefault("weights", []).append(rounded)
        _note(records, engine, test, metrics, running)
    return Played(records, selection, training)


@torch.inference_mode()
def _stop_by_rule(engine: LabelingEngine, rule: StoppingRule | None) -> None:
    if rule is not None:
        engine.stop(rule.update(engine.view))


def _note(
    records: list[dict[str, Any]],
    engine: LabelingEngine,
    test: TestSplit,
    metrics: Sequence[str],
    running: npt.NDArray[np.bool_],
) -> None:
    measured = test.measure(engine, metrics)
    for e in np.flatnonzero(running):
        record = records[e]
        record["cost"].append(round(float(engine.spent[e]), _DIGITS))
        record["labels"].append(int(engine.labels[e]))
        for name in metrics:
            record["dev"][name].append(round(float(engine.current[name][e]), _DIGITS))
            record["test"][name].append(round(float(measured[name][e]), _DIGITS))
