"""Mixup for the linear head: mixtures of labelled rows' embeddings, and of their labels.

A mixture is a sum of labelled rows, so a head that is fitted to mixtures is one of the labelled rows again:
with A the shares of the rows in the mixtures, the kernel is ``A K A^T`` and the dual weights are ``A^T``
times the fitted ones. Embeddings are not touched.

Source: Zhang et al. 2018, mixup: beyond empirical risk minimization, on the sentence vectors as in Guo et al.
2019, Augmenting data with mixup for sentence classification.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from react_rl.learners.recipes.settings import MixupSettings


def mixing_of(columns: Tensor, live: Tensor, settings: MixupSettings) -> Tensor:
    """Shares ``(R, copies n, n)`` float32 of labelled rows in their mixtures; rows sum to 1.

    Mixture ``c n + i`` is mostly row i. Partners and shares are a function of the labelled columns alone: the
    head stays free of chance, and an episode gets its own whichever others are beside it.

    Args:
        columns: ``(R, n)`` pool columns of the slots.
        live: ``(R, n)`` 1 in slots that hold a label; the others are left alone.
        settings: Shares and copies.
    """
    episodes, n = columns.shape
    mixing = np.zeros((episodes, settings.copies, n, n), np.float32)
    for r, (own, there) in enumerate(zip(columns.tolist(), live.tolist(), strict=True)):
        places = np.flatnonzero(np.array(there))
        rng = np.random.default_rng([own[place] for place in places])
        for copy in mixing[r]:
            share = rng.beta(settings.alpha, settings.alpha, len(places)).astype(np.float32)
            share = np.maximum(share, 1.0 - share)
            np.add.at(copy, (places, places), share)
            np.add.at(copy, (places, places[rng.permutation(len(places))]), 1.0 - share)
            rest = np.setdiff1d(np.arange(n), places)
            copy[rest, rest] = 1.0
    return torch.from_numpy(mixing).to(columns.device).flatten(1, 2)
