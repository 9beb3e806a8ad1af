"""The look-ahead expert: how much better a model would be with one more row, tried on copies of the learner.

It knows the labels of candidates and dev rows of the training task, and never sees a test row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.with_answers import values_with_answers
from react_rl.tasks.protocol import Scores


class LookAhead:
    """Values of models by the soft score of their task (``Task.soft_score``) on the dev rows.

    Rows of the pool are not judged: a row that covers many rows of the pool at hand would be praised for more
    than it brings elsewhere.

    Args:
        engine: Episodes that have begun.
    """

    def __init__(self, engine: LabelingEngine) -> None:
        self._engine = engine

    def values(self, ids: Tensor) -> npt.NDArray[np.float64]:
        """Soft score ``(E, K)`` with each of K batches ``(E, K, b)`` bought; none is bought."""
        engine = self._engine

        def judge(scores: Scores, _: Tensor) -> Tensor:
            return engine.task.soft_score(scores, engine.pools.truth)

        return values_with_answers(engine, ids, judge)
