"""Environments: observations, actions and rewards over the one labelling engine."""

from react_rl.envs.actions import ACTION_SPACES, ActionSpace, ChooseStrategy, WeighScores, make_action_space
from react_rl.envs.batched import BatchedLabeling, Transition, episode_streams
from react_rl.envs.build import build_environment
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
    "ActionSpace",
    "BatchedLabeling",
    "ChooseStrategy",
    "ContextObservation",
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
    "make_action_space",
    "make_observation",
]
