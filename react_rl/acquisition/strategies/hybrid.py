"""Hybrid scores: contrast with labelled neighbours, and uncertainty weighted by density.

Batches that trade uncertainty against diversity are in ``batches``, BADGE is in ``gradient``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.wide.chunks import column_slices
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

_FEW: Final = 1 << 10
"""Columns below which a call of numpy costs more than it saves."""


@dataclass(frozen=True)
class ContrastiveLearning:
    """Rows that are predicted unlike the labelled rows next to them (CAL).

    ``mean_{l in N_k(x)} KL(p(.|x_l) || p(.|x))`` with N_k the k labelled rows most similar in cosine.

    Source: Margatina et al. 2021, Active learning by acquiring contrastive examples, algorithm 1. The
    neighbours are labelled rows, as published; small-text 1.4.1 searches the whole dataset instead.

    Args:
        name: Name in tables and configs.
        neighbours: k; all labelled rows where there are fewer.

    Raises:
        ReActError: Fewer than one neighbour.
    """

    name: str = "cal"
    neighbours: int = 10

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ReActError(f"CAL with {self.neighbours} neighbours compares nothing; use at least 1.")

    def score(self, view: PoolView) -> Tensor:
        """Mean divergence in nats ``(E, P)``."""
        live = view.labelled_geometry[2]  # (E, n)
        theirs = torch.softmax(view.fitted_logits, 1)  # (E, C, n)
        # mean KL = -mean H(p_l) - sum_c (mean p_lc) log p_c, so the means of p_l and H(p_l) suffice.
        told = torch.cat([theirs, torch.special.entr(theirs).sum(1, keepdim=True)], 1)  # (E, C + 1, n)
        n, n_classes = told.shape[2], theirs.shape[1]
        k = min(self.neighbours, n)
        # An episode may have fewer labels than the fullest one: its empty slots come last.
        count = live.sum(1)[:, None].clamp_max(k).clamp_min(1)  # (E, 1)
        scores = torch.empty(view.ids.shape, device=view.device)
        for columns in column_slices(view, 2 * n + 2 * n_classes + k):
            chosen = largest(view.similarity_to_labelled[:, :, columns], k).mul_(live[:, :, None])
            mean = torch.bmm(told, chosen) / count[:, :, None]  # (E, C + 1, P')
            own = torch.log_softmax(view.logits[:, :, columns], 1)
            cross = (mean[:, :-1] * own).sum(1)  # a class outside the episode is 0 times a finite number
            scores[:, columns] = -cross - mean[:, -1]
        return view.level(scores)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest mean divergence."""
        return take_top(view, self.score(view), n)


def largest(similarity: Tensor, k: int) -> Tensor:
    """1 for the ``k`` largest along the labelled rows and 0 for the others, of ``(E, n, P)``."""
    if similarity.device.type == "cpu" and similarity.shape[0] * similarity.shape[2] >= _FEW:
        # numpy finds the k-th largest several times quicker than torch; what equals it may be too much.
        flat = similarity.transpose(1, 2).clone(memory_format=torch.contiguous_format).numpy()
        flat.partition(flat.shape[2] - k, axis=2)
        least = np.ascontiguousarray(flat[:, :, flat.shape[2] - k])
        # A comparison that writes numbers, not truth values, works on whole vectors of the processor.
        chosen = torch.empty(similarity.shape, dtype=similarity.dtype)
        torch.ge(similarity, torch.from_numpy(least)[:, None], out=chosen)
        if bool((chosen.sum(1) == k).all()):
            return chosen
    return torch.zeros_like(similarity).scatter_(1, similarity.topk(k, dim=1).indices, 1.0)


@dataclass(frozen=True)
class InformationDensity:
    """Uncertain rows that stand for many others.

    ``H(p(.|x)) * max(0, mean_{u in pool} cos(x, x_u))^beta`` over the rows that can be bought, x included.
    The mean of cosines is the cosine with the mean embedding times its length, so this costs no more than
    one product with the pool. The maximum replaces the count vectors of the source, whose cosines are
    never negative.

    Source: Settles & Craven 2008, An analysis of active learning strategies for sequence labeling tasks,
    section 3.5, eq. 11.

    Args:
        name: Name in tables and configs.
        beta: Weight of the density.

    Raises:
        ReActError: ``beta`` is negative.
    """

    name: str = "information-density"
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ReActError(f"beta {self.beta} would prefer outliers; use 0 or more.")

    def score(self, view: PoolView) -> Tensor:
        """Entropy times density ``(E, P)``."""
        weight = view.available.to(torch.float32) / view.n_available.clamp_min(1)[:, None]
        mean = torch.bmm(weight[:, None], view.embeddings)  # (E, 1, D)
        density = torch.bmm(view.embeddings, mean.transpose(1, 2))[:, :, 0]
        return view.level(view.entropy * density.clamp_min(0.0).pow(self.beta))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest product."""
        return take_top(view, self.score(view), n)
