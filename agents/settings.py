"""What is trained and for how long, in episodes; rollout sizes follow from the length of an episode."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import gymnasium
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from react_rl.agents.extra import POLICY, check_extra, made, plain
from react_rl.errors import ReActError

Algorithm = Literal["PPO", "A2C", "DQN", "SAC"]

ALGORITHMS: Final[dict[str, type[BaseAlgorithm]]] = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "SAC": SAC}

EXTRA_NAMES: Final = frozenset(
    name for algorithm in ALGORITHMS.values() for name in inspect.signature(algorithm).parameters
)
"""Names of all arguments of all algorithms."""

_SPACES: Final[dict[str, tuple[type[gymnasium.Space[Any]], ...]]] = {
    "PPO": (gymnasium.spaces.Box, gymnasium.spaces.Discrete),
    "A2C": (gymnasium.spaces.Box, gymnasium.spaces.Discrete),
    "DQN": (gymnasium.spaces.Discrete,),
    "SAC": (gymnasium.spaces.Box,),
}


class AgentSettings(BaseModel):
    """How a policy is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    algorithm: Algorithm = "PPO"
    """PPO or A2C for every action space, SAC for weigh-scores, DQN for choose-strategy."""
    episodes: int = Field(default=4000, ge=1, le=10**9)
    """Training episodes."""
    n_envs: int = Field(default=64, ge=1, le=10**5)
    """Episodes that run side by side."""
    episodes_per_update: int = Field(default=2, ge=1, le=10**5)
    """Episodes of each environment between two updates of PPO or A2C."""
    minibatches: int = Field(default=8, ge=1, le=10**6)
    """Minibatches of a PPO epoch."""
    epochs: int = Field(default=8, ge=1, le=10**4)
    """Passes of PPO over a rollout."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Step size of the policy's optimiser."""
    gamma: float = Field(default=0.99, gt=0, le=1)
    """Discount for each round."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Trade-off of bias and variance in the advantages of PPO and A2C."""
    entropy_weight: float = Field(default=0.0, ge=0, le=1000)
    """Bonus for undecided policies (PPO and A2C)."""
    log_std: float = Field(default=-1.0, ge=-10, le=5)
    """Initial log standard deviation of continuous actions (PPO and A2C)."""
    layers: tuple[Annotated[int, Field(ge=1, le=2**16)], ...] = Field(default=(64, 64), max_length=16)
    """Hidden units of the policy's and the value's network."""
    evaluations: int = Field(default=10, ge=1, le=10**5)
    """Times that the policy is measured on validation episodes; the best one is kept."""
    evaluation_episodes: int = Field(default=64, ge=1, le=10**6)
    """Validation episodes, the same each time, shared evenly among the validation corpora."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the policy's weights, its exploration and the training episodes."""
    start: Path | None = None
    """Folder of a policy whose weights training begins from; None begins from fresh ones."""
    extra: dict[str, Any] = {}
    """Further arguments of the algorithm in Stable-Baselines3, such as {clip_range: 0.1, policy_kwargs:
    {activation_fn: 'torch.nn:ReLU'}}; on the command line --agent.extra.clip_range 0.1."""

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = plain(value)
        if not isinstance(found.get(POLICY, {}), dict):
            raise ValueError(f"{POLICY} must hold keys and values")
        return found

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Cards and configs of trainings without these settings read as if there were none.
        values: dict[str, Any] = handler(self)
        for name in ("start", "extra"):
            if not getattr(self, name):
                values.pop(name, None)
        return values


def network_arguments(algorithm: str, plain_arguments: dict[str, Any], imports: bool) -> dict[str, Any]:
    """What ``policy_arguments`` gave, as the network's constructor takes it: classes for their names.

    Args:
        algorithm: Name of the algorithm.
        plain_arguments: The arguments, as a card keeps them.
        imports: Whether modules may be imported; for a card that came from elsewhere they must not.

    Raises:
        ReActError: A class cannot be had.
    """
    return made(ALGORITHMS[algorithm].policy_aliases["MlpPolicy"], plain_arguments, imports)


def check_fit(settings: AgentSettings, space: gymnasium.Space[Any]) -> None:
    """Check that the algorithm can act in ``space`` and takes the extra arguments.

    Raises:
        ReActError: It cannot (the algorithms that can are named), or does not take an argument.
    """
    check_extra(settings.algorithm, ALGORITHMS[settings.algorithm], settings.extra)
    if not isinstance(space, _SPACES[settings.algorithm]):
        able = [name for name, spaces in _SPACES.items() if isinstance(space, spaces)]
        raise ReActError(
            f"{settings.algorithm} cannot act in the space {space}; use one of {', '.join(able)}."
        )


def policy_arguments(settings: AgentSettings, space: gymnasium.Space[Any]) -> dict[str, Any]:
    """Arguments of the policy's network, as the policy card keeps them."""
    arguments: dict[str, Any] = {"net_arch": list(settings.layers)}
    if settings.algorithm in ("PPO", "A2C") and isinstance(space, gymnasium.spaces.Box):
        arguments["log_std_init"] = settings.log_std
    network: dict[str, Any] = settings.extra.get(POLICY, {})
    return arguments | network


def algorithm_arguments(settings: AgentSettings, rounds: int) -> dict[str, Any]:
    """Arguments of the algorithm for episodes of ``rounds`` rounds, those of its network apart."""
    extra = {key: value for key, value in settings.extra.items() if key != POLICY}
    further = made(ALGORITHMS[settings.algorithm], extra, imports=True)
    return _own_arguments(settings, rounds) | further


def _own_arguments(settings: AgentSettings, rounds: int) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "gamma": settings.gamma,
        "seed": settings.seed,
        "device": "cpu",
    }
    if settings.algorithm in ("DQN", "SAC"):
        transitions = settings.episodes * rounds
        return shared | {
            "buffer_size": min(transitions, 200_000),
            "learning_starts": min(10 * settings.n_envs, transitions // 2),
            "train_freq": 1,
            "gradient_steps": max(settings.n_envs // 8, 1),
            "batch_size": 256,
        }
    # Whole episodes in every rollout: the default of 2,048 steps would wait for hundreds of them.
    steps = rounds * settings.episodes_per_update
    shared |= {
        "n_steps": steps,
        "gae_lambda": settings.gae_lambda,
        "ent_coef": settings.entropy_weight,
    }
    if settings.algorithm == "PPO":
        rollout = steps * settings.n_envs
        shared |= {"batch_size": max(rollout // settings.minibatches, 2), "n_epochs": settings.epochs}
    return shared
