"""Uncertainty after temperature scaling: how unsure the model should be, rather than says it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.errors import unknown
from react_rl.learners.capabilities import Capability
from react_rl.learners.linear.calibration import inverse_temperature, leave_one_out_logits
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class CalibratedUncertainty:
    """Margin or entropy of ``softmax(z / T)``, T fitted to leave-one-out predictions of the labelled rows.

    A strongly regularised head on few labels is far less sure than it is right. The temperature leaves the
    order of classes alone but not that of rows: with three or more classes the ranking by margin and by
    entropy changes with T (with two it does not, and this is the plain strategy). The labelled rows are
    fitted, so T is found on leave-one-out scores (``learners.calibration``), which need no held-out set.

    Source: Guo et al. 2017, On calibration of modern neural networks (temperature scaling); Cawley &
    Talbot 2008 (leave-one-out).

    Args:
        name: Name in tables and configs.
        measure: margin or entropy.

    Raises:
        ReActError: The measure is unknown.
    """

    name: str = "calibrated-margin"
    measure: Literal["margin", "entropy"] = "margin"

    def __post_init__(self) -> None:
        if self.measure not in ("margin", "entropy"):
            raise unknown("measure", self.measure, ("margin", "entropy"))

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner; see ``learners.capabilities``."""
        return frozenset({"linear"})

    def score(self, view: PoolView) -> Tensor:
        """Minus the margin, or the entropy in nats, of the calibrated probabilities ``(E, P)``."""
        beta = inverse_temperature(leave_one_out_logits(view), view.labelled_geometry[1])
        p = view.level(torch.softmax(view.logits * beta[:, None, None], 1))
        if self.measure == "entropy":
            return view.level(torch.special.entr(p).sum(1))
        best = p.topk(min(2, p.shape[1]), dim=1).values
        return best[:, -1] - best[:, 0]

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` most uncertain rows."""
        return take_top(view, self.score(view), n)
