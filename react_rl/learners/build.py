"""From settings to a learner: the one place that knows all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.mlp import MlpHead
from react_rl.learners.mlp_training import MlpSettings
from react_rl.learners.softmax import SoftmaxRegression, SoftmaxSettings

if TYPE_CHECKING:
    from react_rl.simulation.encoded import EncodedCorpus

LearnerSettings = SoftmaxSettings | MlpSettings | FineTuneSettings
AnyLearner = SoftmaxRegression | MlpHead | FineTune


def make_learner(
    settings: LearnerSettings | None,
    corpora: Sequence[EncodedCorpus],
    n_episodes: int,
    n_classes: int,
    n_columns: int,
    capacity: int,
) -> AnyLearner:
    """Build the learner that ``settings`` describe; None is the softmax regression as it comes.

    Args:
        settings: Kind and settings.
        corpora: Whose rows will be learned from; all state lives on their device.
        n_episodes: E.
        n_classes: Largest number of classes C.
        n_columns: W, pool columns and dev columns together.
        capacity: Labelled rows to reserve room for.

    Raises:
        ReActError: The model cannot be had or does not allow what the settings ask for.
    """
    sizes, device = (n_episodes, n_classes, n_columns, capacity), corpora[0].device
    if isinstance(settings, FineTuneSettings):
        return FineTune([encoded.corpus for encoded in corpora], *sizes, settings, device)
    if isinstance(settings, MlpSettings):
        return MlpHead([encoded.embeddings for encoded in corpora], *sizes, settings)
    return SoftmaxRegression(*sizes, settings, device)
