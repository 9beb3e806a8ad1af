"""The only door to a label: it charges the cost, may answer wrongly, and may abstain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.tasks.classification import Classification
from react_rl.tasks.protocol import Annotator, Task

ABSTAINED = -1
"""The answer of an oracle that charges for a row and gives no label."""


class Oracle:
    """Answers for E episodes, fixed for each row when the episode is drawn: asking twice changes nothing.

    Args:
        n_episodes: E.
        width: Largest pool size P.
        options: Noise, confusions and abstention rate.
        device: Where the answers are kept.
        task: What an answer is.
        shape: Shape of an answer.
    """

    def __init__(
        self,
        n_episodes: int,
        width: int,
        options: EpisodeOptions,
        device: torch.device,
        task: Task | None = None,
        shape: tuple[int, ...] = (),
    ) -> None:
        self._options = options
        self._task: Task = Classification() if task is None else task
        self.shape = shape
        self._answers = torch.full((n_episodes, width, *shape), ABSTAINED, dtype=torch.int64, device=device)
        self._cost = torch.ones((n_episodes, width), dtype=torch.float64, device=device)
        self._annotators: dict[int, Annotator | None] = {}

    @property
    def cost(self) -> Tensor:
        """Price of each pool row, ``(E, P)`` float64 cost units; known before buying."""
        return self._cost

    def draw(
        self,
        episodes: Sequence[int],
        draws: Sequence[Draw],
        corpora: Sequence[EncodedCorpus],
        streams: Sequence[Streams],
    ) -> None:
        """Fix the answers of newly drawn episodes, in place.

        Every row of a pool has its answer before any is asked for, so that every strategy hears the same.

        Raises:
            ReActError: The noise does not fit a corpus.
        """
        for episode, drawn, stream in zip(episodes, draws, streams, strict=True):
            encoded = corpora[drawn.corpus]
            data, size = encoded.corpus, drawn.pool.size
            answers = self._task.targets(data, drawn.pool, drawn.classes, self.shape)
            if drawn.corpus not in self._annotators:
                found = self._task.annotator(data, encoded.embeddings, self._options)
                self._annotators[drawn.corpus] = found
            annotator = self._annotators[drawn.corpus]
            if annotator is not None:
                answers = annotator.answer(drawn.pool, answers, drawn.classes, stream.oracle)
            if self._options.abstention > 0:
                silent = stream.oracle.random(size) < self._options.abstention
                # The initial labelled set is what somebody already labelled.
                silent[np.searchsorted(drawn.pool, drawn.initial)] = False
                answers = answers.copy()
                answers[silent] = ABSTAINED
            self._answers[episode, :size] = torch.from_numpy(answers)
            self._cost[episode, :size] = torch.from_numpy(data.cost[drawn.pool])

    def answer(self, episodes: Tensor, columns: Tensor) -> Tensor:
        """Return the targets for pool columns ``(R, b)``, ``(R, b, ...)``; ``ABSTAINED`` where none is given.

        A class is answered as its position among those of the episode.
        """
        everyone = episodes.numel() == self._answers.shape[0]
        answers = self._answers if everyone else self._answers[episodes]
        if not self.shape:
            return answers.gather(1, columns)
        return answers[torch.arange(len(columns), device=columns.device)[:, None], columns]
