"""What a policy met and did: its episodes are played, each choice is noted before the labels come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.agents.learned import LearnedStrategy
from react_rl.envs.batched import episode_streams
from react_rl.experiments.explain.subjects import Answer, Seen, Subject
from react_rl.experiments.run.episodes import one_thread
from react_rl.learners.recipes import Recipe
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import play
from react_rl.simulation.view import PoolView

PHASES: Final = ("early", "middle", "late")
"""Thirds of the budget."""

MOST_NUMBERS: Final = 1 << 26
"""Features that are kept (256 MiB); of longer studies every n-th choice of a corpus is kept."""


@dataclass(frozen=True)
class Situations:
    """S choices of a policy.

    Args:
        seen: What it looked at; the rows of narrower pools are padded with rows that are not free.
        answer: What it said.
        picked: ``(S, R)`` bool, rows of the batch that it bought.
        corpus: ``(S,)`` name of the corpus.
        seed: ``(S,)`` seed of the episode.
        spent: ``(S,)`` cost units spent before the choice.
        share: ``(S,)`` the same as a share of the budget.
    """

    seen: Seen
    answer: Answer
    picked: npt.NDArray[np.bool_]
    corpus: npt.NDArray[np.str_]
    seed: npt.NDArray[np.int64]
    spent: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """S."""
        return len(self.seed)

    @property
    def phase(self) -> npt.NDArray[np.int64]:
        """Place in ``PHASES`` of each choice ``(S,)``."""
        return np.minimum((self.share * len(PHASES) + 1e-9).astype(np.int64), len(PHASES) - 1)

    @property
    def corpora(self) -> list[str]:
        """Names of the corpora in the order in which they were played."""
        return list(dict.fromkeys(self.corpus.tolist()))

    def of(self, which: npt.NDArray[np.bool_]) -> Situations:
        """Some of the choices."""
        scores = None if self.answer.scores is None else self.answer.scores[which]
        return Situations(
            self.seen.of(which),
            Answer(scores, self.answer.decision[which]),
            self.picked[which],
            self.corpus[which],
            self.seed[which],
            self.spent[which],
            self.share[which],
        )


class _Watched:
    """A policy whose choices are written down as it makes them.

    Args:
        subject: The policy.
        seeds: Seed of each episode.
        corpus: Name of the corpus.
        every: Write down each round of this many.
    """

    def __init__(self, subject: Subject, seeds: Sequence[int], corpus: str, every: int) -> None:
        self._subject = subject
        self._seeds = np.asarray(seeds)
        self._corpus = corpus
        self._every = every
        self.notes: list[Situations] = []

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows. Mutates."""
        return self.choose(view, n)[0]

    def choose(self, view: PoolView, n: int) -> tuple[Tensor, Sequence[Recipe | None] | None]:
        """Choose as the policy does, and write down what it saw, said and picked. Mutates."""
        wanted = int(view.progress.rounds.max(initial=0)) % self._every == 0
        seen = self._subject.look(view) if wanted else None
        strategy, recipes = self._subject.strategy, None
        if isinstance(strategy, LearnedStrategy):
            ids, recipes = strategy.choose(view, n)
        else:
            ids = strategy.select(view, n)
        there = (view.n_available > 0).cpu().numpy()
        if seen is not None and there.any():
            self.notes.append(self._note(view, seen.of(there), ids.cpu().numpy()[there], there))
        return ids, recipes

    def _note(
        self, view: PoolView, seen: Seen, ids: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]
    ) -> Situations:
        picked = ((seen.ids[:, :, None] == ids[:, None, :]) & (ids[:, None, :] >= 0)).any(2)
        spent = view.progress.spent[there].copy()
        return Situations(
            seen,
            self._subject.answer(seen),
            picked & seen.free,
            np.full(len(spent), self._corpus),
            self._seeds[there],
            spent,
            spent / view.progress.budget,
        )


def collect(
    subject: Subject,
    corpora: Sequence[EncodedCorpus],
    seeds: Sequence[int],
    options: EpisodeOptions,
    metrics: Sequence[str],
    learner: LearnerSettings | None = None,
) -> Situations:
    """Play a policy on corpora and return its choices.

    Args:
        subject: The policy.
        corpora: The corpora.
        seeds: Seed k is the episode that a comparison plays under it.
        options: Sizes and budget.
        metrics: Dev metrics that the policy, its rewards or the learner look at.
        learner: Settings of the learner.

    Raises:
        ReActError: The episodes do not fit a corpus, or the learner lacks what the policy needs.
    """
    rounds = max(options.budget / options.batch_size, 1.0)
    numbers = len(corpora) * len(seeds) * rounds * options.pool_size * len(subject.features)
    notes: list[Situations] = []
    for corpus in corpora:
        engine = LabelingEngine([corpus], options, len(seeds), metrics, learner)
        watched = _Watched(subject, seeds, corpus.name, int(np.ceil(numbers / MOST_NUMBERS)))
        streams = [episode_streams(seed, corpus.name) for seed in seeds]
        with one_thread():
            engine.reset(streams, None, [0] * len(streams))
            for _ in play(engine, watched):
                pass
        notes += watched.notes
    return _joined(notes)


def _joined(notes: Sequence[Situations]) -> Situations:
    """The choices of all notes one after the other, padded to the widest."""
    width = max(note.picked.shape[1] for note in notes)
    scores = [note.answer.scores for note in notes]
    known = [_wider(one, width, -np.inf) for one in scores if one is not None]
    memory = [note.seen.memory for note in notes if note.seen.memory is not None]
    return Situations(
        Seen(
            np.concatenate([_wider(note.seen.rows, width, 0.0) for note in notes]),
            np.concatenate([_wider(note.seen.free, width, False) for note in notes]),
            np.concatenate([note.seen.numbers for note in notes]),
            np.concatenate([_wider(note.seen.ids, width, -1) for note in notes]),
            np.concatenate(memory) if memory else None,
        ),
        Answer(
            np.concatenate(known) if known else None,
            np.concatenate([note.answer.decision for note in notes]),
        ),
        np.concatenate([_wider(note.picked, width, False) for note in notes]),
        np.concatenate([note.corpus for note in notes]),
        np.concatenate([note.seed for note in notes]),
        np.concatenate([note.spent for note in notes]),
        np.concatenate([note.share for note in notes]),
    )


def _wider(array: npt.NDArray[np.generic], width: int, padding: float) -> npt.NDArray[np.generic]:
    """The same with ``width`` rows on axis 1."""
    gap = [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, gap, constant_values=padding) if width > array.shape[1] else array
