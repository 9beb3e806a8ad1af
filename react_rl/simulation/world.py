"""What episodes of one task are played on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.tasks.protocol import Task
from react_rl.tasks.registry import task_of


@dataclass(frozen=True)
class World:
    """Corpora of one task, and how episodes on them are played.

    Args:
        corpora: Encoded corpora; each episode draws one unless told.
        options: Sizes, budget and annotator of an episode.
        learner: Settings of the learner; None is the softmax regression as it comes.
    """

    corpora: Sequence[EncodedCorpus]
    options: EpisodeOptions
    learner: LearnerSettings | None = None

    @property
    def task(self) -> Task:
        """The task of the corpora.

        Raises:
            ReActError: They are of several.
        """
        return task_of([corpus.corpus for corpus in self.corpora])
