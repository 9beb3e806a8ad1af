"""Metrics of question answering, one number per episode: means of what ``answers`` says of each question."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.metrics.classification import Counts, Metric


def mean_score(scores: Tensor, valid: Tensor) -> Tensor:
    """Mean over questions ``(E,)`` of their scores ``(E, n)``, those that are ``valid``; NaN without any."""
    return torch.where(valid, scores, 0.0).sum(1) / valid.sum(1)


def _nothing(n_classes: Counts) -> Counts:
    """Who guesses spans evenly finds next to no answer."""
    return np.zeros_like(n_classes)


ANSWER_METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "answer_f1": Metric(mean_score, True, _nothing, 1.0),
        "exact_match": Metric(mean_score, True, _nothing, 1.0),
    }
)
"""Metrics of question answering by the name that configs use."""
