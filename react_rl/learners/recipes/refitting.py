"""Heads that a recipe trains itself: another l2, smoothed labels, pool rows under labels of their own.

A head is kept in dual form: weights of the labelled rows, and of pool rows that it was trained on besides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.calibration import left_out
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import descend

GRID: Final = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Values of l2 to choose from, the strongest first."""

_LEAST: Final = 1e-12


@dataclass(frozen=True)
class TrainingRows:
    """What R heads are trained on.

    Args:
        kernel: ``(R, n, n)`` inner products of the rows, the bias included, 0 in slots without a label.
        target: ``(R, C, n)`` labels, hard or soft, all 0 in slots without one.
        weight: ``(R, n)`` weights of the rows in the loss, 0 in slots without a label.
        shift: ``(R, C, 1)`` near -1e30 for classes outside an episode, 0 for the others.
    """

    kernel: Tensor
    target: Tensor
    weight: Tensor
    shift: Tensor

    @property
    def n_classes(self) -> Tensor:
        """Classes of each episode ``(R,)`` float32."""
        return (self.shift[:, :, 0] == 0).sum(1).float()

    def smoothed(self, share: float) -> TrainingRows:
        """The same with a share of every label spread over the classes of its episode."""
        valid = (self.shift == 0).float() / self.n_classes[:, None, None]
        some = self.target.sum(1, keepdim=True)  # 1 where there is a label
        return replace(self, target=(1.0 - share) * self.target + share * valid * some)

    def mixed(self, mixing: Tensor) -> TrainingRows:
        """Mixtures ``(R, m)`` of the rows and of their labels, each row's weight shared among its mixtures.

        Args:
            mixing: ``(R, m, n)`` shares of the rows in each mixture; see ``mixup.mixing_of``.
        """
        first = mixing.shape[1] // max(mixing.shape[2], 1)
        return replace(
            self,
            kernel=torch.bmm(torch.bmm(mixing, self.kernel), mixing.transpose(1, 2)),
            target=torch.bmm(self.target, mixing.transpose(1, 2)),
            weight=self.weight.repeat(1, first) / max(first, 1),
        )

    def of(self, members: Tensor) -> TrainingRows:
        """That of some of the heads ``(M,)``."""
        arrays = (self.kernel, self.target, self.weight, self.shift)
        return TrainingRows(*(array[members] for array in arrays))


def refit(material: TrainingRows, start: Tensor, settings: SoftmaxSettings) -> tuple[Tensor, Tensor]:
    """Fit heads from ``start`` ``(R, C, n)``; returns dual weights and scores of their rows ``(R, C, n)``."""
    dual = start.clone()
    fitted = torch.bmm(dual, material.kernel) + material.shift
    descend(dual, fitted, material.target, material.kernel, material.weight, settings)
    return dual, fitted


def refit_each(material: TrainingRows, start: Tensor, l2: Tensor, settings: SoftmaxSettings) -> Tensor:
    """Fit heads under an l2 of their own ``(R,)``; returns dual weights ``(R, C, n)``."""
    found = torch.empty_like(start)
    for value in sorted(set(l2.tolist())):
        members = torch.nonzero(l2 == value)[:, 0]
        found[members] = refit(material.of(members), start[members], replace(settings, l2=value))[0]
    return found


def l2_left_out(material: TrainingRows, start: Tensor, settings: SoftmaxSettings) -> Tensor:
    """Of ``GRID`` the l2 ``(R,)`` with the least log-loss on labelled rows left out one by one.

    Source: the scores are those of ``leave_one_out_logits``.
    """
    losses = []
    for l2 in GRID:
        start, fitted = refit(material, start, replace(settings, l2=l2))
        scores = left_out(fitted, material.target, material.kernel, material.weight, material.n_classes, l2)
        log = torch.log_softmax(scores, 1).clamp_min(-1e4)
        losses.append(-(material.target * log).sum((1, 2)))
    return _least(losses)


def l2_on_dev(
    material: TrainingRows, start: Tensor, settings: SoftmaxSettings, dev: Tensor, labels: Tensor
) -> Tensor:
    """Of ``GRID`` the l2 ``(R,)`` with the least log-loss on the dev rows.

    Args:
        material: What the heads are trained on.
        start: ``(R, C, n)`` dual weights to begin from.
        settings: Convergence.
        dev: ``(R, n, V)`` inner products of the rows with V dev columns, the bias included.
        labels: ``(R, V)`` int64, -1 where a column holds none.
    """
    losses = []
    for l2 in GRID:
        start, _ = refit(material, start, replace(settings, l2=l2))
        scores = torch.bmm(start, dev) + material.shift
        loss = torch.nn.functional.cross_entropy(scores, labels, ignore_index=-1, reduction="none")
        losses.append(loss.sum(1))
    return _least(losses)


def _least(losses: list[Tensor]) -> Tensor:
    best = torch.stack(losses).argmin(0)
    return torch.tensor(GRID, device=best.device)[best]
