"""What is trained and for how long, in episodes; rollout sizes follow from the length of an episode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import gymnasium
import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)
from stable_baselines3.common.noise import NormalActionNoise

from react_rl.agents.algorithms import ALGORITHMS, check_spaces
from react_rl.agents.extra import POLICY, check_extra, made, parameters_of, plain
from react_rl.agents.networks.registry import PLAIN, policy_class, usual_network
from react_rl.errors import ReActError

Algorithm = Literal[
    "PPO",
    "A2C",
    "TRPO",
    "MaskablePPO",
    "RecurrentPPO",
    "DQN",
    "QRDQN",
    "BoltzmannDQN",
    "SAC",
    "TD3",
    "ARS",
]

Space = gymnasium.Space[Any]

EXTRA_NAMES: Final = frozenset(
    name for algorithm in ALGORITHMS.values() for name in parameters_of(algorithm.kind)
)
"""Names of all arguments of all algorithms."""


class AgentSettings(BaseModel):
    """How a policy is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    algorithm: Algorithm = "PPO"
    """PPO, A2C, TRPO or RecurrentPPO for every action space; MaskablePPO, DQN, QRDQN or BoltzmannDQN for
    choices; SAC or TD3 for weigh-scores; ARS where observations are no dicts."""
    episodes: int = Field(default=4000, ge=1, le=10**9)
    """Training episodes."""
    n_envs: int = Field(default=64, ge=1, le=10**5)
    """Episodes that run side by side."""
    episodes_per_update: int = Field(default=2, ge=1, le=10**5)
    """Episodes of each environment between two updates of PPO and its like (A2C, TRPO, ...)."""
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
    n_steps: int = Field(default=1, ge=1, le=10**4)
    """Steps whose rewards are summed before the value of what follows is asked (n-step returns), in DQN and
    its like, SAC and TD3."""
    entropy_weight: float = Field(default=0.0, ge=0, le=1000)
    """Bonus for undecided policies (PPO and A2C)."""
    log_std: float = Field(default=-1.0, ge=-10, le=5)
    """Initial log standard deviation of continuous actions (PPO and its like); that of TD3's noise."""
    layers: tuple[Annotated[int, Field(ge=1, le=2**16)], ...] = Field(default=(64, 64), max_length=16)
    """Hidden units of the policy's and the value's network."""
    network: str | None = None
    """What the policy computes: mlp; for pick-candidate also scorer, deep-sets, attention, or one's own,
    module:Name. None takes scorer where candidates can be scored, and mlp elsewhere."""
    evaluations: int = Field(default=10, ge=1, le=10**5)
    """Times that the policy is measured on validation episodes; the best one is kept."""
    evaluation_episodes: int = Field(default=64, ge=1, le=10**6)
    """Validation episodes, the same each time, shared evenly among the validation corpora."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the policy's weights, its exploration and the training episodes."""
    start: Path | None = None
    """Folder of a policy whose weights training begins from, or the name of one that ships (learned); a row
    scorer becomes the scorer network of pick-candidate. None begins from fresh weights."""
    sharpness: float = Field(default=1.0, gt=0, le=1e4)
    """What the scores of a row scorer in start are multiplied by: with more, the policy that training begins
    from explores nearer to its best rows. The best row stays the same."""
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
        for name in ("start", "extra", "network", "n_steps", "sharpness"):
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values


def check_fit(settings: AgentSettings, observation_space: Space, action_space: Space) -> None:
    """Check that the algorithm can see and act, that the network fits, and the extra arguments.

    Raises:
        ReActError: It cannot (the algorithms that can are named), or does not take an argument.
    """
    entry = ALGORITHMS[settings.algorithm]
    check_spaces(settings.algorithm, observation_space, action_space)
    if settings.n_steps > 1:
        _check_n_steps(settings, entry.family, observation_space)
    policy = policy_class(network_of(settings, observation_space), settings.algorithm, observation_space)
    check_extra(settings.algorithm, entry.kind, policy, settings.extra, entry.family)


def _check_n_steps(settings: AgentSettings, family: str, observation_space: Space) -> None:
    if family != "replay":
        able = [name for name, entry in ALGORITHMS.items() if entry.family == "replay"]
        raise ReActError(
            f"agent.n_steps {settings.n_steps} is for algorithms with a replay buffer ({', '.join(able)}), "
            f"and agent.algorithm is {settings.algorithm}; leave it out"
            + (" and set agent.gae_lambda." if family == "rollouts" else ".")
        )
    if isinstance(observation_space, gymnasium.spaces.Dict):
        raise ReActError(
            f"agent.n_steps {settings.n_steps} needs observations that are arrays; those of pick-candidate "
            "are dicts, for which Stable-Baselines3 has no n-step returns. Leave it out."
        )
    if "replay_buffer_class" in settings.extra:
        raise ReActError(
            f"agent.n_steps {settings.n_steps} brings a replay buffer of its own; leave it or "
            "agent.extra.replay_buffer_class out."
        )


def network_of(settings: AgentSettings, observation_space: Space) -> str:
    """Name of the network that is trained."""
    return settings.network or usual_network(observation_space, settings.algorithm)


def policy_arguments(
    settings: AgentSettings, observation_space: Space, action_space: Space
) -> dict[str, Any]:
    """Name and arguments of the policy's network, as the policy card keeps them; ``mlp`` goes unnamed."""
    name = network_of(settings, observation_space)
    arguments: dict[str, Any] = {} if name == PLAIN else {"name": name}
    arguments["net_arch"] = list(settings.layers)
    rollouts = ALGORITHMS[settings.algorithm].family == "rollouts"
    if rollouts and isinstance(action_space, gymnasium.spaces.Box):
        arguments["log_std_init"] = settings.log_std
    network: dict[str, Any] = settings.extra.get(POLICY, {})
    return arguments | network


def algorithm_arguments(settings: AgentSettings, rounds: int, action_space: Space) -> dict[str, Any]:
    """Arguments of the algorithm for episodes of ``rounds`` actions, those of its network apart."""
    kind = ALGORITHMS[settings.algorithm].kind
    extra = {key: value for key, value in settings.extra.items() if key != POLICY}
    further = made(kind, extra, imports=True)
    taken = parameters_of(kind)
    own = {key: value for key, value in _own(settings, rounds, action_space).items() if key in taken}
    return own | further


def _own(settings: AgentSettings, rounds: int, action_space: Space) -> dict[str, Any]:
    """What the settings say, in the words of all algorithms of the family."""
    shared: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "gamma": settings.gamma,
        "seed": settings.seed,
        "device": "cpu",
    }
    family = ALGORITHMS[settings.algorithm].family
    if family == "search":
        # Each direction is tried twice, on one episode of every environment.
        return shared | {"n_delta": 4, "n_eval_episodes": settings.n_envs}
    if family == "replay":
        transitions = settings.episodes * rounds
        if settings.algorithm == "TD3":
            size = action_space.shape or ()
            shared["action_noise"] = NormalActionNoise(
                np.zeros(size), np.full(size, math.exp(settings.log_std))
            )
        return shared | {
            "buffer_size": min(transitions, 200_000),
            "learning_starts": min(10 * settings.n_envs, transitions // 2),
            "train_freq": 1,
            "gradient_steps": max(settings.n_envs // 8, 1),
            "batch_size": 256,
            "n_steps": settings.n_steps,
        }
    # Whole episodes in every rollout: the default of 2,048 steps would wait for hundreds of them.
    steps = rounds * settings.episodes_per_update
    return shared | {
        "n_steps": steps,
        "gae_lambda": settings.gae_lambda,
        "ent_coef": settings.entropy_weight,
        "batch_size": max(steps * settings.n_envs // settings.minibatches, 2),
        "n_epochs": settings.epochs,
    }
