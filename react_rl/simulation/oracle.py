"""The only door to a label: it charges the cost, may answer wrongly, and may abstain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.noise import Noise, noise_of
from react_rl.simulation.options import EpisodeOptions

ABSTAINED = -1
"""The answer of an oracle that charges for a row and gives no label."""


class Oracle:
    """Answers for E episodes, fixed for each row when the episode is drawn: asking twice changes nothing.

    Args:
        n_episodes: E.
        width: Largest pool size P.
        options: Noise, confusions and abstention rate.
        device: Where the answers are kept.
    """

    def __init__(self, n_episodes: int, width: int, options: EpisodeOptions, device: torch.device) -> None:
        self._options = options
        self._answers = torch.full((n_episodes, width), ABSTAINED, dtype=torch.int64, device=device)
        self._cost = torch.ones((n_episodes, width), dtype=torch.float64, device=device)
        self._noise: dict[int, Noise | None] = {}

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
            data = corpora[drawn.corpus].corpus
            answers = np.searchsorted(drawn.classes, data.targets[drawn.pool])
            if drawn.corpus not in self._noise:
                self._noise[drawn.corpus] = noise_of(corpora[drawn.corpus], self._options)
            noise = self._noise[drawn.corpus]
            if noise is not None:
                answers = noise.answer(drawn.pool, answers, drawn.classes, stream.oracle)
            if self._options.abstention > 0:
                silent = stream.oracle.random(answers.size) < self._options.abstention
                # The initial labelled set is what somebody already labelled.
                silent[np.searchsorted(drawn.pool, drawn.initial)] = False
                answers = np.where(silent, ABSTAINED, answers)
            self._answers[episode, : answers.size] = torch.from_numpy(answers)
            self._cost[episode, : answers.size] = torch.from_numpy(data.cost[drawn.pool])

    def answer(self, episodes: Tensor, columns: Tensor) -> Tensor:
        """Return the class index within the episode for pool columns ``(R, b)``, or ``ABSTAINED``."""
        everyone = episodes.numel() == self._answers.shape[0]
        answers = self._answers if everyone else self._answers[episodes]
        return answers.gather(1, columns)
