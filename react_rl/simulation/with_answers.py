"""Batches tried with their true answers: what references that look at labels are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.oracle import ABSTAINED
from react_rl.simulation.trials import Judge, Trials
from react_rl.tasks.protocol import Scores


def by_metric(engine: LabelingEngine, metric: str) -> Judge:
    """A judge that takes a metric of the dev rows."""

    def judge(scores: Scores, tried: Tensor) -> Tensor:
        own = (engine.pools.truth, engine.pools.class_mask)
        truth, mask = (array.repeat_interleave(tried.shape[1], 0) for array in own)
        return engine.task.judge([metric], scores, truth, mask)[metric]

    return judge


@torch.inference_mode()
def values_with_answers(
    engine: LabelingEngine, ids: Tensor, judge: Judge | None = None
) -> npt.NDArray[np.float64]:
    """Value ``(E, K)`` of the models that each of K batches ``(E, K, b)`` would bring; none is bought.

    Args:
        engine: The episodes.
        ids: Row ids, -1 for none.
        judge: What a model is worth, by its scores of the dev rows; None takes the first dev metric.

    Raises:
        ReActError: The learner cannot be copied.
    """
    columns = engine.pools.columns_of(ids.flatten(1))
    answers = engine.oracle.answer(torch.arange(engine.n_episodes, device=engine.device), columns)
    shape = answers.shape[2:]
    asked = (ids >= 0).view(*ids.shape, *[1] * len(shape))
    answers = torch.where(asked, answers.view(*ids.shape, *shape), ABSTAINED)
    trials = Trials(engine.task, engine.learner, engine.ledger, engine.geometry)
    judge = judge or by_metric(engine, engine.metrics[0])
    return trials.values(columns.view(ids.shape), answers, judge, slice(engine.pools.width, None))
