"""The list of networks by name: what a policy computes between its observation and its action.

Adding one is a features extractor and a line here; a policy's card names its network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
from stable_baselines3.common.policies import BasePolicy

from react_rl.agents.algorithms import ALGORITHMS
from react_rl.agents.extra import made, parameters_of
from react_rl.agents.networks.beside import PoolScorer, pool_scorer
from react_rl.agents.networks.candidates import Attention, CandidateNetwork, DeepSets, SharedScorer
from react_rl.agents.networks.pointers import MaskablePointerPolicy, PointerPolicy, PointerQPolicy
from react_rl.agents.networks.scorer import RowScorer
from react_rl.errors import ReActError
from react_rl.own_code import NETWORK, outside_class

Space = gymnasium.Space[Any]

PLAIN: Final = "mlp"
"""The network that Stable-Baselines3 has for each algorithm."""

SCORER: Final = "scorer"
"""The network that scores each candidate by itself."""

_POINTERS: Final[dict[str, type[BasePolicy]]] = {
    "PPO": PointerPolicy,
    "A2C": PointerPolicy,
    "TRPO": PointerPolicy,
    "MaskablePPO": MaskablePointerPolicy,
    "DQN": PointerQPolicy,
    "BoltzmannDQN": PointerQPolicy,
}


@dataclass(frozen=True)
class NetworkEntry:
    """A network.

    Args:
        summary: One line for people.
        extractor: Features extractor whose first numbers score the candidates; None leaves the network to
            the algorithm.
    """

    summary: str
    extractor: type[CandidateNetwork] | None = None


NETWORKS: Final[dict[str, NetworkEntry]] = {
    PLAIN: NetworkEntry("layers of the algorithm's own; dict observations are put side by side"),
    SCORER: NetworkEntry(
        "each candidate by itself: weights that follow the context, plus an MLP", SharedScorer
    ),
    "deep-sets": NetworkEntry("each candidate beside the mean of all", DeepSets),
    "attention": NetworkEntry("candidates look at each other first", Attention),
}
"""The networks by name."""


def usual_network(observation_space: Space, algorithm: str) -> str:
    """Network of a training that names none: candidates are scored where the algorithm can."""
    return SCORER if _has_candidates(observation_space) and algorithm in _POINTERS else PLAIN


def network_named(name: str) -> NetworkEntry:
    """The network called ``name``: a registered one, one that a package announces, or ``module:Name``.

    Raises:
        ReActError: There is none; the nearest name is given.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    public = "react_rl.agents.networks.CandidateNetwork"
    return NetworkEntry("own", outside_class(name, NETWORK, CandidateNetwork, public, NETWORKS))


def row_network(name: str, features: int, context: int, hidden: int) -> RowScorer | PoolScorer:
    """A network called ``name`` that scores rows of pools, with fresh weights; what imitation fits.

    Args:
        name: Its name.
        features: F, features of a row.
        context: G, numbers that all rows of a pool share.
        hidden: Units of each hidden layer.

    Raises:
        ReActError: There is no such network, it scores no candidates, or cannot be made in this size.
    """
    if name == SCORER:
        return RowScorer(features, context, hidden)
    kind = network_named(name).extractor
    if kind is None:
        able = [one for one, entry in NETWORKS.items() if entry.extractor is not None]
        raise ReActError(
            f"Network {name!r} scores no rows; take {', '.join(able)}, or one's own, module:Name."
        )
    return pool_scorer(kind, name, features, context, hidden)


def policy_class(name: str, algorithm: str, observation_space: Space) -> type[BasePolicy]:
    """Class of the policy that has the network called ``name`` and is trained by ``algorithm``.

    Raises:
        ReActError: There is no such network, or it does not fit the observation or the algorithm.
    """
    entry = ALGORITHMS[algorithm]
    if network_named(name).extractor is None:
        dicts = "MultiInput" if isinstance(observation_space, gymnasium.spaces.Dict) else "Mlp"
        return entry.kind.policy_aliases[f"{dicts}{'Lstm' if entry.recurrent else ''}Policy"]
    if not _has_candidates(observation_space):
        raise ReActError(
            f"Network {name!r} scores candidates, which this action space does not have; set agent.network "
            f"to {PLAIN!r} or action_space.name to 'pick-candidate'."
        )
    if algorithm not in _POINTERS:
        raise ReActError(
            f"Network {name!r} cannot be trained by {algorithm}; use {', '.join(_POINTERS)}, or set "
            f"agent.network to {PLAIN!r}."
        )
    return _POINTERS[algorithm]


def assembled(
    algorithm: str,
    network: Mapping[str, Any],
    observation_space: Space,
    action_space: Space,
    imports: bool,
) -> tuple[type[BasePolicy], dict[str, Any]]:
    """Class and arguments of the policy that a card's ``network`` describes.

    Args:
        algorithm: Name of the algorithm.
        network: Name of the network (``mlp`` goes without saying) and plain arguments of the policy.
        observation_space: What the policy sees.
        action_space: Where it acts.
        imports: Whether modules may be imported; for a card that came from elsewhere they must not.

    Raises:
        ReActError: A class cannot be had, or the parts do not fit.
    """
    plain = dict(network)
    name = str(plain.pop("name", PLAIN))
    kind = policy_class(name, algorithm, observation_space)
    arguments = made(kind, plain, imports)
    extractor = network_named(name).extractor
    if extractor is None:
        return kind, arguments
    assert isinstance(observation_space, gymnasium.spaces.Dict)
    assert isinstance(action_space, gymnasium.spaces.Discrete)
    (candidates,) = observation_space.spaces["mask"].shape or (0,)
    stop = bool(action_space.n > candidates)
    arguments["features_extractor_class"] = extractor
    arguments["features_extractor_kwargs"] = {"stop": stop, **plain.get("features_extractor_kwargs", {})}
    if "ortho_init" in parameters_of(kind):
        # The networks bring first weights of their own.
        arguments["ortho_init"] = False
    return kind, arguments


def _has_candidates(space: Space) -> bool:
    return isinstance(space, gymnasium.spaces.Dict) and {"context", "candidates", "mask"} <= set(space.spaces)
