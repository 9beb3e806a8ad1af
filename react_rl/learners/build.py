"""From settings to a learner: the one place that knows all kinds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.softmax import SoftmaxRegression, SoftmaxSettings

LearnerSettings = SoftmaxSettings | FineTuneSettings


def make_learner(
    settings: LearnerSettings | None,
    corpora: Sequence[Corpus],
    n_episodes: int,
    n_classes: int,
    n_columns: int,
    capacity: int,
    device: torch.device,
) -> SoftmaxRegression | FineTune:
    """Build the learner that ``settings`` describe; None is the softmax regression as it comes.

    Args:
        settings: Kind and settings.
        corpora: Whose rows will be learned from.
        n_episodes: E.
        n_classes: Largest number of classes C.
        n_columns: W, pool columns and dev columns together.
        capacity: Labelled rows to reserve room for.
        device: Where all state lives.

    Raises:
        ReActError: The model cannot be had or does not allow what the settings ask for.
    """
    if isinstance(settings, FineTuneSettings):
        return FineTune(corpora, n_episodes, n_classes, n_columns, capacity, settings, device)
    return SoftmaxRegression(n_episodes, n_classes, n_columns, capacity, settings, device)
