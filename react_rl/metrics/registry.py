"""All metrics by name, whatever the task."""

from __future__ import annotations

from typing import Final

from react_rl.errors import unknown
from react_rl.metrics.classification import CLASS_METRICS, Metric
from react_rl.metrics.entities import ENTITY_METRICS
from react_rl.metrics.question_answering import ANSWER_METRICS

METRICS: Final[dict[str, Metric]] = {**CLASS_METRICS, **ENTITY_METRICS, **ANSWER_METRICS}
"""Metrics by the name that configs use; registering a task adds those of its own."""


def metric_named(name: str) -> Metric:
    """Look up a metric.

    Raises:
        ReActError: If there is no metric of that name; the message names the nearest one.
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
