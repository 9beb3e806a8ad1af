"""Networks of policies."""

from react_rl.agents.networks.beside import PoolEnsemble, PoolScorer
from react_rl.agents.networks.candidates import Attention, CandidateNetwork, DeepSets, SharedScorer
from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble

__all__ = [
    "Attention",
    "CandidateNetwork",
    "DeepSets",
    "PoolEnsemble",
    "PoolScorer",
    "RowScorer",
    "ScorerEnsemble",
    "SharedScorer",
]
