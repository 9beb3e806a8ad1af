"""What episodes of one task are played on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.drawn_options import DrawSettings, drawn_options, mean_price
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

    def drawn(self, draws: DrawSettings, groups: int) -> list[World]:
        """The same with the sizes of each of some groups of episodes.

        Raises:
            ReActError: Sizes that were drawn do not fit each other.
        """
        price = mean_price(one.corpus for one in self.corpora)
        return [replace(self, options=one) for one in drawn_options(draws, self.options, groups, price)]


def worlds_by_task(
    corpora: Sequence[EncodedCorpus],
    options: Callable[[str], EpisodeOptions],
    learner: Callable[[str], LearnerSettings | None],
) -> list[World]:
    """A world for each task of the corpora, in the order in which the tasks come.

    Args:
        corpora: The corpora.
        options: Episodes of a task, by its name.
        learner: Learner of a task, likewise.
    """
    tasks = dict.fromkeys(corpus.corpus.task for corpus in corpora)
    return [
        World([one for one in corpora if one.corpus.task == task], options(task), learner(task))
        for task in tasks
    ]
