"""The list of interfaces by the name of their action space: adding one is a module and a line here."""

from __future__ import annotations

import inspect
from typing import Any, Final, get_type_hints

from react_rl.envs.interfaces.choose_strategy import ChooseStrategy
from react_rl.envs.interfaces.contract import Interface
from react_rl.envs.interfaces.decision_units import DecisionUnits
from react_rl.envs.interfaces.pick_candidate import PickCandidate
from react_rl.envs.interfaces.weigh_scores import WeighScores
from react_rl.envs.observations import Observation
from react_rl.errors import ReActError, unknown
from react_rl.own_code import ACTION_SPACE, outside_class
from react_rl.validation import checked_value

ACTION_SPACES: Final[dict[str, type[Interface]]] = {
    "weigh-scores": WeighScores,
    "choose-strategy": ChooseStrategy,
    "pick-candidate": PickCandidate,
    "decision-units": DecisionUnits,
}
"""The interfaces by name; each is called with an observation and its settings."""


def interface_class(name: str) -> type[Interface]:
    """The interface called ``name``: a registered one, one that a package announces, or ``module:Name``.

    Raises:
        ReActError: There is none; the nearest name is given.
    """
    if name in ACTION_SPACES:
        return ACTION_SPACES[name]
    public = "react_rl.envs.interfaces.Interface"
    found: type[Interface] = outside_class(name, ACTION_SPACE, Interface, public, ACTION_SPACES)
    return found


def settings_of(name: str) -> list[str]:
    """Names of the settings of the action space called ``name``."""
    return [one for one in inspect.signature(interface_class(name)).parameters if one != "observation"]


def make_interface(name: str, observation: Observation | None = None, **settings: Any) -> Interface:
    """Build an interface by the name of its action space.

    Args:
        name: See ``interface_class``.
        observation: What the policy sees of episode and pool; None is the context observation.
        **settings: Settings of the action space.

    Raises:
        ReActError: Unknown name or setting, and the nearest one is given; or a setting is of another type.
    """
    kind = interface_class(name)
    known = settings_of(name)
    for key in settings:
        if key not in known:
            raise unknown(f"setting of action space {name!r}:", key, known)
    if name in ACTION_SPACES:
        if not isinstance(stop := settings.get("stop", False), bool):
            raise ReActError(f"stop is {stop!r:.80}; it must be True or False.")
        hints = get_type_hints(kind.__init__)
        checked = {key: checked_value(key, value, hints[key]) for key, value in settings.items()}
        return kind(observation=observation, **checked)
    try:
        made = kind(observation=observation, **settings)
    # A class may raise whatever it likes.
    except Exception as error:
        raise ReActError(
            f"Action space {name!r} cannot be made from {settings} ({type(error).__name__}: {error})."
        ) from error
    said = made.describe()
    if said.get("name") != name:
        raise ReActError(
            f"Action space {name!r} describes itself as {said}; describe() must return its 'name', {name!r}, "
            "and the settings from which a policy's card makes it again."
        )
    return made
