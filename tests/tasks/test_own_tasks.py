"""A task of one's own: how it becomes known, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from react_rl.data import inspect_corpus, synthetic_corpus
from react_rl.errors import ReActError
from react_rl.metrics.classification import CLASS_METRICS, Metric
from react_rl.metrics.registry import METRICS
from react_rl.simulation import EncodedCorpus
from react_rl.tasks import TASKS, Classification, register_task


class Graded(Classification):
    """Classification under a name and with a metric of its own."""

    name = "grading"  # type: ignore[misc]
    metrics = {**CLASS_METRICS, "share": CLASS_METRICS["accuracy"]}  # noqa: RUF012


def test_a_registered_task_brings_its_metrics() -> None:
    with patch.dict(TASKS), patch.dict(METRICS):
        register_task(Graded())
        assert METRICS["share"] is CLASS_METRICS["accuracy"]
        register_task(Graded())  # once more, as when its module is imported again
        other = Graded()
        other.metrics = {"macro_f1": Metric(CLASS_METRICS["accuracy"].function, True, None, 1.0)}
        with pytest.raises(ReActError, match="another metric 'macro_f1' than classification"):
            register_task(other)
    assert "share" not in METRICS


def test_a_task_that_nobody_registered_is_refused_before_anything_is_played() -> None:
    corpus = replace(synthetic_corpus(), task="clasification")
    with pytest.raises(ReActError, match=r"Unknown task 'clasification'\. Did you mean 'classification'"):
        EncodedCorpus.build(corpus, np.eye(corpus.n_rows, dtype=np.float32))


def test_targets_that_only_their_task_can_read_are_counted_and_digested() -> None:
    plain = synthetic_corpus(n_rows=60)
    shares: Any = np.linspace(0, 1, plain.n_rows)
    corpus = replace(plain, task="regression", targets=shares)
    facts = inspect_corpus(corpus)
    assert (facts.classes, facts.smallest, facts.largest) == (1, 60, 60)
    assert facts.warnings == inspect_corpus(replace(plain, task="regression")).warnings
    assert corpus.digest() != replace(corpus, targets=shares + 1e-9).digest()
    pairs = replace(corpus, targets=np.stack([shares > 0.5, shares > 0.2], 1).astype(np.int64))
    assert inspect_corpus(pairs).classes == 1
