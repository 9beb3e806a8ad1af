"""Selection via a proxy: any strategy, with a softmax regression in place of an expensive learner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.naming import named_base
from react_rl.learners.ledger_view import LedgerView
from react_rl.learners.linear.primal import MOST_STEPS
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.protocol import LabelledRows, Purchase
from react_rl.simulation.view import PoolView

PROXY: Final = "proxy:"
"""How the name of such a strategy begins: ``proxy:margin``."""


@dataclass(frozen=True)
class ByProxy:
    """Another strategy that sees a softmax regression on the frozen embeddings in place of the learner.

    The regression is fitted to all bought labels in each round. Where the learner itself is fine-tuned, the
    strategy so reads the steady probabilities of a regularised model, and a policy that was trained on such
    regressions sees what it was trained on.

    Source: Coleman et al. 2020, Selection via proxy: efficient data selection for deep learning.

    Args:
        name: Name in tables and configs.
        base: Strategy that chooses.
    """

    name: str
    base: QueryStrategy

    def score(self, view: PoolView) -> Tensor:
        """Scores of the base ``(E, P)`` by what the regression says."""
        return self.base.score(view.through(regression))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows of each pool as the base does by what the regression says."""
        return self.base.select(view.through(regression), n)


def regression(
    labelled: LabelledRows, n_classes: Tensor, settings: SoftmaxSettings | None = None
) -> SoftmaxRegression:
    """Softmax regressions that are fitted to all labelled rows at once.

    Args:
        labelled: The labelled rows of E episodes.
        n_classes: ``(E,)`` int64.
        settings: Regularisation and convergence; None are those as they come.
    """
    # One fit to all labels needs more steps than one to those of a round.
    settings = settings or replace(SoftmaxSettings(), max_steps=MOST_STEPS)
    head = SoftmaxRegression(_Uneven(labelled), settings)
    n_episodes, slots = labelled.shape[0], labelled.slots
    everyone = torch.arange(n_episodes, device=labelled.device)
    head.start(everyone, n_classes)
    if slots:
        known = labelled.live[:, :slots] > 0
        labels = torch.where(known, labelled.onehot[:, :, :slots].argmax(1), -1)
        rows = labelled.rows[:, :slots]
        columns = labelled.columns[:, :slots]
        head.update(Purchase(everyone, columns, labels, labels, rows, [0] * n_episodes, everyone=True))
    return head


class _Uneven(LedgerView):
    """A ledger whose episodes may hold different numbers of labels, though none of them is missing."""

    @cached_property
    def unanswered(self) -> bool:
        """Whether a slot of some episode carries no label."""
        return not bool(self.live[:, : self.slots].all())


def parse_proxy(name: str) -> str:
    """Base of a name that begins with ``PROXY``.

    Raises:
        ReActError: There is no name of a strategy in it.
    """
    return named_base(name, PROXY, f"{PROXY}margin")
