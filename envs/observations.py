"""Observations: what a policy sees of the running episodes.

No row ids, no pool positions, no label that was not bought.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from react_rl.envs.context import PHASES, POOL, PROGRESS, phase_numbers, pool_numbers, progress_numbers
from react_rl.errors import ReActError, unknown
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.registry import METRICS, metric_named
from react_rl.own_code import OBSERVATION, announced, is_outside, make_outside
from react_rl.simulation.view import PoolView
from react_rl.tasks.registry import TASK_METRIC, named_metric


class Observation(Protocol):
    """Turns the view of E episodes into what the policy sees."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Dev metrics that it reads; the engine has to measure them."""
        ...

    @property
    def space(self) -> gymnasium.Space[Any]:
        """Space of one episode's observation."""
        ...

    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return the observation of each episode; a fresh array with the episode axis first."""
        ...

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        ...


_PARTS: Final = ("metrics", "space", "observe", "describe")


def check_observation(given: object) -> None:
    """Check that an object is an observation.

    Raises:
        ReActError: It is a class, or lacks a part of one.
    """
    if isinstance(given, type):
        name = given.__name__
        raise ReActError(f"The observation is the class {name}; give an object, as in {name}('accuracy').")
    for part in _PARTS:
        if not hasattr(given, part):
            raise ReActError(
                f"The observation {given!r:.80} has no {part!r}; it must be a name or an object with "
                f"{', '.join(_PARTS)}."
            )
    if not isinstance(space := getattr(given, "space", None), gymnasium.Space):
        raise ReActError(f"The space of the observation is {space!r:.80}; it must be a Gymnasium space.")


DEV: Final = (
    "dev metric above chance",
    "dev metric gained since the start",
    "dev metric gained in the last round",
)
"""What the context observation says of the dev set, in order."""

CONTEXT: Final = (*PROGRESS, *DEV, *POOL)
"""What the numbers of the context observation mean, in order."""


class ContextObservation:
    """``Box(-5, 5, (G,))``: G numbers that say how far the episode is and what its pool looks like.

    The last two distinguish corpora on which the embedding carries the label (topics) from those on which
    it does not (acceptability): how often labelled neighbours agree, and how hard the labels are to fit.

    Args:
        metric: Dev metric that it shows, from chance (0) to a perfect model (1); ``task`` is the first one of
            the task at hand.

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    name: ClassVar[str] = "context"
    further: ClassVar[tuple[str, ...]] = ()
    """What the numbers after the context mean; who has some overrides ``further_numbers``, too."""

    def __init__(self, metric: str = DEFAULT_METRIC) -> None:
        if metric != TASK_METRIC and metric_named(metric).chance is None:
            able = [name for name, one in METRICS.items() if one.chance is not None]
            raise ReActError(
                f"The context observation cannot show {metric!r}, which has no value of chance; "
                f"use one of {', '.join(able)}."
            )
        self.metrics = (metric,)
        self.space = gymnasium.spaces.Box(-5.0, 5.0, (len(CONTEXT) + len(self.further),), np.float32)

    @torch.inference_mode()
    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return ``(E, G)`` float32, and the further numbers behind them."""
        progress = view.progress
        classes = progress.n_classes.astype(np.float64)
        name = named_metric(view.task, self.metrics[0])
        metric = view.task.metrics[name]
        # A task whose first metric has no value of chance starts from nothing.
        chance = np.zeros_like(classes) if metric.chance is None else metric.chance(classes)
        best, sign = metric.best, metric.sign
        dev = progress.metric(name)
        shown = np.stack(
            [
                (dev.now - chance) / (best - chance),
                (dev.now - dev.start) * 2.0 * sign,
                (dev.now - dev.before) * 10.0 * sign,
            ],
            axis=1,
        )
        pool = pool_numbers(view).double().cpu().numpy()
        both = np.concatenate([progress_numbers(view), shown, pool], axis=1)
        observed: npt.NDArray[np.float32] = np.clip(np.nan_to_num(both), -5.0, 5.0).astype(np.float32)
        return np.concatenate([observed, self.further_numbers(view)], axis=1) if self.further else observed

    def further_numbers(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Numbers behind the context ``(E, .)``, those of ``further``."""
        return np.zeros((view.n_episodes, 0), dtype=np.float32)

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        numbers = len(CONTEXT) + len(self.further)
        return {"name": self.name, "numbers": numbers, "metric": self.metrics[0]}


class PhasesObservation(ContextObservation):
    """``Box(-5, 5, (G + 3,))``: the context, and where an episode is in the phases of its corpus.

    Args:
        metric: Dev metric that it shows; it knows the dev rows of phases that have come.

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    name = "phases"
    further = PHASES

    def further_numbers(self, view: PoolView) -> npt.NDArray[np.float32]:
        """How far the episode is in its phases ``(E, 3)``."""
        return phase_numbers(view)


TASK_NUMBERS: Final = ("classification", "tagging", "question-answering")
"""Tasks that have a number of their own in ``ContextAndTask``, in order."""


class ContextAndTask(ContextObservation):
    """``Box(-5, 5, (G + 3,))``: the context, then 1 for the task of the episode and 0 for the others.

    It is for one policy over several tasks. A task of one's own has 0 three times.

    Args:
        metric: Dev metric that it shows; ``task`` is the first one of the task at hand.

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    name = "context-and-task"
    further = TASK_NUMBERS

    def __init__(self, metric: str = TASK_METRIC) -> None:
        super().__init__(metric)

    def further_numbers(self, view: PoolView) -> npt.NDArray[np.float32]:
        """1 in the place of the task ``(E, 3)``."""
        task = np.array([name == view.task.name for name in self.further], dtype=np.float32)
        return np.broadcast_to(task, (view.n_episodes, task.size))


OBSERVATIONS: Final[dict[str, Callable[[str], Observation]]] = {
    "context": ContextObservation,
    "phases": PhasesObservation,
    "context-and-task": ContextAndTask,
}
"""The observations by name; each is called with the name of the dev metric that it shows."""


def make_observation(name: str = "context", metric: str = DEFAULT_METRIC) -> Observation:
    """Build an observation by name.

    Args:
        name: Its name: a registered one, one that a package announces, or ``module:Name``, a class that is
            called with the metric.
        metric: Dev metric that it shows.

    Raises:
        ReActError: Unknown name or metric; the nearest one is given.
    """
    if name in OBSERVATIONS:
        return OBSERVATIONS[name](metric)
    if not is_outside(name, OBSERVATION):
        raise unknown("observation", name, [*OBSERVATIONS, *announced(OBSERVATION.group), "module:Name"])
    made: Observation = make_outside(
        name, OBSERVATION, ("observe", "describe"), ("metrics", "space"), (metric,)
    )
    said = made.describe()
    if said.get("name") != name or said.get("metric") != metric:
        raise ReActError(
            f"Observation {name!r} describes itself as {said}; describe() must return its 'name', {name!r}, "
            f"and 'metric', {metric!r}, from which a policy's card makes it again."
        )
    return made
