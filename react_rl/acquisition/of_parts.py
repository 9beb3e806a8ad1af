"""The query strategies of sentences with tags and of questions with answers; ``catalogue`` lists all."""

from __future__ import annotations

from typing import Final

from react_rl.acquisition.contract import StrategyEntry
from react_rl.acquisition.strategies.questions import (
    SpreadOverContexts,
    mnlp_span,
    no_answer_doubt,
    span_entropy,
    span_margin,
)
from react_rl.acquisition.strategies.tagging import (
    largest_token_entropy,
    mnlp,
    n_best_entropy,
    sequence_confidence,
    sequence_margin,
    tag_count,
    token_bald,
    token_entropy,
    total_token_entropy,
)
from react_rl.learners.capabilities import Capability

_TOKENS: Final[frozenset[Capability]] = frozenset({"tokens"})
_SPANS: Final[frozenset[Capability]] = frozenset({"spans"})

OF_PARTS: Final[dict[str, StrategyEntry]] = {
    **{
        make().name: StrategyEntry(make, "tagging", summary, source, cost="O(T C), T tokens", needs=_TOKENS)
        for make, summary, source in (
            (mnlp, "smallest log-probability of the best tags per token", "Shen et al. 2017"),
            (sequence_confidence, "smallest probability of the best tags", "Culotta & McCallum 2005"),
            (sequence_margin, "smallest gap of the two best taggings", "Settles & Craven 2008"),
            (token_entropy, "largest mean entropy of a token", "Settles & Craven 2008"),
            (total_token_entropy, "largest sum of the tokens' entropies", "Settles & Craven 2008"),
            (largest_token_entropy, "largest entropy of any token", "Marcheggiani & Artières 2014"),
            (
                n_best_entropy,
                "largest entropy of the five best taggings",
                "Kim et al. 2006; Settles & Craven 2008",
            ),
            (tag_count, "most entities found by the model", "Kohl et al. 2024"),
        )
    },
    "token-bald": StrategyEntry(
        token_bald,
        "tagging",
        "mutual information of a token's tag and the model, dropout",
        "Siddhant & Lipton 2018; Houlsby et al. 2011",
        cost="O(M T C), T tokens",
        needs=_TOKENS | {"dropout"},
        draws=True,
    ),
    **{
        make().name: StrategyEntry(
            make, "questions", summary, source, cost="O(T), T words of contexts", needs=_SPANS
        )
        for make, summary, source in (
            (span_margin, "smallest gap of the two best answers' probabilities", "Scheffer et al. 2001"),
            (span_entropy, "largest entropy of the answers that can be given", "Dagan & Engelson 1995"),
            (mnlp_span, "smallest probability of the best answer's borders", "after Shen et al. 2017"),
            (no_answer_doubt, "no answer and the best answer about equally probable", "this project"),
        )
    },
    "spread-over-contexts": StrategyEntry(
        SpreadOverContexts,
        "questions",
        "contexts with the fewest bought questions first, at random among these",
        "this project",
        cost="O(P n)",
        needs=_SPANS,
        draws=True,
    ),
}
"""Strategies that read tokens or spans, by name, in the order of lists."""
