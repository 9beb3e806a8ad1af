"""The list of algorithms by name: adding one is a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import gymnasium
from sb3_contrib import QRDQN, TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from react_rl.agents.algorithms.boltzmann import BoltzmannDQN
from react_rl.agents.algorithms.search import RandomSearch
from react_rl.errors import ReActError

Space = gymnasium.Space[Any]
_Kinds = tuple[type[Space], ...]

_ANY: Final[_Kinds] = (gymnasium.spaces.Box, gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)
_CHOICES: Final[_Kinds] = (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)
_CHOICE: Final[_Kinds] = (gymnasium.spaces.Discrete,)
_NUMBERS: Final[_Kinds] = (gymnasium.spaces.Box,)


@dataclass(frozen=True)
class AlgorithmEntry:
    """How policies are trained, and where.

    Args:
        kind: The class.
        family: Learns from whole rollouts, from a replay buffer, or by searching weights.
        spaces: Kinds of action spaces that it acts in.
        summary: One line for people.
        source: The paper.
        dicts: Whether observations may be dicts.
        recurrent: Whether its policies remember the rounds before.
    """

    kind: type[BaseAlgorithm]
    family: Literal["rollouts", "replay", "search"]
    spaces: _Kinds
    summary: str
    source: str
    dicts: bool = True
    recurrent: bool = False


ALGORITHMS: Final[dict[str, AlgorithmEntry]] = {
    "PPO": AlgorithmEntry(
        PPO, "rollouts", _ANY, "clipped policy gradient, several passes a rollout", "Schulman et al. 2017"
    ),
    "A2C": AlgorithmEntry(A2C, "rollouts", _ANY, "policy gradient with a value baseline", "Mnih et al. 2016"),
    "TRPO": AlgorithmEntry(
        TRPO, "rollouts", _ANY, "policy gradient inside a trust region", "Schulman et al. 2015"
    ),
    "MaskablePPO": AlgorithmEntry(
        MaskablePPO,
        "rollouts",
        _CHOICES,
        "PPO that never tries what the mask forbids",
        "Huang & Ontañón 2022",
    ),
    "RecurrentPPO": AlgorithmEntry(
        RecurrentPPO,
        "rollouts",
        _ANY,
        "PPO that remembers the rounds before",
        "Schulman et al. 2017; Hochreiter & Schmidhuber 1997",
        recurrent=True,
    ),
    "DQN": AlgorithmEntry(DQN, "replay", _CHOICE, "value of each action, epsilon-greedy", "Mnih et al. 2015"),
    "QRDQN": AlgorithmEntry(
        QRDQN, "replay", _CHOICE, "distribution of each action's return", "Dabney et al. 2018"
    ),
    "BoltzmannDQN": AlgorithmEntry(
        BoltzmannDQN, "replay", _CHOICE, "DQN that acts by softmax(alpha Q)", "Sutton 1990"
    ),
    "SAC": AlgorithmEntry(
        SAC, "replay", _NUMBERS, "value of continuous actions, soft", "Haarnoja et al. 2018"
    ),
    "TD3": AlgorithmEntry(
        TD3, "replay", _NUMBERS, "value of continuous actions, twin critics", "Fujimoto et al. 2018"
    ),
    "ARS": AlgorithmEntry(
        RandomSearch,
        "search",
        (gymnasium.spaces.Box, gymnasium.spaces.Discrete),
        "random search of the policy's weights",
        "Mania et al. 2018",
        dicts=False,
    ),
}
"""The algorithms by name."""


def check_spaces(name: str, observation_space: Space, action_space: Space) -> None:
    """Check that an algorithm can see the observations and act in the action space.

    Raises:
        ReActError: It cannot; the algorithms that can are named.
    """
    able = [one for one, entry in ALGORITHMS.items() if _fits(entry, observation_space, action_space)]
    if name in able:
        return
    entry = ALGORITHMS[name]
    if isinstance(action_space, entry.spaces):
        raise ReActError(f"{name} cannot see observations that are dicts; use one of {', '.join(able)}.")
    raise ReActError(f"{name} cannot act in the space {action_space}; use one of {', '.join(able)}.")


def _fits(entry: AlgorithmEntry, observation_space: Space, action_space: Space) -> bool:
    return isinstance(action_space, entry.spaces) and (
        entry.dicts or not isinstance(observation_space, gymnasium.spaces.Dict)
    )
