"""Interfaces between policies and episodes: what a policy sees and what its actions mean, as one object."""

from react_rl.envs.interfaces.candidates import PROPOSERS
from react_rl.envs.interfaces.choose_strategy import CHOSEN_STRATEGIES, ChooseStrategy
from react_rl.envs.interfaces.contract import (
    Decision,
    Frame,
    Interface,
    Observed,
    check_learner_of,
    fresh,
    observation_of,
)
from react_rl.envs.interfaces.decision_units import DecisionUnits
from react_rl.envs.interfaces.pick_candidate import PickCandidate
from react_rl.envs.interfaces.registry import ACTION_SPACES, interface_class, make_interface, settings_of
from react_rl.envs.interfaces.weigh_scores import WEIGHED_FEATURES, WeighScores

__all__ = [
    "ACTION_SPACES",
    "CHOSEN_STRATEGIES",
    "PROPOSERS",
    "WEIGHED_FEATURES",
    "ChooseStrategy",
    "Decision",
    "DecisionUnits",
    "Frame",
    "Interface",
    "Observed",
    "PickCandidate",
    "WeighScores",
    "check_learner_of",
    "fresh",
    "interface_class",
    "make_interface",
    "observation_of",
    "settings_of",
]
