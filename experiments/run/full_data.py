"""What the learner reaches with the label of every row of a pool: the line that learning curves climb to.

Nothing is bought here. The answers are those that the oracle would give, noise and silence included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.envs.batched import episode_streams
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.episodes import TestSplit, one_thread, rounded
from react_rl.experiments.run.results import ResultFolder, RunId
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import CURVATURE
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.learners.recipes import PLAIN
from react_rl.learners.registry import LearnerSettings, entry_of
from react_rl.simulation.draw import draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import Oracle
from react_rl.tasks.classification import Classification

ALL_LABELS: Final = "(all labels)"
"""Stands in the list of failures where others have a strategy."""
_TOLERANCE: Final = 3e-3
"""A fit ends when no weight moves further in a step; ten times less moves accuracies by .001 to .003."""
_MOST_STEPS: Final = 500


class FullData:
    """What all labels of a pool bring, for the runs of a comparison: measured once for a corpus and a seed.

    Args:
        config: The comparison.
        folder: Where its runs are.
        runs: Its plan.
    """

    def __init__(self, config: CompareConfig, folder: ResultFolder, runs: Sequence[RunId]) -> None:
        self._config = config
        self._folder = folder
        self._runs = runs
        self._wanted = config.full == "always" or (config.full == "auto" and config.learner.kind == "softmax")
        self._found: dict[tuple[str, int], dict[str, float]] = {}

    def of(self, run: RunId) -> dict[str, float] | None:
        """Test metrics with all labels of the run's pool; None where they were not measured."""
        return self._found.get((run.corpus, run.seed))

    def measure(
        self, corpora: Mapping[str, EncodedCorpus], together: int, tell: Callable[[str], None] | None = None
    ) -> list[dict[str, str]]:
        """Measure what no finished run knows yet, and add it to finished runs that lack it. Mutates.

        Args:
            corpora: The corpora by name.
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
            if tell is not None and self._config.learner.kind == "finetune":
                tell(f"all labels of {corpus}")
            failures += self._measure_block(corpora[corpus], sorted(seeds))
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
            reason = f"{type(error).__name__}: {error}"
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
    settings = SoftmaxSettings() if learner is None else learner
    if isinstance(settings, SoftmaxSettings) and _is_plain(settings):
        oracle = Oracle(1, options.pool_size, options, corpus.device)
        return [_primal(corpus, seed, options, metrics, test, settings, oracle) for seed in seeds]
    if not entry_of(settings).cheap:
        return _buy_all(corpus, seeds, options, metrics, test, settings)
    if isinstance(settings, SoftmaxSettings):
        # One refit from the initial labels to all needs more steps than one by a batch.
        settings = replace(settings, max_steps=_MOST_STEPS)
    # One at a time: heads in dual form keep the square of the pool for each episode.
    return [_buy_all(corpus, [seed], options, metrics, test, settings)[0] for seed in seeds]


def _buy_all(
    corpus: EncodedCorpus,
    seeds: Sequence[int],
    options: EpisodeOptions,
    metrics: Sequence[str],
    test: TestSplit,
    settings: LearnerSettings,
) -> list[dict[str, float]]:
    """Buy the whole pools in one round, with any learner."""
    train = corpus.corpus.ids("train")
    everything = options.pool_size - options.initial_size
    price = float(np.sort(corpus.corpus.cost[train])[::-1][:everything].sum())
    bought = options.model_copy(update={"budget": price, "batch_size": everything})
    engine = LabelingEngine([corpus], bought, len(seeds), metrics, settings)
    engine.reset([episode_streams(seed, corpus.name) for seed in seeds], None, [0] * len(seeds))
    ids = torch.full((len(seeds), everything), -1, dtype=torch.int64)
    for e in range(len(seeds)):
        rest = np.setdiff1d(engine.draw_of(e).pool, engine.draw_of(e).initial)
        ids[e, : rest.size] = torch.from_numpy(rest)
    engine.step(ids.to(corpus.device))
    measured = test.measure(engine, metrics)
    return [{name: rounded(measured[name][e]) for name in metrics} for e in range(len(seeds))]


def _is_plain(settings: SoftmaxSettings) -> bool:
    """Whether the objective is the one that ``fit_primal`` minimises."""
    return settings.class_weights == "none" and settings.recipe == PLAIN


@torch.inference_mode()
def _primal(
    corpus: EncodedCorpus,
    seed: int,
    options: EpisodeOptions,
    metrics: Sequence[str],
    test: TestSplit,
    settings: SoftmaxSettings,
    oracle: Oracle,
) -> dict[str, float]:
    """Fit one seed in primal form: a pool has more rows than an embedding has dimensions."""
    streams = episode_streams(seed, corpus.name)
    draw = draw_episode([corpus], options, streams, 0)
    oracle.draw([0], [draw], [corpus], [streams])
    everything = torch.arange(draw.pool.size, device=corpus.device)[None]
    answers = oracle.answer(torch.zeros(1, dtype=torch.int64), everything)[0]  # (P,)
    heard = answers >= 0
    rows = corpus.embeddings[torch.from_numpy(draw.pool).to(corpus.device)[heard]]
    weights = fit_primal(rows, answers[heard], draw.classes.size, settings)  # (C, D + 1)
    tested = corpus.embeddings[torch.from_numpy(test.rows).to(corpus.device)]
    scores = weights @ _with_bias(tested, settings).T
    missing = corpus.corpus.n_classes - draw.classes.size
    padded = torch.nn.functional.pad(scores, (0, 0, 0, missing), value=INVALID_LOGIT)
    task = Classification()
    truth = torch.from_numpy(task.targets(corpus.corpus, test.rows, draw.classes, ())).to(corpus.device)
    found = task.judge(metrics, padded[None], truth[None], padded.new_ones(1, len(padded)) > 0)
    return {name: rounded(float(found[name][0])) for name in metrics}


def fit_primal(rows: Tensor, labels: Tensor, n_classes: int, settings: SoftmaxSettings) -> Tensor:
    """Fit the learner's softmax regression to many rows, with work that grows with their number alone.

    The steps are those of ``learners.softmax``, written for the weights: with X the rows and the bias column,
    W <- W - (G X + l2 W) (X^T X / 4 + l2)^-1, G = softmax(W X^T) - Y.

    Args:
        rows: ``(n, D)`` unit-norm embeddings.
        labels: ``(n,)`` classes.
        n_classes: C.
        settings: Regularisation; tolerance and steps are those of this module.

    Returns:
        ``(C, D + 1)`` weights, the last column times ``settings.bias`` being the intercept.
    """
    inputs = _with_bias(rows, settings)  # (n, D + 1)
    curvature = (inputs.T @ inputs).mul_(CURVATURE)
    curvature.diagonal().add_(settings.l2)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(curvature))
    target = (labels[None, :] == torch.arange(n_classes, device=labels.device)[:, None]).to(rows)  # (C, n)
    weights = torch.zeros(n_classes, inputs.shape[1], device=rows.device)
    across = inputs.T.contiguous()
    for _ in range(_MOST_STEPS):
        wrong = torch.softmax(weights @ across, 0).sub_(target)
        step = torch.addmm(weights, wrong, inputs, beta=settings.l2) @ inverse
        weights -= step
        if float(step.abs().max()) <= _TOLERANCE:
            break
    return weights


def _with_bias(rows: Tensor, settings: SoftmaxSettings) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 1), value=settings.bias)
