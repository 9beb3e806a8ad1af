"""The learned query strategy: a trained policy with its observation and action space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from react_rl.agents.folder import IMITATION, load_policy, read_card
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder
from react_rl.envs.actions import ActionSpace, WeighScores
from react_rl.envs.observations import Observation
from react_rl.simulation.view import PoolView


class LearnedStrategy:
    """A policy that selects like any other query strategy: always its most likely action.

    An episode that the policy stops gets no ids at all.

    Args:
        name: Name in tables and figures.
        policy: The policy.
        observation: What it sees.
        action_space: What its actions mean.
    """

    def __init__(
        self, name: str, policy: BasePolicy, observation: Observation, action_space: ActionSpace
    ) -> None:
        self.name = name
        self.policy = policy
        self.observation = observation
        self.action_space = action_space

    @classmethod
    def from_pretrained(cls, name: str = "learned") -> ScorerStrategy:
        """The policy that comes with the package: a row scorer, ready for any corpus."""
        return load_scorer(pretrained_folder(name), name)

    @classmethod
    def load(cls, folder: Path | str, name: str | None = None) -> LearnedStrategy:
        """Load a policy folder; the strategy is called ``name``, or what the policy's card says."""
        policy, observation, action_space, card = load_policy(Path(folder))
        return cls(name or card.name, policy, observation, action_space)

    def act(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Actions for the present view, with the episode axis first."""
        actions, _ = self.policy.predict(self.observation.observe(view), deterministic=True)
        return np.asarray(actions)

    @property
    def features(self) -> tuple[str, ...]:
        """Features that a weigh-scores policy weighs; none for other action spaces."""
        return self.action_space.features if isinstance(self.action_space, WeighScores) else ()

    def weights(self, view: PoolView) -> npt.NDArray[np.float32] | None:
        """Feature weights ``(E, F)`` of a weigh-scores policy now; None for other action spaces."""
        if isinstance(self.action_space, WeighScores):
            return self.action_space.weights(self.act(view))
        return None

    def score(self, view: PoolView) -> Tensor:
        """Scores of the first pick ``(E, P)``."""
        return self.action_space.score(view, self.act(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows as the policy says ``(E, n)``; -1 throughout where it stops."""
        ids, stopped = self.action_space.decide(view, self.act(view), n)
        if stopped.any():
            ids = ids.clone()
            ids[stopped] = -1
        return ids


def load_strategy(folder: Path | str, name: str | None = None) -> LearnedStrategy | ScorerStrategy:
    """Load a policy folder of any kind as a query strategy, called ``name`` or what its card says.

    Raises:
        ReActError: The folder is no policy, or is damaged.
    """
    if read_card(Path(folder)).algorithm == IMITATION:
        return load_scorer(Path(folder), name)
    return LearnedStrategy.load(folder, name)
