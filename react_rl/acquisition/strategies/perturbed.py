"""Rows whose prediction turns under a small change: of features, of what is seen of them, of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.candidates import candidate_scores, spread_over_candidates
from react_rl.acquisition.batching.selection import best_column, to_ids
from react_rl.acquisition.committees import Committee, dropout_committee
from react_rl.acquisition.disagreements import vote_shares
from react_rl.acquisition.strategies.gradient import gradient_factor
from react_rl.errors import ReActError
from react_rl.learners.capabilities import Capability
from react_rl.simulation.view import PoolView

_TINY: Final = 1e-20
"""Keeps a division finite."""

_SAME: Final = 1e-5
"""Squared distance, as a share of the squared norms, below which two changes are one."""


@dataclass(frozen=True)
class AlfaMix:
    """Rows whose prediction changes when a little of a labelled class is mixed into their features.

    The anchor z* of a class is the mean of its labelled rows' features. Mixing ``alpha z* + (1 - alpha) z``
    with the alpha of norm eps (for each dimension) that raises the loss of the predicted class most, to the
    first order, is a step of length ``eps |z* - z|`` along the gradient of that loss: the published closed
    form. A linear head turns at the step ``min_c (f_y - f_c) / ((w_c - w_y) . g)``, g the gradient of length
    1, so the smallest eps that turns a row is known exactly and nothing has to be mixed. Candidates are the
    rows that turn with ``eps = k cap / sqrt(D)`` for the first k with more than n of them, ``k cap <= 1``.
    They are clustered into n clusters by k-means on unit-norm features, each gives the row nearest to its
    centroid, and where there are too few candidates other rows are drawn at random.

    Features are the embeddings, or what the last layer sees.

    Source: Parvaneh et al. 2022, Active learning by feature mixing, eq. 5 and algorithm 1; that eps grows
    until there are enough candidates is in the code of its authors, with cap 0.2.

    Args:
        name: Name in tables and configs.
        cap: The first eps, and its steps, in units of ``1 / sqrt(D)``.

    Raises:
        ReActError: ``cap`` is not above 0 and at most 1.
    """

    name: str = "alfamix"
    cap: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.cap <= 1:
            raise ReActError(f"cap {self.cap} mixes nothing or too much; use a number above 0 and up to 1.")

    def score(self, view: PoolView) -> Tensor:
        """Minus the squared distance to the own centroid ``(E, P)``; -5 for rows that do not turn."""
        return candidate_scores(view, self._candidates(view, view.progress.batch_size))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the candidate nearest to each of ``n`` centroids."""
        return spread_over_candidates(view, self._candidates(view, n), n)

    def _candidates(self, view: PoolView, n: int) -> Tensor:
        """Rows that turn with the first eps at which more than n do ``(E, P)`` bool."""
        steps = (self.turning_points(view) / self.cap).ceil().clamp_min(1.0)
        steps = torch.where(view.available, steps, torch.inf)
        enough = steps.sort(1).values[:, min(n, view.width - 1), None]
        return steps <= enough.clamp_max(float(np.floor(1.0 / self.cap + 1e-9)))

    def turning_points(self, view: PoolView) -> Tensor:
        """The smallest eps, in units of ``1 / sqrt(D)``, that turns each row's prediction ``(E, P)``.

        Infinite where none does.
        """
        heads, _ = view.weights  # (E, C, F)
        residual = gradient_factor(view)  # p - e_y: (E, C, P)
        gram = torch.bmm(heads, heads.transpose(1, 2))  # (E, C, C)
        slopes = torch.bmm(gram, residual)  # w_c . gradient: (E, C, P)
        length = (slopes * residual).sum(1).clamp_min(0.0).sqrt()
        rising = slopes - slopes.gather(1, view.predicted[:, None])
        lead = view.logits.gather(1, view.predicted[:, None]) - view.logits
        needed = torch.where(rising > _TINY, lead * length[:, None] / rising.clamp_min(_TINY), torch.inf)
        needed = needed.amin(1)  # the step that turns a row: (E, P)
        dimension = heads.shape[2]
        eps = needed / self._farthest_anchor(view).clamp_min(_TINY) * dimension**0.5
        return view.level(eps)

    def _farthest_anchor(self, view: PoolView) -> Tensor:
        """Distance of each row to the class mean that is farthest from it ``(E, P)``."""
        onehot = view.labelled_geometry[1]  # (E, C, n)
        counts = onehot.sum(2)
        columns, _ = view.labelled_columns
        features = view.features
        labelled = features.gather(1, columns[:, :, None].expand(-1, -1, features.shape[2]))
        anchors = torch.bmm(onehot / counts.clamp_min(1.0)[:, :, None], labelled)  # (E, C, F)
        square = (
            anchors.square().sum(2)[:, :, None]
            + features.square().sum(2)[:, None]
            - 2.0 * torch.bmm(anchors, features.transpose(1, 2))
        )
        met = counts[:, :, None] > 0
        return torch.where(met, square, 0.0).amax(1).clamp_min(0.0).sqrt()


@dataclass(frozen=True)
class DropQuery:
    """Rows whose prediction turns in more than half of a few heavily dropped-out copies.

    The candidates are clustered into n clusters by k-means on unit-norm features, and each gives the row
    nearest to its centroid; where there are too few candidates, other rows are drawn at random. One
    mask serves the whole pool, as in the other committees here, and learners with hidden units drop
    what they drop in training.

    Source: Gupte et al. 2024, Revisiting active learning in the era of vision foundation models, section 4:
    three copies, three quarters of the dimensions dropped.

    Args:
        name: Name in tables and configs.
        copies: M.
        rate: Share of dimensions that is dropped.

    Raises:
        ReActError: Fewer than one copy, or a rate that is not between 0 and 1.
    """

    name: str = "dropquery"
    copies: int = 3
    rate: float = 0.75

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ReActError(f"DropQuery with {self.copies} copies sees no prediction turn; use at least 1.")
        if not 0 < self.rate < 1:
            raise ReActError(f"Dropout rate {self.rate} must be between 0 and 1, both excluded.")

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner; see ``learners.capabilities``."""
        return frozenset({"classes", "dropout"})

    def score(self, view: PoolView) -> Tensor:
        """Minus the squared distance to the own centroid ``(E, P)``; -5 for rows that do not turn."""
        return candidate_scores(view, self._candidates(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the candidate nearest to each of ``n`` centroids."""
        return spread_over_candidates(view, self._candidates(view), n)

    def _candidates(self, view: PoolView) -> Tensor:
        """Rows that most copies predict otherwise ``(E, P)`` bool."""
        votes = vote_shares(dropout_committee(view, self.copies, self.rate).logits())  # (E, C, P)
        kept = votes.gather(1, view.predicted[:, None])[:, 0]
        return view.level(kept < 0.5)


@dataclass(frozen=True)
class NoiseStability:
    """Rows whose probabilities move most, and most variously, when the head's weights are shaken.

    Noise of norm ``scale |W|`` and random direction is added to the head's weights K times, and a row is the
    vector of its K changes ``(p_k - p) / |p|``, side by side. The batch is greedy farthest-first from
    zero: the first pick has moved most, each further one is farthest from zero and from the picks. Of a
    learner with hidden layers the last layer is shaken.

    Source: Li et al. 2024, Deep active learning with noise stability, algorithm 1, with 50 samples; the
    scale hardly matters for a linear head, whose changes are in proportion to it as long as it is small.

    Args:
        name: Name in tables and configs.
        samples: K.
        scale: Norm of the noise as a share of the norm of the weights.

    Raises:
        ReActError: There is no sample, or no noise.
    """

    name: str = "noise-stability"
    samples: int = 50
    scale: float = 0.01

    def __post_init__(self) -> None:
        if self.samples < 1 or not self.scale > 0:
            raise ReActError(
                f"{self.samples} samples of noise of scale {self.scale} move nothing; use at least 1 sample "
                "and a scale above 0."
            )

    def score(self, view: PoolView) -> Tensor:
        """Squared length of the changes ``(E, P)``."""
        return view.level(self.changes(view).square().sum(1))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows farthest-first."""
        changes = self.changes(view)
        norm = view.level(changes.square().sum(1))
        distance, free = norm, view.available
        picks = []
        for j in range(n):
            column = best_column(view, distance, free)
            picks.append(column)
            if j + 1 == n:
                break
            chosen = column.clamp_min(0)[:, None]
            free = free.scatter(1, chosen, False)
            own = changes.gather(2, chosen[:, None].expand(-1, changes.shape[1], -1))
            total = norm + norm.gather(1, chosen)
            apart = total - 2.0 * torch.bmm(own.transpose(1, 2), changes)[:, 0]
            # What rounding alone sets apart is as near as a copy.
            distance = torch.minimum(distance, torch.where(apart > _SAME * total, view.level(apart), 0.0))
        return to_ids(view, torch.stack(picks, 1))

    def changes(self, view: PoolView) -> Tensor:
        """Changes of the probabilities under noise, in units of their length ``(E, K C, P)``."""
        heads, intercepts = view.weights
        n_episodes, n_classes, dimension = heads.shape
        noise = np.zeros((n_episodes, self.samples, n_classes, dimension), dtype=np.float32)
        for e in torch.nonzero(view.n_available)[:, 0].tolist():
            own = (self.samples, int(view.progress.n_classes[e]), dimension)
            drawn = view.generator(e).standard_normal(own, dtype=np.float32)
            noise[e, :, : own[1]] = (
                drawn / np.linalg.norm(drawn.reshape(len(drawn), -1), axis=1)[:, None, None]
            )
        size = heads.flatten(1).norm(dim=1)[:, None, None, None]
        shaken = heads[:, None] + self.scale * size * torch.from_numpy(noise).to(view.device)
        valid = torch.arange(n_classes, device=view.device) < torch.from_numpy(view.progress.n_classes).to(
            view.device
        ).unsqueeze(1)
        shift = torch.where(valid, intercepts, -1e30)[:, None].expand(-1, self.samples, -1)
        moved = Committee(shaken, view.features.transpose(1, 2), shift).probabilities()
        still = Committee(heads[:, None], view.features.transpose(1, 2), shift[:, :1]).probabilities()
        changes: Tensor = (moved - still) / still.norm(dim=2, keepdim=True)
        return changes.flatten(1, 2)
