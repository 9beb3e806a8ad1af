"""The look-ahead expert: how much better a model would be with one more row, tried on copies of the learner.

It knows the labels of the training task, pool and dev rows, and never sees a test row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.engine import LabelingEngine

SHARPNESS: Final = 10.0
"""Factor on the logits of soft accuracies: a regularised head is less sure than it is right."""


class LookAhead:
    """Values of models by soft accuracy: the mean probability that they give to the right class.

    Soft accuracy is taken at temperature 1/10, on the dev rows and the unlabelled rows of the pool; the rows
    that a copy bought are left out, so that no row is praised for knowing itself. Accuracy has a step where
    soft accuracy has a slope, and one row moves it by less than its noise.

    Args:
        engine: Episodes that have begun.
    """

    def __init__(self, engine: LabelingEngine) -> None:
        self._engine = engine
        options = engine.options
        self._labels = torch.full((engine.n_episodes, options.pool_size + options.dev_size), -1)
        for episode in range(engine.n_episodes):
            draw, targets = engine.draw_of(episode), engine.corpus_of(episode).corpus.targets
            for first, rows in ((0, draw.pool), (options.pool_size, draw.dev)):
                labels = np.searchsorted(draw.classes, targets[rows])
                self._labels[episode, first : first + rows.size] = torch.from_numpy(labels)
        self._labels = self._labels.to(engine.device)

    def values(self, ids: Tensor) -> npt.NDArray[np.float64]:
        """Soft accuracy ``(E, K)`` with each of K batches ``(E, K, b)`` bought; none is bought."""
        judged = self._labels >= 0
        width = self._engine.options.pool_size
        judged[:, :width] &= ~self._engine.view.labelled

        def judge(logits: Tensor, tried: Tensor) -> Tensor:
            times = tried.shape[1]
            labels = self._labels.clamp_min(0).repeat_interleave(times, 0)
            right = torch.softmax(logits * SHARPNESS, 1).gather(1, labels[:, None])[:, 0]
            counted = judged.repeat_interleave(times, 0).scatter(1, tried.flatten(0, 1), False)
            return (right * counted).sum(1) / counted.sum(1)

        return self._engine.trial(ids, judge)
