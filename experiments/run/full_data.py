"""What the learner reaches with the label of every row of a pool: the line that learning curves climb to.

Nothing is bought here. The answers are those that the oracle would give, noise and silence included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.envs.batched import episode_streams
from react_rl.errors import with_place
from react_rl.experiments.run.episodes import TestSplit, one_thread, rounded
from react_rl.experiments.run.planning import Part
from react_rl.experiments.run.results import ResultFolder, RunId
from react_rl.learners.registry import LearnerSettings, entry_of, offers_of
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.whole_pool import buy_everything, scores_with_everything
from react_rl.tasks.classification import Classification

ALL_LABELS: Final = "(all labels)"
"""Stands in the list of failures where others have a strategy."""


class FullData:
    """What all labels of a pool bring, for the runs on corpora of one task: once for a corpus and a seed.

    Args:
        part: What is compared.
        folder: Where its runs are.
        runs: Its plan.
    """

    def __init__(self, part: Part, folder: ResultFolder, runs: Sequence[RunId]) -> None:
        config = part.config
        self._config = config
        self._corpora = {corpus.name: corpus for corpus in part.corpora}
        self._folder = folder
        self._runs = runs
        free = "linear" in offers_of(config.learner.settings())
        self._wanted = config.full == "always" or (config.full == "auto" and free)
        self._found: dict[tuple[str, int], dict[str, float]] = {}

    def of(self, run: RunId) -> dict[str, float] | None:
        """Test metrics with all labels of the run's pool; None where they were not measured."""
        return self._found.get((run.corpus, run.seed))

    def measure(self, together: int, tell: Callable[[str], None] | None = None) -> list[dict[str, str]]:
        """Measure what no finished run knows yet, and add it to finished runs that lack it. Mutates.

        Args:
            together: Seeds that a fine-tuned learner is trained on side by side.
            tell: Told what is going on while a transformer is trained.

        Returns:
            Failures with their reasons.
        """
        if not self._wanted:
            return []
        lacking = self._read_finished()
        failures: list[dict[str, str]] = []
        blocks: dict[tuple[str, int], set[int]] = {}
        for run in self._runs:
            blocks.setdefault((run.corpus, run.seed // together), set()).add(run.seed)
        for (corpus, _), seeds in blocks.items():
            if all((corpus, seed) in self._found for seed in seeds):
                continue
            if tell is not None and not entry_of(self._config.learner.settings()).cheap:
                tell(f"all labels of {corpus}")
            failures += self._measure_block(self._corpora[corpus], sorted(seeds))
        for run in lacking:
            full = self.of(run)
            if full is not None:
                self._folder.extend_run(run, {"full": full})
        return failures

    def _read_finished(self) -> list[RunId]:
        """Take over what finished runs know; returns the finished runs that know nothing. Mutates."""
        lacking = []
        for run in self._runs:
            if self._folder.finished(run):
                full = self._folder.read_run(run).get("full")
                if full is None:
                    lacking.append(run)
                else:
                    self._found[run.corpus, run.seed] = full
        return lacking

    def _measure_block(self, corpus: EncodedCorpus, seeds: Sequence[int]) -> list[dict[str, str]]:
        config = self._config
        try:
            with one_thread():
                found = measure_full(
                    corpus, seeds, config.episode, config.metrics, config.test_size, config.learner.settings()
                )
        except Exception as error:  # a comparison stands without this line, and says why it is not there
            reason = with_place(error)
            return [
                {"corpus": corpus.name, "strategy": ALL_LABELS, "seed": str(seed), "reason": reason}
                for seed in seeds
            ]
        self._found |= {(corpus.name, seed): full for seed, full in zip(seeds, found, strict=True)}
        return []


def measure_full(
    corpus: EncodedCorpus,
    seeds: Sequence[int],
    options: EpisodeOptions,
    metrics: Sequence[str],
    test_size: int | None = None,
    learner: LearnerSettings | None = None,
) -> list[dict[str, float]]:
    """Train on all labels of the pool of each seed and measure on test.

    Args:
        corpus: The corpus.
        seeds: Seed k draws the pool that strategies are played on.
        options: Sizes of the episodes; their budget does not matter here.
        metrics: Names of the metrics.
        test_size: Most test rows, the same ones as in a comparison.
        learner: Settings of the learner; None is the softmax regression as it comes.

    Returns:
        For each seed the test metrics by name.

    Raises:
        ReActError: The episodes do not fit the corpus, or the learner cannot be had.
    """
    test = TestSplit(corpus, test_size)
    streams = [episode_streams(seed, corpus.name) for seed in seeds]
    entry = entry_of(learner)
    fit = entry.fit_all(learner)
    if fit is not None:
        found = scores_with_everything(corpus, options, streams, test.rows, fit)
        return [_judged(corpus, scores, draw, test, metrics) for scores, draw in found]
    # Heads in dual form keep the square of the pool for each episode, and so are fitted one at a time.
    blocks = [[one] for one in streams] if entry.cheap else [streams]
    return [
        {name: rounded(measured[name][e]) for name in metrics}
        for block in blocks
        for measured in [test.measure(buy_everything(corpus, options, block, metrics, learner), metrics)]
        for e in range(len(block))
    ]


@torch.inference_mode()
def _judged(
    corpus: EncodedCorpus, scores: Tensor, draw: Draw, test: TestSplit, metrics: Sequence[str]
) -> dict[str, float]:
    """Test metrics of class scores ``(C, T)``."""
    task = Classification()
    truth = torch.from_numpy(task.targets(corpus.corpus, test.rows, draw.classes, ())).to(corpus.device)
    found = task.judge(metrics, scores[None], truth[None], scores.new_ones(1, len(scores)) > 0)
    return {name: rounded(float(found[name][0])) for name in metrics}
