"""What every task must do, shown on a corpus of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from react_rl.contracts.worlds import OPTIONS, begun, options_for, require
from react_rl.data.corpus import Corpus
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.held_out import HeldOut
from react_rl.tasks.protocol import Ids, Task


@dataclass(frozen=True)
class Example:
    """What a task is tried on.

    Args:
        task: The task.
        corpus: A corpus of it.
        learner: Settings of a learner that learns it; None is the softmax regression as it comes.
    """

    task: Task
    corpus: EncodedCorpus
    learner: LearnerSettings | None = None

    @property
    def plain(self) -> Corpus:
        """The corpus without its vectors."""
        return self.corpus.corpus

    def begun(self) -> LabelingEngine:
        """Two episodes, a round of random batches played."""
        return begun([0, 1], [self.corpus], 1, options_for(self.corpus), self.learner)

    def targets(self, rows: Ids) -> Ids:
        """Targets of rows in an episode of all classes."""
        shape = self.task.shape([self.plain])
        return self.task.targets(self.plain, rows, np.arange(self.plain.n_classes), shape)


def targets_have_one_shape(example: Example) -> None:
    """Targets are int64 of the shape that the task says, and none begins with -1."""
    rows = example.plain.ids("train")[:20]
    found, wanted = example.targets(rows), (rows.size, *example.task.shape([example.plain]))
    require(found.shape == wanted, f"targets() gave the shape {found.shape}, not {wanted}.")
    require(found.dtype == np.int64, f"Targets are {found.dtype}; they must be int64.")
    first = found.reshape(rows.size, -1)[:, 0]
    require(bool((first >= 0).all()), "A target begins with -1, which stands for no target at all.")


def strata_are_named(example: Example) -> None:
    """Every row is in a stratum, and every stratum has a name."""
    strata, names = example.task.strata(example.plain), example.task.strata_names(example.plain)
    require(strata.shape == (example.plain.n_rows,), f"strata() gave the shape {strata.shape}.")
    inside = bool((strata >= 0).all()) and int(strata.max()) < len(names)
    require(inside, f"Strata go to {strata.max()}, and there are {len(names)} names.")


def kinds_are_counted(example: Example) -> None:
    """The ledger's kind of a target is below ``n_kinds``, and -1 where there is no target."""
    targets = torch.from_numpy(example.targets(example.plain.ids("train")[:20]))
    kinds, most = example.task.kinds(targets), example.task.n_kinds(example.plain.n_classes)
    require(kinds.shape == (len(targets),), f"kinds() gave the shape {tuple(kinds.shape)}.")
    inside = bool(((kinds >= 0) & (kinds < most)).all())
    require(inside, f"Kinds are {sorted(set(kinds.tolist()))}; they must be below n_kinds, {most}.")
    nothing = example.task.kinds(torch.full_like(targets, -1))
    require(bool((nothing == -1).all()), "The kind of no target must be -1.")


def annotators_err_at_their_rate(example: Example) -> None:
    """Without noise nobody errs; with much noise some answers are wrong and some right, by the seed alone."""
    task, corpus = example.task, example.plain
    quiet = OPTIONS.model_copy(update={"label_noise": 0.0})
    none = task.annotator(corpus, example.corpus.embeddings, quiet) is None
    require(none, "Without noise annotator() must give None.")
    noisy = OPTIONS.model_copy(update={"label_noise": 0.5})
    annotator = task.annotator(corpus, example.corpus.embeddings, noisy)
    if annotator is None:
        require(False, "With noise annotator() gave None.")
        return
    rows, classes = corpus.ids("train")[:100], np.arange(corpus.n_classes)
    truth = example.targets(rows)
    first, second = (annotator.answer(rows, truth, classes, np.random.default_rng(3)) for _ in range(2))
    require(np.array_equal(first, second), "The same generator gave other answers.")
    require(first.shape == truth.shape, f"Answers have the shape {first.shape}, targets {truth.shape}.")
    wrong = (first != truth).reshape(rows.size, -1).any(1).mean()
    require(0 < wrong < 1, f"With noise .5 a share of {wrong:g} of the answers is wrong.")


def models_are_judged(example: Example) -> None:
    """All metrics of the task are finite for a trained model, and the default ones are among them."""
    task = example.task
    unknown = [name for name in task.default_metrics if name not in task.metrics]
    require(not unknown, f"Default metrics that the task does not have: {unknown}.")
    require(bool(task.default_metrics), "A task needs a default metric.")
    engine = example.begun()
    for name, values in HeldOut(example.plain.ids("dev")[:20]).measure(engine, list(task.metrics)).items():
        right = values.shape == (2,) and bool(np.isfinite(values).all())
        require(right, f"The metric {name} gave {values}; it must be a finite number for each episode.")


def soft_scores_are_shares(example: Example) -> None:
    """A model's soft score is from 0 to 1, and that of a model copied twice is the model's, twice."""
    engine = example.begun()
    scores = engine.learner.logits_of(slice(engine.options.pool_size, None))
    alone = example.task.soft_score(scores, engine.pools.truth)
    inside = alone.shape == (2,) and bool(((alone >= 0) & (alone <= 1)).all())
    require(inside, f"soft_score() gave {alone}; it must be from 0 to 1 for each model.")
    # Two models for one episode, where both episodes have the same dev rows.
    same = example.task.soft_score(scores, engine.pools.truth[:1])
    require(bool(torch.isclose(same[0], alone[0])), "soft_score() depends on the other models.")


def rows_have_signals(example: Example) -> None:
    """Confidence is a probability, entropy is not negative, and both are there for every row."""
    view = example.begun().view
    there = view.available | view.labelled
    for name in ("confidence", "margin", "entropy"):
        values = getattr(view.signals, name)
        wanted = tuple(view.ids.shape)
        require(tuple(values.shape) == wanted, f"{name} has the shape {tuple(values.shape)}, not {wanted}.")
        require(bool(torch.isfinite(values[there]).all()), f"{name} is not finite for every row.")
    confidence, entropy = view.signals.confidence[there], view.signals.entropy[there]
    inside = bool(((confidence > 0) & (confidence <= 1 + 1e-5)).all())
    require(inside, "Confidence must be above 0 and at most 1.")
    require(bool((entropy >= -1e-5).all()), "Entropy is negative.")


def targets_can_be_read(example: Example) -> None:
    """A target reads as text."""
    row = int(example.plain.ids("train")[0])
    (target,) = example.targets(np.array([row]))
    said = example.task.written(example.plain, row, target, np.arange(example.plain.n_classes))
    require(isinstance(said, str), f"written() gave {said!r}; it must give text.")


TASK_CHECKS: Final[dict[str, Callable[[Example], None]]] = {
    check.__name__: check
    for check in (
        targets_have_one_shape,
        strata_are_named,
        kinds_are_counted,
        annotators_err_at_their_rate,
        models_are_judged,
        soft_scores_are_shares,
        rows_have_signals,
        targets_can_be_read,
    )
}
"""The checks by name."""


def check_task(task: Task, corpus: EncodedCorpus, learner: LearnerSettings | None = None) -> None:
    """Run all checks on a registered task.

    Args:
        task: The task, as in ``TASKS``.
        corpus: A corpus of it.
        learner: Settings of a learner that learns it; None is the softmax regression as it comes.

    Raises:
        ContractBroken: It does something that the engine does not expect; the first thing is named.
    """
    example = Example(task, corpus, learner)
    for check in TASK_CHECKS.values():
        check(example)
