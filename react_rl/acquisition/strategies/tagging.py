"""Query strategies for tagging: sentences whose tags the present model is least sure of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.simulation.view import PoolView
from react_rl.tasks.tagging import TokenSignals


@dataclass(frozen=True)
class TopSentences:
    """The sentences with the largest value of one thing that token scores say.

    Args:
        name: Name in tables and figures.
        value: From the signals of E pools to ``(E, P)``; large means worth a label.
    """

    name: str
    value: Callable[[TokenSignals], Tensor]

    def score(self, view: PoolView) -> Tensor:
        """The values ``(E, P)``."""
        return self.value(view.tokens)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` sentences with the largest value."""
        return take_top(view, self.score(view), n)


def mnlp() -> TopSentences:
    """Smallest log-probability of the best tags per token (MNLP).

    Source: Shen et al. 2017, Deep active learning for named entity recognition.
    """
    return TopSentences("mnlp", lambda signals: -signals.mean_log_probability)


def sequence_confidence() -> TopSentences:
    """Smallest probability of the best tags of the whole sentence; long sentences first.

    Source: Culotta & McCallum 2005, Reducing labeling effort for structured prediction tasks.
    """
    return TopSentences("sequence-confidence", lambda signals: -signals.log_probability)


def sequence_margin() -> TopSentences:
    """Smallest difference between the probabilities of the two best taggings.

    Source: Settles & Craven 2008, An analysis of active learning strategies for sequence labeling tasks.
    """
    return TopSentences("sequence-margin", lambda signals: -signals.sequence_margin)


def token_entropy() -> TopSentences:
    """Largest mean entropy of a token. Source: Settles & Craven 2008."""
    return TopSentences("token-entropy", lambda signals: signals.entropy)


def total_token_entropy() -> TopSentences:
    """Largest sum of the tokens' entropies; long sentences first. Source: Settles & Craven 2008."""
    return TopSentences("total-token-entropy", lambda signals: signals.total_entropy)


def largest_token_entropy() -> TopSentences:
    """Largest entropy of any token. Source: Marcheggiani & Artières 2014."""
    return TopSentences("largest-token-entropy", lambda signals: signals.largest_entropy)


def n_best_entropy() -> TopSentences:
    """Largest entropy of the five best taggings.

    Source: Kim et al. 2006, MMR-based active machine learning for bio named entity recognition; Settles &
    Craven 2008.
    """
    return TopSentences("n-best-entropy", lambda signals: signals.n_best_entropy())


def tag_count() -> TopSentences:
    """Most entities found by the model. Source: Kohl et al. 2024."""
    return TopSentences("tag-count", lambda signals: signals.entities)
