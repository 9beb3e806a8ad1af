"""Networks of policies."""

from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble

__all__ = ["RowScorer", "ScorerEnsemble"]
