"""Algorithms that train policies, of Stable-Baselines3, sb3-contrib and this package."""

from react_rl.agents.algorithms.boltzmann import BoltzmannDQN
from react_rl.agents.algorithms.registry import ALGORITHMS, AlgorithmEntry, check_spaces
from react_rl.agents.algorithms.search import RandomSearch

__all__ = ["ALGORITHMS", "AlgorithmEntry", "BoltzmannDQN", "RandomSearch", "check_spaces"]
