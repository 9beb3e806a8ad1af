"""Trying batches out on scratch copies of the learners: what references that look at labels are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.capabilities import TriesBatches
from react_rl.simulation.ledger import Ledger
from react_rl.simulation.pools import Pools
from react_rl.tasks.protocol import Task

Judge = Callable[[Tensor, Tensor], Tensor]
"""From scores ``(E k, C, W)`` of k copies of each episode, side by side, and the pool columns ``(E, k, b)``
that each of them has bought beyond the learner, to values ``(E k,)``."""

_SCRATCH: Final = 1 << 22
"""Similarities of labelled rows that scratch learners hold together (16 MiB): few enough for a cache."""


def by_metric(task: Task, metric: str, pools: Pools) -> Judge:
    """A judge that takes a metric of the dev rows."""

    def judge(logits: Tensor, tried: Tensor) -> Tensor:
        own = (pools.truth, pools.class_mask)
        truth, mask = (array.repeat_interleave(tried.shape[1], 0) for array in own)
        return task.judge([metric], logits[:, :, pools.width :], truth, mask)[metric]

    return judge


def try_batches(
    learner: TriesBatches,
    ledger: Ledger,
    columns: Tensor,
    answers: Tensor,
    similarity: Callable[[Tensor], Tensor],
    judge: Judge,
) -> npt.NDArray[np.float64]:
    """Value ``(E, K)`` of the models that each of K batches would bring; the learners stay as they are.

    Args:
        learner: E learners.
        ledger: What they have learned from; it stays as it is, too.
        columns: ``(E, K, b)`` pool columns.
        answers: ``(E, K, b)`` class indices, -1 where there is no label.
        similarity: Products of columns ``(E, n)`` with all columns, ``(E, n, W)``.
        judge: What a model is worth.
    """
    n_episodes, n_batches, size = columns.shape
    values = []
    # As many copies at a time as memory likes.
    step = max(1, _SCRATCH // (n_episodes * max(ledger.slots, 1) * ledger.shape[2]))
    for start in range(0, n_batches, step):
        part = slice(start, start + step)
        tried = columns[:, part].flatten(1)
        times = tried.shape[1] // size
        everyone = torch.arange(n_episodes * times, device=columns.device)
        copied = ledger.replicate(times, size)
        scratch = learner.replicate(copied, times)
        scratch.update(
            copied.append(
                everyone,
                tried.reshape(-1, size),
                answers[:, part].reshape(-1, size),
                similarity(tried).reshape(everyone.numel(), size, -1),
            )
        )
        found = judge(scratch.logits, columns[:, part])
        values.append(found.view(n_episodes, times).to(torch.float64).cpu().numpy())
    return np.concatenate(values, axis=1)
