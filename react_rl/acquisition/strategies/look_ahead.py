"""Rows after whose label, whatever it is, the model is expected to err least on the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import Capability
from react_rl.simulation.oracle import ABSTAINED
from react_rl.simulation.view import PoolView

_LOSSES: Final = ("log", "zero-one")


@dataclass(frozen=True)
class ExpectedErrorReduction:
    """Rows of a short list whose label is expected to leave the smallest error on the pool.

    For each row of the list and each of its likeliest labels, a copy of the learner is trained with that row
    under that label, and its error on the unlabelled rows is what it expects itself: their mean entropy
    (``log``) or mean ``1 - max p`` (``zero-one``). A row's score is minus the mean over its labels, weighed
    by the learner's probabilities. No true label is looked at. The list is the rows of smallest margin and
    as many drawn evenly; the source draws it evenly. A batch is the n best.

    Source: Roy & McCallum 2001, Toward optimal active learning through sampling estimation of error
    reduction, eq. 2 to 4.

    Args:
        name: Name in tables and configs.
        candidates: Rows of the short list; at least the batch.
        labels: Most labels of a row that are tried; the probabilities of the others count for these.
        loss: log or zero-one.

    Raises:
        ReActError: A setting is out of range.
    """

    name: str = "expected-error"
    candidates: int = 24
    labels: int = 3
    loss: Literal["log", "zero-one"] = "log"

    def __post_init__(self) -> None:
        if min(self.candidates, self.labels) < 1:
            raise ReActError(
                f"{self.candidates} candidates with {self.labels} labels leave nothing to try; "
                "use at least 1 of each."
            )
        if self.loss not in _LOSSES:
            raise unknown("loss", self.loss, _LOSSES)

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner; see ``learners.capabilities``."""
        return frozenset({"classes", "trials"})

    def score(self, view: PoolView) -> Tensor:
        """Minus the expected error ``(E, P)``; a little below the worst for rows that were not tried."""
        return self._score(view, view.progress.batch_size)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the smallest expected error."""
        return take_top(view, self._score(view, n), n)

    def _score(self, view: PoolView, n: int) -> Tensor:
        columns = self._short_list(view, max(self.candidates, n))  # (E, K)
        p = view.probabilities.gather(2, columns[:, None].expand(-1, view.probabilities.shape[1], -1))
        likely = p.topk(min(self.labels, p.shape[1]), dim=1)  # (E, m, K)
        own = torch.from_numpy(view.progress.n_classes).to(view.device)
        answers = torch.where(likely.indices < own[:, None, None], likely.indices, ABSTAINED)
        losses = self._losses(view, columns, answers.transpose(1, 2))  # (E, K, m)
        chances = likely.values.transpose(1, 2)
        expected = (losses * chances).sum(2) / chances.sum(2)
        worst = expected.amax(1, keepdim=True)
        scores = (-worst - 1e-3).expand(-1, view.width).clone()
        return scores.scatter(1, columns, -expected)

    def _short_list(self, view: PoolView, size: int) -> Tensor:
        """Columns ``(E, K)``: half by margin, half drawn; others only where the pool is smaller."""
        size = min(size, view.width)
        luck = view.random().float()
        unsure = torch.where(view.available, 1.0 - view.margin + 1e-6 * luck, -1.0)
        chosen = unsure.topk((size + 1) // 2, dim=1).indices
        order = torch.where(view.available, luck, luck - 2.0).scatter(1, chosen, 2.0)
        return order.topk(size, dim=1).indices

    def _losses(self, view: PoolView, columns: Tensor, answers: Tensor) -> Tensor:
        """Expected losses of the models that supposed labels ``(E, K, m)`` would bring, as many."""
        free = view.available.float()
        weight = free / free.sum(1, keepdim=True).clamp_min(1.0)

        def judge(logits: Tensor, tried: Tensor) -> Tensor:
            p = torch.softmax(logits, 1)
            loss = torch.special.entr(p).sum(1) if self.loss == "log" else 1.0 - p.amax(1)
            return (loss * weight.repeat_interleave(tried.shape[1], 0)).sum(1)

        everything = columns[:, :, None].expand_as(answers).flatten(1)
        return view.suppose(everything[:, :, None], answers.flatten(1)[:, :, None], judge).view(answers.shape)
