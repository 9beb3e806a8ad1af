"""Beginning a training from the weights of an existing policy instead of fresh ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gymnasium
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from react_rl.agents.algorithms import ALGORITHMS
from react_rl.agents.extra import POLICY
from react_rl.agents.folder import IMITATION, is_policy, load_policy, read_card
from react_rl.agents.networks import CandidateNetwork, PoolEnsemble, PoolScorer
from react_rl.agents.networks.registry import PLAIN, SCORER, policy_class
from react_rl.agents.scorer import PICKED
from react_rl.agents.scorer_folder import load_scorer, network_of_card, pretrained_folder
from react_rl.agents.settings import AgentSettings, network_of
from react_rl.envs.interfaces import Interface
from react_rl.envs.observations import CONTEXT
from react_rl.errors import ReActError

_OF_CONTEXT: Final = ("gate.0.weight", "context.weight")
"""How the names of weights end that numbers of the context are multiplied by."""

_OF_SCORES: Final = (".weights", "gate.2.weight", "gate.2.bias", "mlp.3.weight", "mlp.3.bias")
"""How the names of weights end that scores are proportional to."""

Start = Callable[[BasePolicy], None]
"""Puts the weights that a training begins from into a policy with fresh ones."""


def start_folder(settings: AgentSettings) -> Path | None:
    """Folder of the policy that a training begins from: a path, or the name of one that ships."""
    named = settings.start
    if named is None or is_policy(named) or len(named.parts) != 1 or named.exists():
        return named
    try:
        return pretrained_folder(str(named))
    except ReActError:
        return named


def network_of_start(settings: AgentSettings) -> dict[str, Any]:
    """Shape that the network has to have because of the row scorer that ``settings.start`` names, if any."""
    folder = start_folder(settings)
    if folder is None:
        return {}
    card = read_card(folder)
    if card.algorithm != IMITATION:
        return {}
    keys = ("hidden", "members") if network_of_card(card) == SCORER else ("hidden",)
    return {"features_extractor_kwargs": {key: card.network.get(key) for key in keys}}


def starting_weights(settings: AgentSettings, interface: Interface) -> Start | None:
    """Load the policy that ``settings.start`` names; None where it names none.

    Episodes, rewards, corpora and learner may differ from those that it was trained on. What it sees, what
    its actions mean and the shape of its network may not. A row scorer, which imitation makes, becomes the
    network of a pick-candidate policy with the same features.

    Args:
        settings: Settings of the training.
        interface: What the policy will see, and what its actions will mean.

    Returns:
        What puts the weights into a policy with fresh ones.

    Raises:
        ReActError: The folder is no policy, is damaged, or does not fit the training.
    """
    folder = start_folder(settings)
    if folder is None:
        return None
    if read_card(folder).algorithm == IMITATION:
        return _of_scorer(settings, folder, interface)
    if settings.sharpness != 1.0:
        raise ReActError(
            f"agent.sharpness {settings.sharpness:g} is for a row scorer in agent.start, and {folder} is a "
            "policy whose actions are as sharp as training made them; leave agent.sharpness out."
        )
    policy, joined, card = load_policy(folder)
    seen, shown = joined.observation.describe(), interface.observation.describe()
    _check_equal(folder, "observation", seen, shown)
    _check_equal(folder, "action_space", joined.describe(), interface.describe())
    layers = {"layers": list(card.network.get("net_arch", ()))}
    _check_equal(folder, "agent", layers, {"layers": list(settings.layers)})
    own = ("name", "net_arch", "log_std_init")
    theirs = {key: value for key, value in card.network.items() if key not in own}
    ours = settings.extra.get(POLICY, {})
    keys = dict.fromkeys((*theirs, *ours))
    _check_equal(
        folder,
        f"agent.extra.{POLICY}",
        {key: theirs.get(key) for key in keys},
        {key: ours.get(key) for key in keys},
    )
    space = interface.observation_space
    network = card.network.get("name", PLAIN)
    _check_equal(folder, "agent", {"network": network}, {"network": network_of(settings, space)})
    kind = policy_class(network, card.algorithm, space)
    if policy_class(network, settings.algorithm, space) is not kind:
        fitting = [
            name
            for name, entry in ALGORITHMS.items()
            if isinstance(interface.action_space, entry.spaces) and _shares(name, network, space, kind)
        ]
        raise ReActError(
            f"Policy {folder} was trained with {card.algorithm}, whose network {settings.algorithm} "
            f"cannot use; set agent.algorithm to {' or '.join(fitting)}."
        )
    weights = policy.state_dict()

    def begin(fresh: BasePolicy) -> None:
        fresh.load_state_dict(weights)

    return begin


def _of_scorer(settings: AgentSettings, folder: Path, interface: Interface) -> Start:
    """The network of a pick-candidate policy from a row scorer."""
    scorer, kind = load_scorer(folder), network_of_card(read_card(folder))
    said, seen = interface.describe(), interface.observation.describe()["name"]
    wanted = {"name": "pick-candidate", "features": list(scorer.features)}
    _check_equal(folder, "action_space", wanted, said)
    _check_equal(folder, "observation", {"name": "context"}, {"name": seen})
    network = network_of(settings, interface.observation_space)
    _check_equal(folder, "agent", {"network": kind}, {"network": network})
    shown = (*CONTEXT, PICKED)
    for number in scorer.context:
        if number not in shown:
            raise ReActError(
                f"Policy {folder} sees {number!r}, which pick-candidate does not show; begin from imitated, "
                "or from a row scorer made by imitation."
            )
    places = torch.tensor([shown.index(name) for name in scorer.context])
    if isinstance(scorer.network, PoolEnsemble):
        return _of_pool_scorer(settings, folder, scorer.network, len(scorer.features), places)
    weights = {
        name: values * settings.sharpness if name.endswith(_OF_SCORES) else values
        for name, values in scorer.network.state_dict().items()
    }

    def begin(fresh: BasePolicy) -> None:
        for name, values in fresh.state_dict().items():
            _, found, own = name.partition(".scorer.")
            if found and own.endswith(_OF_CONTEXT):
                # Numbers that the scorer has not seen, those of the dev set, change nothing at first.
                values.zero_()
                values[:, places] = weights[own]
            elif found:
                values.copy_(weights[own])

    return begin


def _of_pool_scorer(
    settings: AgentSettings, folder: Path, network: PoolEnsemble, n_features: int, places: Tensor
) -> Start:
    """The network of a pick-candidate policy from one that imitation fitted to look at the pool.

    Args:
        settings: Settings of the training.
        folder: Folder of the row scorer.
        network: Its network.
        n_features: F, features of a row.
        places: ``(G,)`` places of its numbers of the context among those that the policy is shown.

    Raises:
        ReActError: It is the mean of several networks, or nothing says which weights make its scores larger.
    """
    if len(network.members) > 1:
        raise ReActError(
            f"Policy {folder} is the mean of {len(network.members)} networks {network.name!r}, and training "
            "goes on with one; imitate with imitation.networks: 1."
        )
    member = network.members[0]
    assert isinstance(member, PoolScorer)
    last = member.network.scores_by
    if settings.sharpness != 1.0 and not last:
        raise ReActError(
            f"agent.sharpness {settings.sharpness:g} multiplies the weights of the last layer, and network "
            f"{network.name!r} does not name it as scores_by; leave agent.sharpness out."
        )
    weights = {
        name: values * settings.sharpness if name.startswith(f"{last}.") else values
        for name, values in member.network.state_dict().items()
        if not name.startswith(CandidateNetwork.OF_STATE)
    }
    n_context = len(places)
    columns = {n_context: places, n_features + n_context: _beside(n_features, places)}

    def begin(fresh: BasePolicy) -> None:
        for name, values in fresh.state_dict().items():
            own = name.partition("features_extractor.")[2]
            if own not in weights:
                continue
            given = weights[own]
            if given.shape == values.shape:
                values.copy_(given)
            elif given.dim() == 2 and given.shape[1] in columns and len(given) == len(values):
                # Numbers that the scorer has not seen, those of the dev set, change nothing at first.
                values.zero_()
                values[:, columns[given.shape[1]]] = given
            else:
                raise ReActError(
                    f"The weights {own} of policy {folder} have shape {tuple(given.shape)}, those of the "
                    f"training {tuple(values.shape)}; begin from a policy with a network of the package."
                )

    return begin


def _beside(n_features: int, places: Tensor) -> Tensor:
    """Places of features, then of numbers of the context that come after them."""
    return torch.cat([torch.arange(n_features), n_features + places])


def _shares(algorithm: str, network: str, space: gymnasium.Space[Any], kind: type[BasePolicy]) -> bool:
    try:
        return policy_class(network, algorithm, space) is kind
    except (ReActError, KeyError):
        return False


def _check_equal(folder: Path, section: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for key, value in theirs.items():
        if ours.get(key) != value:
            raise ReActError(
                f"Policy {folder} does not fit: its {section}.{key} is {value}, here it is {ours.get(key)}; "
                f"set {section}.{key} to the same or leave agent.start out."
            )
