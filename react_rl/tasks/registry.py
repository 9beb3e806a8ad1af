"""All tasks by name. A new task satisfies ``protocol.Task`` and is one line here, or is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError, unknown
from react_rl.metrics.registry import METRICS
from react_rl.tasks.classification import Classification
from react_rl.tasks.protocol import Task
from react_rl.tasks.questions import QuestionAnswering
from react_rl.tasks.tagging import Tagging

TASKS: Final[dict[str, Task]] = {
    "classification": Classification(),
    "tagging": Tagging(),
    "question-answering": QuestionAnswering(),
}
"""Tasks that can be simulated, by the name that corpora carry."""

TASK_METRIC: Final = "task"
"""In place of a metric's name: the first metric of the task at hand."""


def register_task(task: Task) -> None:
    """Make a task known by its name, and its metrics by theirs. Mutates ``TASKS`` and ``METRICS``.

    Args:
        task: The task; one of the same name is replaced.

    Raises:
        ReActError: A metric has the name of one of another task, and is not that one.
    """
    for other in TASKS.values():
        for name, metric in task.metrics.items():
            if other.name != task.name and other.metrics.get(name, metric) != metric:
                raise ReActError(
                    f"Task {task.name!r} has another metric {name!r} than {other.name}; give it another name."
                )
    METRICS.update(task.metrics)
    TASKS[task.name] = task


def task_of(corpora: Sequence[Corpus]) -> Task:
    """The task of corpora.

    Raises:
        ReActError: They are of several, or of one that cannot be simulated.
    """
    names = list(dict.fromkeys(corpus.task for corpus in corpora))
    if len(names) > 1:
        raise ReActError(
            f"Corpora of one engine need one task; these are of {' and '.join(names)}. Play them apart."
        )
    if names[0] not in TASKS:
        raise unknown("task", names[0], TASKS)
    return TASKS[names[0]]


def named_metric(task: Task, name: str) -> str:
    """The name of a metric, where ``task`` stands for the first one of the task."""
    return task.default_metrics[0] if name == TASK_METRIC else name


def named_metrics(task: Task, names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of metrics, each once; None is the first one of the task.

    Raises:
        ReActError: One is unknown, or of another task.
    """
    asked = task.default_metrics[:1] if names is None else names
    found = tuple(dict.fromkeys(named_metric(task, name) for name in asked))
    check_metrics(task, found)
    return found


def check_metrics(task: Task, names: Sequence[str]) -> None:
    """Check that models of a task can be judged by these metrics.

    Raises:
        ReActError: One is unknown, or of another task; the message names those that there are.
    """
    for name in names:
        if name not in task.metrics:
            raise unknown(f"metric of {task.name}", name, task.metrics)
