"""Agents: training with Stable-Baselines3, policies on disk, the learned query strategy."""

from react_rl.agents.algorithms import ALGORITHMS, BoltzmannDQN
from react_rl.agents.evaluation import Validation
from react_rl.agents.folder import FoundPolicies, PolicyCard, find_policies, is_policy, load_policy, read_card
from react_rl.agents.learned import LearnedStrategy, load_strategy
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.settings import AgentSettings
from react_rl.agents.training import TrainingProgress, train

__all__ = [
    "ALGORITHMS",
    "AgentSettings",
    "BoltzmannDQN",
    "FoundPolicies",
    "LearnedStrategy",
    "PolicyCard",
    "ScorerStrategy",
    "TrainingProgress",
    "Validation",
    "find_policies",
    "is_policy",
    "load_policy",
    "load_strategy",
    "read_card",
    "train",
]
