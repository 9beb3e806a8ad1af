"""Networks of policies."""

from react_rl.agents.networks.candidates import Attention, CandidateNetwork, DeepSets, SharedScorer
from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble

__all__ = ["Attention", "CandidateNetwork", "DeepSets", "RowScorer", "ScorerEnsemble", "SharedScorer"]
