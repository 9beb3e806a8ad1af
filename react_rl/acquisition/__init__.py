"""Query strategies: from a view of the pool to the row ids of the next batch."""

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.features import FEATURES
from react_rl.acquisition.registry import STRATEGIES, make_strategy, suited
from react_rl.acquisition.strategies.uncertainty import Entropy, LeastConfidence, Margin, RandomSampling
from react_rl.acquisition.strategies.weighted import MIXTURE, WeightedFeatures

__all__ = [
    "FEATURES",
    "MIXTURE",
    "STRATEGIES",
    "Entropy",
    "LeastConfidence",
    "Margin",
    "QueryStrategy",
    "RandomSampling",
    "WeightedFeatures",
    "make_strategy",
    "suited",
]
