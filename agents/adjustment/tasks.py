"""Tasks that a search plays: corpora under their own labels, fewer, invented ones, or with gathered rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.imitation.collection import DEALT
from react_rl.errors import ReActError
from react_rl.seeding import entropy_of
from react_rl.simulation.drawn_options import draw_sizes
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.generated import gathered_corpus, generated_task
from react_rl.simulation.options import EpisodeOptions

_GATHERINGS: Final = 12
"""Corpora with gathered rows at most: each has embeddings and inner products of its own."""

_STRATA: Final = (8, 32)
"""Most classes of tasks with few, and with some."""


class TaskBank:
    """Tasks made once, from which groups of episodes draw.

    Args:
        bases: Training corpora (see ``dealing``).
        settings: How many tasks, and of which kinds.
        word: Banks of other words hold other tasks, over the same train and dev rows.
    """

    def __init__(
        self, bases: Sequence[EncodedCorpus], settings: AdjustmentSettings, word: str = "tasks"
    ) -> None:
        rng = generator(settings.seed, word)
        kinds, shares = list(settings.kinds), np.array(list(settings.kinds.values()), dtype=np.float64)
        if shares.sum() <= 0:
            raise ReActError(f"adjustment.kinds {settings.kinds} leaves no task; give one a share above 0.")
        gatherings: list[EncodedCorpus] = []
        self.tasks: list[EncodedCorpus] = []
        order = rng.permutation(len(bases))
        for number in range(settings.tasks):
            base = bases[order[number % len(bases)]]
            kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
            seed = int(rng.integers(2**40))
            if kind == "gathered":
                if len(gatherings) < _GATHERINGS:
                    gatherings.append(gathered_corpus(base, seed))
                base = gatherings[seed % len(gatherings)]
                kind = "dealt" if rng.random() < DEALT else "any"
            self.tasks.append(base if kind == "own" else generated_task(base, seed, kind))

    def that_fit(self, options: EpisodeOptions) -> list[EncodedCorpus]:
        """The tasks that are large enough for episodes of these sizes.

        Raises:
            ReActError: None is.
        """
        fitting = [
            task
            for task in self.tasks
            if len(task.corpus.ids("train")) >= options.pool_size
            and len(task.corpus.ids("dev")) >= options.dev_size
        ]
        if not fitting:
            raise ReActError(
                f"No task has {options.pool_size} train and {options.dev_size} dev rows; make "
                "adjustment.pool_sizes or episode.dev_size smaller."
            )
        return fitting


@dataclass(frozen=True)
class Group:
    """Episodes that are played side by side.

    Args:
        tasks: One for each episode.
        seeds: One for each episode.
        options: Sizes of all of them.
    """

    tasks: list[EncodedCorpus]
    seeds: list[int]
    options: EpisodeOptions


def draw_group(
    bank: TaskBank,
    episode: EpisodeOptions,
    settings: AdjustmentSettings,
    batch: int,
    rng: np.random.Generator,
) -> Group:
    """Draw the tasks and sizes of one group of ``settings.pairs`` episodes.

    Its tasks have about as many classes as the first one drawn: episodes side by side take as long as if each
    had the classes of all.

    Args:
        bank: The tasks.
        episode: Size of the dev set, and the annotator.
        settings: What is drawn.
        batch: Rows of a round.
        rng: Draws.
    """
    options = draw_sizes(settings, episode, batch, rng)
    fitting = bank.that_fit(options)
    first = fitting[int(rng.integers(len(fitting)))]
    alike = [task for task in fitting if _stratum(task) == _stratum(first)]
    many = -(-settings.pairs // settings.seeds_per_task)
    chosen = [first, *(alike[int(place)] for place in rng.integers(len(alike), size=many - 1))]
    tasks = [task for task in chosen for _ in range(settings.seeds_per_task)][: settings.pairs]
    return Group(tasks, rng.integers(2**62, size=len(tasks)).tolist(), options)


def _stratum(task: EncodedCorpus) -> int:
    """Which tasks a task is played beside."""
    return int(np.searchsorted(_STRATA, task.corpus.n_classes))


def generator(seed: int, *words: str) -> np.random.Generator:
    """A generator that follows from a seed and words."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "search", *words))))
