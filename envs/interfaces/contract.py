"""What joins a policy to the running episodes: what it sees and what its actions mean, as one object.

Observations and actions speak of features and strategies, never of pool positions, so a policy moves to other
corpora, pool sizes and numbers of classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.acquisition.registry import entry_of
from react_rl.acquisition.strategies.weighted import FEATURE
from react_rl.envs.observations import Observation, check_observation, make_observation
from react_rl.errors import ReActError
from react_rl.learners.capabilities import Capability
from react_rl.learners.recipes import Recipe
from react_rl.learners.registry import LearnerSettings, check_needs
from react_rl.simulation.purchases import Mask
from react_rl.simulation.view import PoolView

Observed = Any
"""Observations, for E episodes with the episode axis first: an array, or a dict with one for each key."""

T = TypeVar("T")


def observation_of(observed: Observed, episode: int) -> Observed:
    """A fresh copy of one episode's observation."""
    if isinstance(observed, dict):
        return {key: array[episode].copy() for key, array in observed.items()}
    return observed[episode].copy()


def fresh(observed: Observed) -> Observed:
    """A copy that shares no memory."""
    if isinstance(observed, dict):
        return {key: array.copy() for key, array in observed.items()}
    return observed.copy()


@dataclass(frozen=True)
class Frame:
    """E episodes as a policy meets them before it acts.

    Args:
        view: The pools.
        observation: What the policy sees.
        batch_size: Rows of the round's batch, unless an action says otherwise.
        mask: ``(E, A)`` actions of a discrete space that are allowed; None where all are.
        candidates: ``(E, K)`` row ids that actions choose from, -1 for none; None where there are none.
        memory: What the interface carries from pick to pick of a round.
    """

    view: PoolView
    observation: Observed
    batch_size: int
    mask: Mask | None = None
    candidates: Tensor | None = None
    memory: Any = None


@dataclass(frozen=True)
class Decision:
    """What actions mean.

    Args:
        ids: ``(E, b)`` row ids to buy, in this order; -1 for none.
        stop: ``(E,)`` episodes that end: they buy nothing more.
        batch_size: ``(E,)`` rows that are bought before the learner is refitted; until then further actions
            add to the batch. None: ``ids`` are the whole batch.
        recipe: How each episode is trained from this refit on; None changes nothing.
    """

    ids: Tensor
    stop: Mask
    batch_size: npt.NDArray[np.int64] | None = None
    recipe: Sequence[Recipe | None] | None = None


class Interface(ABC):
    """Turns views into frames and actions into decisions, for E episodes at once. It keeps no state.

    A new one sets ``action_space`` and defines ``decide`` and ``describe``; frames with more than the
    observation (masks, candidates) come from its own ``frame``.

    Args:
        observation: What the policy sees of episode and pool; None is the context observation.

    Attributes:
        observation: The same.
        observation_space: Space of one episode's observation.
        action_space: Space of one episode's action.
        needs: What each strategy and feature that an action may use asks of the learner, by its name.

    Raises:
        ReActError: The observation is none.
    """

    action_space: gymnasium.Space[Any]

    def __init__(self, *, observation: Observation | None = None) -> None:
        self.observation = make_observation() if observation is None else observation
        check_observation(self.observation)
        self.observation_space: gymnasium.Space[Any] = self.observation.space
        self.needs: Mapping[str, frozenset[Capability]] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Dev metrics that it reads; the engine has to measure them."""
        return self.observation.metrics

    def frame(self, view: PoolView, last: Frame | None = None) -> Frame:
        """What the policy meets; fresh arrays.

        Args:
            view: The pools as they stand.
            last: The frame before, whose work may be reused within a round.
        """
        return Frame(view, self.observation.observe(view), view.progress.batch_size)

    def expected_actions(self, rows: float, batch_size: int) -> float:
        """Actions that buy ``rows`` rows, about; ``batch_size`` rows at once unless it says otherwise."""
        return rows / batch_size

    @abstractmethod
    def decide(self, frame: Frame, actions: npt.NDArray[Any]) -> Decision:
        """Say what actions ``(E, ...)`` mean in a frame."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name and settings from which ``make_interface`` builds the same, the observation apart."""

    def score(self, frame: Frame, actions: npt.NDArray[Any]) -> Tensor:
        """Say how much each row is wanted as the first pick under the actions, ``(E, P)``.

        Unless an interface knows better: 1 for the row that it picks, 0 for the others.
        """
        first = self.decide(frame, actions).ids[:, :1]
        return (frame.view.ids == first).float()


def check_learner_of(interface: Interface, learner: LearnerSettings | None, task: str | None = None) -> None:
    """Check that the learner can do what strategies and features among the actions need.

    Args:
        interface: Whose actions.
        learner: Settings of the learner; None is the softmax regression as it comes.
        task: Name of the task; None where it may be any that the learner can learn.

    Raises:
        ReActError: It cannot; the strategy or the feature, and what to set, are named.
    """
    for name, needs in interface.needs.items():
        try:
            check_needs(name, needs, learner, task)
        except ReActError as error:
            raise ReActError(f"{error} Give the action space other 'features' or 'strategies'.") from None


def each_once(what: str, options: Sequence[T], least: int = 1) -> tuple[T, ...]:
    """What an interface offers, at least so many and none of them twice.

    Args:
        what: What they are, for the message.
        options: The options.
        least: How many there have to be.

    Raises:
        ReActError: There are fewer, or one is there twice.
    """
    if len(options) < least or len(set(options)) != len(options):
        number = "one" if least == 1 else str(least)
        raise ReActError(f"{what} {list(options)} must be at least {number}, each named once.")
    return tuple(options)


def needs_of_features(features: Iterable[str]) -> dict[str, frozenset[Capability]]:
    """What features ask of the learner, by their names."""
    return {name: entry_of(f"{FEATURE}{name}").needs for name in features}
