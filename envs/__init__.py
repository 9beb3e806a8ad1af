"""Environments: interfaces (what is seen, what actions mean) and rewards over the one labelling engine."""

from react_rl.envs.batched import BatchedLabeling, Transition, episode_streams
from react_rl.envs.build import build_environment
from react_rl.envs.interfaces import (
    ACTION_SPACES,
    ChooseStrategy,
    Decision,
    Frame,
    Interface,
    WeighScores,
    make_interface,
)
from react_rl.envs.observations import (
    CONTEXT,
    OBSERVATIONS,
    ContextObservation,
    Observation,
    make_observation,
)
from react_rl.envs.rewards import REWARDS, PlayedRound, Reward, RewardForm, RewardSettings
from react_rl.envs.sb3 import LabelingVecEnv
from react_rl.envs.single import LabelingEnv
from react_rl.envs.vector import LabelingVectorEnv

__all__ = [
    "ACTION_SPACES",
    "CONTEXT",
    "OBSERVATIONS",
    "REWARDS",
    "BatchedLabeling",
    "ChooseStrategy",
    "ContextObservation",
    "Decision",
    "Frame",
    "Interface",
    "LabelingEnv",
    "LabelingVecEnv",
    "LabelingVectorEnv",
    "Observation",
    "PlayedRound",
    "Reward",
    "RewardForm",
    "RewardSettings",
    "Transition",
    "WeighScores",
    "build_environment",
    "episode_streams",
    "make_interface",
    "make_observation",
]
