"""Trying batches out on scratch copies of the learners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.capabilities import Copies, TriesBatches
from react_rl.learners.protocol import Purchase, ScoresColumns
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.ledger import Ledger
from react_rl.tasks.protocol import Scores, Task

Judge = Callable[[Scores, Tensor], Tensor]
"""From scores of k copies of each episode, side by side, as the task reads them, and the pool columns
``(E, k, b)`` that each of them has bought beyond the learner, to values ``(E k,)``."""

_SCRATCH: Final = 1 << 22
"""Similarities of labelled rows that scratch learners hold together (16 MiB): few enough for a cache."""

_TOGETHER: Final = 1 << 7
"""Scratch learners that are scored together where they hold no similarities."""


class Trials:
    """Batches tried out on scratch copies of the learners, which stay as they are.

    Args:
        task: What is learned; it alone knows what an answer is.
        learner: E learners.
        ledger: What they have learned from.
        geometry: Similarities between columns.
    """

    def __init__(self, task: Task, learner: ScoresColumns, ledger: Ledger, geometry: Geometry) -> None:
        self._task, self._learner = task, learner
        self._ledger, self._geometry = ledger, geometry

    def values(
        self, columns: Tensor, answers: Tensor, judge: Judge, scored: slice
    ) -> npt.NDArray[np.float64]:
        """Value ``(E, K)`` of the models that each of K batches would bring.

        Args:
            columns: ``(E, K, b)`` pool columns.
            answers: ``(E, K, b, ...)`` targets of the task, whose first number is -1 where there is none.
            judge: What a model is worth.
            scored: Columns that the judge gets the scores of.

        Raises:
            ReActError: The learner cannot be copied.
        """
        if not isinstance(self._learner, TriesBatches):
            raise ReActError(
                "Trying batches out needs a learner that can be copied; set learner.kind to softmax, tagger "
                "or span."
            )
        n_episodes, n_batches, _ = columns.shape
        if self._learner.copies_read_ledger:
            # As many copies at a time as memory likes.
            held = n_episodes * max(self._ledger.slots, 1) * self._ledger.shape[2]
            step = max(1, _SCRATCH // held)
        else:
            step = max(1, _TOGETHER // n_episodes)
        values = []
        for start in range(0, n_batches, step):
            part = slice(start, start + step)
            tried = columns[:, part]
            scratch = self._copies(self._learner, tried, answers[:, part].flatten(0, 1))
            found = judge(scratch.logits_of(scored), tried)
            values.append(found.view(n_episodes, -1).to(torch.float64).cpu().numpy())
        return np.concatenate(values, axis=1)

    def _copies(self, learner: TriesBatches, tried: Tensor, answers: Tensor) -> Copies:
        """Copies ``(E k,)`` that have bought columns ``(E, k, b)`` with answers ``(E k, b, ...)``."""
        n_episodes, times, size = tried.shape
        everyone = torch.arange(n_episodes * times, device=tried.device)
        columns, kinds = tried.reshape(-1, size), self._task.kinds(answers)
        if learner.copies_read_ledger:
            copied = self._ledger.replicate(times, size)
            scratch = learner.replicate(copied, times)
            similarity = self._geometry.rows(tried.flatten(1)).reshape(everyone.numel(), size, -1)
            scratch.update(copied.append(everyone, columns, kinds, similarity, answers))
        else:
            scratch = learner.replicate(self._ledger, times)
            used = [used for used in self._ledger.used for _ in range(times)]
            scratch.update(Purchase(everyone, columns, kinds, answers, None, used, everyone=True))
        return scratch
