"""Whether corpora, learners, actions and metrics fit each other: asked before anything is encoded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

from react_rl.data.corpus import Corpus
from react_rl.envs.interfaces import Interface, check_learner_of
from react_rl.errors import ReActError
from react_rl.learners.registry import LearnerSettings, check_task
from react_rl.tasks.registry import TASK_METRIC, task_of

LearnerOf = Callable[[str], LearnerSettings | None]
"""The learner of a task, by its name; None is the softmax regression as it comes."""


def by_task(corpora: Sequence[Corpus]) -> dict[str, list[Corpus]]:
    """Corpora by the names of their tasks, in the order in which the tasks come."""
    found: dict[str, list[Corpus]] = {}
    for corpus in corpora:
        found.setdefault(corpus.task, []).append(corpus)
    return found


def check_tasks(corpora: Sequence[Corpus], interface: Interface, metric: str, learner: LearnerOf) -> None:
    """Check that learners, metrics and what actions ask for are of the tasks of corpora.

    Args:
        corpora: The corpora, of one task or several.
        interface: What the policy sees and what its actions mean.
        metric: Dev metric that the reward is made of; ``task`` is each task's own first one.
        learner: The learner of a task.

    Raises:
        ReActError: One does not fit a task; what to set is said.
    """
    tasks = by_task(corpora)
    for (name, own), asked in itertools.product(tasks.items(), (metric, *interface.metrics)):
        task = task_of(own)
        if asked in (TASK_METRIC, *task.metrics):
            continue
        if len(tasks) > 1:
            raise ReActError(
                f"{asked!r} is no metric of {name}; with several tasks set reward.metric to "
                f"{TASK_METRIC!r}: it is the first metric of each."
            )
        key = "reward.metric" if asked == metric else "The metric that the policy observes"
        raise ReActError(
            f"{key} is {asked!r}, which is no metric of {name}; set it to "
            f"{TASK_METRIC!r} for {task.default_metrics[0]}, or to one of {', '.join(task.metrics)}."
        )
    for name, own in tasks.items():
        check_task(learner(name), task_of(own), own[0].name)
        check_learner_of(interface, learner(name), name)


def dealt_slots(n_episodes: int, worlds: int, tasks: Collection[str], group_size: int) -> list[int]:
    """Slots of each world: whole groups, unless there are too few, which the batches then refuse.

    Args:
        n_episodes: Episodes side by side.
        worlds: How many worlds they are dealt out to evenly, the first ones taking what is left.
        tasks: Names of their tasks.
        group_size: Neighbouring slots that share a draw.

    Raises:
        ReActError: There are fewer episodes than worlds.
    """
    if n_episodes < worlds:
        raise ReActError(
            f"{n_episodes} episodes side by side are fewer than the {len(tasks)} tasks "
            f"({', '.join(tasks)}); each needs one at least."
        )
    size = group_size if n_episodes % group_size == 0 and n_episodes >= worlds * group_size else 1
    each, more = divmod(n_episodes // size, worlds)
    return [(each + (place < more)) * size for place in range(worlds)]
