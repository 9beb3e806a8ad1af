"""Query strategies for question answering: doubtful answers first, or contexts that were not yet read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from react_rl.acquisition.strategies.top_rows import TopRows
from react_rl.simulation.view import PoolView


def span_margin() -> TopRows:
    """Smallest difference between the probabilities of the two best answers; after Scheffer et al. 2001."""
    return TopRows("span-margin", lambda view: -view.spans.span_margin)


def span_entropy() -> TopRows:
    """Largest entropy of the answers that can be given: spans in order and not too long."""
    return TopRows("span-entropy", lambda view: view.spans.span_entropy)


def mnlp_span() -> TopRows:
    """Smallest log-probability of the best answer per border.

    Every answer has two borders, so that this is the order of ``least-confidence``. Source: after Shen et al.
    2017, whose sentences have as many decisions as tokens.
    """
    return TopRows("mnlp-span", lambda view: -view.spans.mean_log_probability)


def no_answer_doubt() -> TopRows:
    """Smallest gap between the log-probabilities of "no answer" and of the best answer."""
    return TopRows("no-answer-doubt", lambda view: view.spans.no_answer_doubt)


@dataclass(frozen=True)
class SpreadOverContexts:
    """Questions on the contexts of which the fewest questions were bought, at random among these."""

    name: str = "spread-over-contexts"

    def score(self, view: PoolView) -> Tensor:
        """Minus the questions bought on each row's context ``(E, P)``."""
        return -_bought(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows one after the other; each pick counts for its context at once."""
        contexts, chance = view.spans.contexts, view.random()
        keys = _bought(view).double() + chance
        keys[~view.available] = torch.inf
        everyone = torch.arange(view.n_episodes, device=view.device)
        picks = torch.full((view.n_episodes, n), -1, dtype=torch.int64, device=view.device)
        for pick in range(n):
            best = keys.min(1)
            found = best.values < torch.inf
            picks[:, pick] = torch.where(found, view.ids[everyone, best.indices], -1)
            own = contexts.gather(1, best.indices[:, None])
            keys += (contexts == own) & found[:, None]
            keys[everyone, best.indices] = torch.inf
        return picks


def _bought(view: PoolView) -> Tensor:
    """Questions bought on the context of each row ``(E, P)`` float32."""
    contexts = view.spans.contexts.clamp_min(0)
    counts = torch.zeros(view.n_episodes, int(contexts.max()) + 1, device=view.device)
    counts.scatter_add_(1, contexts, view.labelled.to(counts))
    return counts.gather(1, contexts)
