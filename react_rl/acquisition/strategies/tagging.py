"""Query strategies for tagging: sentences whose tags the present model is least sure of."""

from __future__ import annotations

from typing import Final

from react_rl.acquisition.disagreements import mutual_information
from react_rl.acquisition.strategies.top_rows import TopRows

_SAMPLES: Final = 10
"""Monte Carlo samples of a sentence's tags."""


def mnlp() -> TopRows:
    """Smallest log-probability of the best tags per token (MNLP).

    Source: Shen et al. 2017, Deep active learning for named entity recognition.
    """
    return TopRows("mnlp", lambda view: -view.tokens.mean_log_probability)


def sequence_confidence() -> TopRows:
    """Smallest probability of the best tags of the whole sentence; long sentences first.

    Source: Culotta & McCallum 2005, Reducing labeling effort for structured prediction tasks.
    """
    return TopRows("sequence-confidence", lambda view: -view.tokens.log_probability)


def sequence_margin() -> TopRows:
    """Smallest difference between the probabilities of the two best taggings.

    Source: Settles & Craven 2008, An analysis of active learning strategies for sequence labeling tasks.
    """
    return TopRows("sequence-margin", lambda view: -view.tokens.sequence_margin)


def token_entropy() -> TopRows:
    """Largest mean entropy of a token. Source: Settles & Craven 2008."""
    return TopRows("token-entropy", lambda view: view.tokens.entropy)


def total_token_entropy() -> TopRows:
    """Largest sum of the tokens' entropies; long sentences first. Source: Settles & Craven 2008."""
    return TopRows("total-token-entropy", lambda view: view.tokens.total_entropy)


def largest_token_entropy() -> TopRows:
    """Largest entropy of any token. Source: Marcheggiani & Artières 2014."""
    return TopRows("largest-token-entropy", lambda view: view.tokens.largest_entropy)


def n_best_entropy() -> TopRows:
    """Largest entropy of the five best taggings.

    Source: Kim et al. 2006, MMR-based active machine learning for bio named entity recognition; Settles &
    Craven 2008.
    """
    return TopRows("n-best-entropy", lambda view: view.tokens.n_best_entropy())


def tag_count() -> TopRows:
    """Most entities found by the model. Source: Kohl et al. 2024."""
    return TopRows("tag-count", lambda view: view.tokens.entities)


def token_bald() -> TopRows:
    """Largest mutual information of a token's tag and the model, mean over the tokens, by dropout.

    Source: Siddhant & Lipton 2018, Deep Bayesian active learning for natural language processing (who count
    votes), with the measure of Houlsby et al. 2011; per token as in Shen et al. 2017.
    """
    return TopRows(
        "token-bald",
        lambda view: view.tokens.mean_of(mutual_information(view.dropout_logits(_SAMPLES))),
    )
