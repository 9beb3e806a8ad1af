"""Few-shot prompts: labelled rows stand before each text as demonstrations, their class's word in the gap.

Nothing is trained. Every purchase changes what the model reads, so pool and dev rows are read again in every
round: this is as slow as a transformer's pass over them.

Source: Brown et al. 2020, Language models are few-shot learners; for masked models Gao et al. 2021 (LM-BFF).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.cache import ArrayCache
from react_rl.learners.prompts.head import PromptHead
from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.verbaliser import Verbaliser
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase, Rows

_SHARE: Final = 2
"""Demonstrations take the room of a text divided by this at most."""


class DemonstratingPrompts(PromptHead):
    """E prompt learners whose labels are demonstrations; see ``PromptHead``."""

    def __init__(
        self,
        corpora: Sequence[Rows],
        labelled: LabelledRows,
        settings: PromptSettings,
        cache: ArrayCache | None = None,
    ) -> None:
        super().__init__(corpora, labelled, settings, cache)
        self._labelled = labelled
        self._reader = GapReader(settings, str(self.device))
        self._texts = [one.corpus.texts for one in corpora]
        names = [(one.corpus.label_names, one.corpus.name) for one in corpora]
        self._pieces = [
            [own[0] for own in Verbaliser.of(n, settings.words, c).pieces(self._reader.tokenizer, c)]
            for n, c in names
        ]
        self._pool = [torch.zeros(0, dtype=torch.int64)] * labelled.shape[0]

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns, and which of them are the pool. Mutates."""
        super().place(episode, corpus, rows, dev_targets)
        self._pool[episode] = torch.nonzero((rows >= 0) & (dev_targets < 0))[:, 0]

    def update(self, bought: Purchase) -> None:
        """Let the model read all columns of the given episodes again, with what was bought before them."""
        taught = bought.live.any(1).tolist()
        for episode in (e for e, any_ in zip(bought.episodes.tolist(), taught, strict=True) if any_):
            gaps = self._read_again(episode, self._columns[episode])
            self._make_even(episode, gaps)
            n_classes = self._words[episode].intercepts.numel()
            self.logits[episode, :n_classes] = self._words[episode].raw(gaps).T

    @torch.inference_mode()
    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Scores ``(E, C, T)`` of other rows, T for each episode, e.g. of a test split."""
        scores = self.logits.new_full((*self.logits.shape[:2], len(rows[0])), INVALID_LOGIT)
        for episode, own in enumerate(rows):
            found = self._words[episode].raw(self._read_again(episode, torch.from_numpy(own)))
            scores[episode, : found.shape[1]] = found.T
        return scores

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        super().load_state(state)
        for episode, used in enumerate(self._labelled.used):
            if used and bool(self._labelled.live[episode, :used].any()):
                self._make_even(episode, self._read_again(episode, self._columns[episode]))

    def _make_even(self, episode: int, gaps: Tensor) -> None:
        """Calibrate the words of an episode by its pool, as the model reads it now. Mutates."""
        data, settings = self._read[self._corpus[episode]], self.settings
        pool = gaps[self._pool[episode]]
        self._words[episode] = WordScores(data.words.weights, data.words.intercepts).adjusted(
            settings.calibration, settings.strength, data.content_free, pool
        )

    def _read_again(self, episode: int, rows: Tensor) -> Tensor:
        """Vectors ``(n, E)`` of the gaps of rows behind an episode's demonstrations."""
        texts = [self._texts[self._corpus[episode]][row] for row in rows.tolist()]
        chosen = self.demonstrations(episode)
        return torch.from_numpy(self._reader.vectors(texts, leads=self._leads(episode, chosen))).to(
            self.device
        )

    def demonstrations(self, episode: int) -> list[tuple[int, int]]:
        """Row and class of an episode's demonstrations: class by class in turn, each in order of purchase."""
        used = self._labelled.used[episode]
        live = self._labelled.live[episode, :used] > 0
        columns = self._labelled.columns[episode, :used][live]
        classes = self._labelled.onehot[episode, :, :used].argmax(0)[live].tolist()
        rows = self._columns[episode, columns].tolist()
        turn: dict[int, count[int]] = {}
        order = sorted(
            (next(turn.setdefault(c, count())), c, row) for row, c in zip(rows, classes, strict=True)
        )
        return [(row, c) for _, c, row in order[: self.settings.demonstrations]]

    def _leads(self, episode: int, chosen: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Tokens of as many demonstrations as fit, for each template."""
        corpus = self._corpus[episode]
        found = []
        for template in self._reader.templates:
            lead: list[int] = []
            room = template.room // _SHARE
            for row, c in chosen:
                own = template.demonstration(self._texts[corpus][row], self._pieces[corpus][c])
                if len(lead) + len(own) <= room:
                    lead += own
            found.append(lead)
        return found
