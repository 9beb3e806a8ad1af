"""Softmax regression on frozen embeddings in dual form, E episodes at once.

With n labelled rows and n much smaller than the dimension D, the weights are W = X^T A with A of n rows,
so one refit costs n^2 C a step and the embeddings are touched once, when a row is bought.

The model minimises  sum_i cross_entropy(x_i W + b, y_i) + l2/2 (|W|^2 + |b|^2 / bias^2).
With K = X X^T + bias^2 and G = l2 A + softmax(K A) - Y, the gradient with respect to W is X^T G. The
softmax Hessian is at most K/2 + l2 (Böhning 1992, Multinomial logistic regression algorithm), which is
at most twice M = K/4 + l2, so the step A <- A - M^-1 G never increases the loss. M^-1 is kept between
rounds and bordered when rows are added. The step moves the fitted logits by
K dA = -4 (G + l2 dA), so a step needs one matrix product. With balanced classes every purchase changes the
weights of all rows, so that descent is another one (``weighting``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import CURVATURE, balanced_weights, descend
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase
from react_rl.learners.scores import ColumnScores

_SLOT_AXES: Final = {"_inverse": (1, 2), "_dual": (2,)}
"""Axes of the slots in the arrays that have them."""


class SoftmaxRegression(ColumnScores):
    """E softmax regressions that are refitted from where they stood.

    Args:
        labelled: The ledger, to be read only; the dual form asks it for similarities.
        settings: Regularisation and convergence.
    """

    _arrays: ClassVar[tuple[str, ...]] = (*ColumnScores._arrays, "_class_bias", "_inverse", "_dual")
    copies_read_ledger: ClassVar[bool] = True

    def __init__(self, labelled: LabelledRows, settings: SoftmaxSettings | None = None) -> None:
        super().__init__(labelled)
        self.settings = settings or SoftmaxSettings()
        n_episodes, n_classes, _ = labelled.shape
        slots = labelled.capacity
        self._kernel_shift = torch.tensor(CURVATURE * self.settings.bias**2, device=self.device)
        self._class_bias = torch.zeros(n_episodes, n_classes, 1, device=self.device)
        self._mixed_classes = False
        self._inverse = torch.zeros(n_episodes, slots, slots, device=self.device)
        self._dual = torch.zeros(n_episodes, n_classes, slots, device=self.device)
        self.steps = 0
        """Solver steps since construction, for profiling."""

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Similarities say all that this learner asks of a row."""

    def primal(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights ``(E, C, D)`` and intercepts ``(E, C)`` for labelled ``embeddings`` ``(E, n, D)``.

        Row i of ``embeddings[e]`` belongs to slot i of episode e.
        """
        dual = self._dual[:, :, : self.labelled.slots]
        return torch.bmm(dual, embeddings), self.settings.bias**2 * dual.sum(2)

    def replicate(self, labelled: LabelledRows, times: int) -> SoftmaxRegression:
        """Copy every episode ``times`` times, side by side: scratch learners of E * times episodes.

        Args:
            labelled: The ledger with its episodes copied likewise.
            times: Copies of each episode.
        """
        scratch = copy.copy(self)
        scratch.labelled = labelled
        scratch._everyone = torch.arange(labelled.shape[0], device=self.device)
        for name in self._arrays:
            array: Tensor = getattr(self, name)
            for axis in _SLOT_AXES.get(name, ()):
                array = array.narrow(axis, 0, labelled.capacity)
            setattr(scratch, name, array.repeat_interleave(times, 0))
        return scratch

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes ``(R,)`` and begin again with ``n_classes`` ``(R,)`` classes each.

        Nothing is left to chance here, so no seed is looked at.
        """
        invalid = self._classes[None, :] >= n_classes.to(self.device)[:, None]
        bias = torch.zeros(invalid.shape, device=self.device).masked_fill_(invalid, INVALID_LOGIT)
        self._class_bias[episodes] = bias[:, :, None]
        self._mixed_classes = bool((self._class_bias < 0).any())
        self._logits[episodes] = bias[:, :, None]
        self._dual[episodes] = 0.0
        self._inverse[episodes] = 0.0

    def add_to(self, episodes: Tensor, base: Tensor) -> None:
        """Let heads that have just been started add to scores that are there already. Mutates.

        Args:
            episodes: ``(R,)`` int64.
            base: ``(R, C, W)`` float32 scores of all columns before any label.
        """
        if self._class_bias.shape[2] < base.shape[2]:
            self._class_bias = self._class_bias.repeat(1, 1, base.shape[2])
        self._class_bias[episodes] += base
        self._logits[episodes] += base
        self._mixed_classes = True

    def update(self, bought: Purchase) -> None:
        """Refit the given episodes from where they stood, in place."""
        labelled, episodes, everyone = self.labelled, bought.episodes, bought.everyone
        before, batch = max(bought.before), bought.labels.shape[1]
        after = before + batch
        self._reserve(labelled.capacity)
        # Slots without a label weigh nothing; where there are none, nothing has to be masked.
        gaps = labelled.unanswered or not bought.lockstep

        state = (self._inverse, self._dual, self._logits)
        known = (labelled.rows, labelled.onehot, labelled.live, labelled.columns)
        inverse, dual, logits = state if everyone else (array[episodes] for array in state)
        rows, onehot, alive, where = known if everyone else (array[episodes] for array in known)
        balanced = self.settings.class_weights == "balanced"
        if not balanced:
            self._border(inverse, bought, alive if gaps else None, where)
        weights = dual[:, :, :after]
        fitted = logits.gather(2, where[:, None, :after].expand(-1, dual.shape[1], -1))
        mask = alive[:, None, :after] if gaps else None
        # An episode that got no label stands still, also where its last refit was cut short.
        taught = None if bought.answered else bought.live.any(1)
        if balanced:
            self._refit_balanced(
                rows, where[:, :after], weights, onehot[:, :, :after], alive[:, :after], fitted, taught
            )
        else:
            self._refit(inverse[:, :after, :after], weights, onehot[:, :, :after], mask, fitted, taught)
        shift = self.settings.bias**2 * weights.sum(2, keepdim=True)  # (R, C, 1)
        if self._mixed_classes:
            shift = shift + (self._class_bias if everyone else self._class_bias[episodes])
        torch.bmm(weights, rows[:, :after], out=logits)
        logits += shift
        if not everyone:
            for whole, changed in zip(state, (inverse, dual, logits), strict=True):
                whole[episodes] = changed

    def _border(self, inverse: Tensor, bought: Purchase, alive: Tensor | None, where: Tensor) -> None:
        """Extend ``inverse`` = (K/4 + l2)^-1 by the new rows (block inversion), in place.

        With the kernel ``cross`` between new and old rows and S the Schur complement of the old ones, the
        inverse grows by V^T S^-1 V, V = [cross inverse, -1]; it holds zeros where there is no slot yet.

        Args:
            inverse: ``(R, capacity, capacity)``.
            bought: The new rows.
            alive: ``(R, capacity)`` slots that hold a label, the new ones included; None where all do.
            where: ``(R, capacity)`` columns of the slots.
        """
        similarity, columns = bought.similarity, bought.columns
        if similarity is None:
            raise ReActError("The softmax regression learns from similarities; note them in the ledger.")
        before, batch = max(bought.before), columns.shape[1]
        after = before + batch
        slots = None if bought.lockstep else bought.slots
        reached = where[:, :after] if slots is None else torch.cat([where[:, :before], columns], 1)
        kernel = similarity.gather(2, reached[:, None, :].expand(-1, batch, -1))  # (R, b, n + b)
        kernel = torch.add(self._kernel_shift, kernel, alpha=CURVATURE)
        if alive is not None:
            weight = bought.live.to(similarity)
            # In a shorter episode new rows take slots among those that others have taken already.
            old = (alive if slots is None else alive.scatter(1, slots, 0.0))[:, :before]
            kernel *= weight[:, :, None] * torch.cat([old, weight], 1)[:, None, :]
        cross, corner = kernel[:, :, :before], kernel[:, :, before:]
        # The diagonal is exact for unit rows, and a slot without a row stands alone.
        corner.diagonal(dim1=1, dim2=2).add_(self.settings.l2)
        reach = torch.bmm(cross, inverse[:, :before, :before])  # (R, b, n)
        schur = torch.baddbmm(corner, reach, cross.transpose(1, 2), alpha=-1.0)
        border = torch.constant_pad_nd(reach, (0, batch))  # (R, b, n + b)
        if slots is None:
            border.diagonal(before, 1, 2).fill_(-1.0)
        else:
            border.scatter_(2, slots[:, :, None], -1.0)
        # With S = L L^T the growth is a square, so the inverse stays symmetric. S is at least l2.
        factor = torch.linalg.cholesky_ex(schur).L
        root = torch.linalg.solve_triangular(factor, border, upper=False)
        inverse[:, :after, :after].add_(torch.bmm(root.transpose(1, 2), root))

    def _refit(
        self,
        inverse: Tensor,
        weights: Tensor,
        target: Tensor,
        mask: Tensor | None,
        fitted: Tensor,
        taught: Tensor | None,
    ) -> None:
        """Take preconditioned steps on ``weights`` until the gradient is small in every episode, in place."""
        settings = self.settings
        alone = len(weights) == 1 and taught is None
        for _ in range(settings.max_steps):
            gradient = torch.softmax(fitted, 1).sub_(target)
            if mask is not None:
                gradient *= mask
            gradient.add_(weights, alpha=settings.l2)
            if alone:  # the ends of all numbers take half the time of their sizes episode by episode
                low, high = torch.aminmax(gradient)
                largest, worst = None, [max(-low.item(), high.item())]
            else:
                largest = gradient.abs().amax((1, 2))
                if taught is not None:
                    largest *= taught
                worst = largest.tolist()
            if max(worst) <= settings.tolerance:
                break
            self.steps += 1
            if largest is not None and min(worst) <= settings.tolerance:
                # A converged episode stands still, so that its result does not depend on its neighbours.
                gradient *= (largest > settings.tolerance)[:, None, None]
            step = torch.bmm(gradient, inverse)
            weights -= step
            fitted.add_(gradient.sub_(step, alpha=settings.l2), alpha=-1.0 / CURVATURE)

    def _refit_balanced(
        self,
        rows: Tensor,
        where: Tensor,
        weights: Tensor,
        target: Tensor,
        alive: Tensor,
        fitted: Tensor,
        taught: Tensor | None,
    ) -> None:
        """Refit ``weights`` under even classes, in place."""
        n = where.shape[1]
        kernel = rows[:, :n].gather(2, where[:, None].expand(-1, n, -1)).add_(self.settings.bias**2)
        kernel *= alive[:, None, :] * alive[:, :, None]
        even = balanced_weights(target, alive)
        self.steps += descend(weights, fitted, target, kernel, even, self.settings, taught)

    def _reserve(self, slots: int) -> None:
        """Make room for ``slots`` slots, as many as the ledger has. Mutates."""
        extra = slots - self._dual.shape[2]
        if extra > 0:
            self._inverse = torch.nn.functional.pad(self._inverse, (0, extra, 0, extra))
            self._dual = torch.nn.functional.pad(self._dual, (0, extra))
