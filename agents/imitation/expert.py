"""The look-ahead expert: how much better a model would be with one more row, tried on copies of the learner.

It knows the labels of candidates and dev rows of the training task, and never sees a test row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.with_answers import values_with_answers

SHARPNESS: Final = 10.0
"""Factor on the logits of soft accuracies: a regularised head is less sure than it is right."""


class LookAhead:
    """Values of models by soft accuracy: the mean probability that they give to the right class.

    Soft accuracy is taken at temperature 1/10 on the dev rows. Accuracy has a step where soft accuracy has a
    slope, and one row moves it by less than its noise. Rows of the pool are not judged: a row that covers
    many rows of the pool at hand would be praised for more than it brings elsewhere.

    Args:
        engine: Episodes that have begun.
    """

    def __init__(self, engine: LabelingEngine) -> None:
        self._engine = engine
        self._labels = torch.full((engine.n_episodes, engine.options.dev_size), -1)
        for episode in range(engine.n_episodes):
            draw, targets = engine.draw_of(episode), engine.corpus_of(episode).corpus.targets
            labels = np.searchsorted(draw.classes, targets[draw.dev])
            self._labels[episode, : labels.size] = torch.from_numpy(labels)
        self._labels = self._labels.to(engine.device)

    def values(self, ids: Tensor) -> npt.NDArray[np.float64]:
        """Soft accuracy ``(E, K)`` with each of K batches ``(E, K, b)`` bought; none is bought."""
        width = self._engine.options.pool_size

        def judge(logits: Tensor, tried: Tensor) -> Tensor:
            labels = self._labels.repeat_interleave(tried.shape[1], 0)
            chances = torch.softmax(logits[:, :, width:] * SHARPNESS, 1)
            right = chances.gather(1, labels.clamp_min(0)[:, None])[:, 0]
            judged = labels >= 0
            return (right * judged).sum(1) / judged.sum(1)

        return values_with_answers(self._engine, ids, judge)
