"""Beginning a training from the weights of an existing policy instead of fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stable_baselines3.common.policies import BasePolicy

from react_rl.agents.extra import POLICY
from react_rl.agents.folder import load_policy
from react_rl.agents.settings import ALGORITHMS, AgentSettings
from react_rl.envs.interfaces import Interface
from react_rl.errors import ReActError


def starting_policy(settings: AgentSettings, interface: Interface) -> BasePolicy | None:
    """Load the policy that ``settings.start`` names; None where it names none.

    Episodes, rewards, corpora and learner may differ from those that it was trained on. What it sees, what
    its actions mean and the shape of its network may not.

    Args:
        settings: Settings of the training.
        interface: What the policy will see, and what its actions will mean.

    Raises:
        ReActError: The folder is no policy, is damaged, or does not fit the training.
    """
    if settings.start is None:
        return None
    policy, joined, card = load_policy(settings.start)
    seen, shown = joined.observation.describe(), interface.observation.describe()
    _check_equal(settings.start, "observation", seen, shown)
    _check_equal(settings.start, "action_space", joined.describe(), interface.describe())
    layers = {"layers": list(card.network.get("net_arch", ()))}
    _check_equal(settings.start, "agent", layers, {"layers": list(settings.layers)})
    theirs = {key: value for key, value in card.network.items() if key not in ("net_arch", "log_std_init")}
    ours = settings.extra.get(POLICY, {})
    keys = dict.fromkeys((*theirs, *ours))
    _check_equal(
        settings.start,
        f"agent.extra.{POLICY}",
        {key: theirs.get(key) for key in keys},
        {key: ours.get(key) for key in keys},
    )
    if _policy_class(card.algorithm) is not _policy_class(settings.algorithm):
        fitting = [name for name in ALGORITHMS if _policy_class(name) is _policy_class(card.algorithm)]
        raise ReActError(
            f"Policy {settings.start} was trained with {card.algorithm}, whose network {settings.algorithm} "
            f"cannot use; set agent.algorithm to {' or '.join(fitting)}."
        )
    return policy


def _policy_class(algorithm: str) -> type[BasePolicy]:
    return ALGORITHMS[algorithm].policy_aliases["MlpPolicy"]


def _check_equal(folder: Path, section: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for key, value in theirs.items():
        if ours.get(key) != value:
            raise ReActError(
                f"Policy {folder} does not fit: its {section}.{key} is {value}, here it is {ours.get(key)}; "
                f"set {section}.{key} to the same or leave agent.start out."
            )
