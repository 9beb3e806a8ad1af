"""Observations: what a policy sees of the running episodes.

No row ids, no pool positions, no label that was not bought.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

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
        metric: Dev metric that it shows, from chance (0) to a perfect model (1).

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    def __init__(self, metric: str = DEFAULT_METRIC) -> None:
        self._metric = metric_named(metric)
        if self._metric.chance is None:
            able = [name for name, one in METRICS.items() if one.chance is not None]
            raise ReActError(
                f"The context observation cannot show {metric!r}, which has no value of chance; "
                f"use one of {', '.join(able)}."
            )
        self.metrics = (metric,)
        self.space = gymnasium.spaces.Box(-5.0, 5.0, (len(CONTEXT),), np.float32)

    @torch.inference_mode()
    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return ``(E, G)`` float32."""
        progress = view.progress
        classes = progress.n_classes.astype(np.float64)
        assert self._metric.chance is not None
        chance, best, sign = self._metric.chance(classes), self._metric.best, self._metric.sign
        dev = progress.metric(self.metrics[0])
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
        return observed

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        return {"name": "context", "numbers": len(CONTEXT), "metric": self.metrics[0]}


class PhasesObservation(ContextObservation):
    """``Box(-5, 5, (G + 3,))``: the context, and where an episode is in the phases of its corpus.

    Args:
        metric: Dev metric that it shows; it knows the dev rows of phases that have come.

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    def __init__(self, metric: str = DEFAULT_METRIC) -> None:
        super().__init__(metric)
        self.space = gymnasium.spaces.Box(-5.0, 5.0, (len(CONTEXT) + len(PHASES),), np.float32)

    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return ``(E, G + 3)`` float32."""
        return np.concatenate([super().observe(view), phase_numbers(view)], axis=1)

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        return {"name": "phases", "numbers": len(CONTEXT) + len(PHASES), "metric": self.metrics[0]}


OBSERVATIONS: Final[dict[str, Callable[[str], Observation]]] = {
    "context": ContextObservation,
    "phases": PhasesObservation,
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
