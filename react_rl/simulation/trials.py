"""Trying batches out on scratch copies of the learners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.capabilities import TriesBatches
from react_rl.learners.protocol import Learner
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.ledger import Ledger

Judge = Callable[[Tensor, Tensor], Tensor]
"""From scores ``(E k, C, W)`` of k copies of each episode, side by side, and the pool columns ``(E, k, b)``
that each of them has bought beyond the learner, to values ``(E k,)``."""

_SCRATCH: Final = 1 << 22
"""Similarities of labelled rows that scratch learners hold together (16 MiB): few enough for a cache."""


class Trials:
    """Batches tried out on scratch copies of the learners, which stay as they are.

    Args:
        learner: E learners.
        ledger: What they have learned from.
        geometry: Similarities between columns.
    """

    def __init__(self, learner: Learner, ledger: Ledger, geometry: Geometry) -> None:
        self._learner, self._ledger, self._geometry = learner, ledger, geometry

    def values(self, columns: Tensor, answers: Tensor, judge: Judge) -> npt.NDArray[np.float64]:
        """Value ``(E, K)`` of the models that each of K batches would bring.

        Args:
            columns: ``(E, K, b)`` pool columns.
            answers: ``(E, K, b)`` class indices, -1 where there is no label.
            judge: What a model is worth.

        Raises:
            ReActError: The learner cannot be copied.
        """
        if not isinstance(self._learner, TriesBatches):
            raise ReActError(
                "Trying batches out needs a learner that can be copied; set learner.kind to softmax."
            )
        n_episodes, n_batches, size = columns.shape
        values = []
        # As many copies at a time as memory likes.
        step = max(1, _SCRATCH // (n_episodes * max(self._ledger.slots, 1) * self._ledger.shape[2]))
        for start in range(0, n_batches, step):
            part = slice(start, start + step)
            tried = columns[:, part].flatten(1)
            times = tried.shape[1] // size
            everyone = torch.arange(n_episodes * times, device=columns.device)
            copied = self._ledger.replicate(times, size)
            scratch = self._learner.replicate(copied, times)
            scratch.update(
                copied.append(
                    everyone,
                    tried.reshape(-1, size),
                    answers[:, part].reshape(-1, size),
                    self._geometry.rows(tried).reshape(everyone.numel(), size, -1),
                )
            )
            found = judge(scratch.logits, columns[:, part])
            values.append(found.view(n_episodes, times).to(torch.float64).cpu().numpy())
        return np.concatenate(values, axis=1)
