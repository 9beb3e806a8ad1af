"""Words ready for training, of sentences and of contexts behind a question; long ones become windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.data.passages import Passages
from react_rl.encoders.question_states import cut_contexts
from react_rl.encoders.shared_pieces import SharedPieces
from react_rl.encoders.token_states import Windows, cut_sentences
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.training.store import PieceStore, TextStore
from react_rl.tasks.protocol import Scored

_Rows = npt.NDArray[np.int64]


class WindowStore(PieceStore):
    """Rows of words, each word scored by its first piece; long rows are several examples, one for a window.

    Args:
        windows: Of N rows; a row id is a place in here.
        network: Whose lower layers are used.
        folder: See ``PieceStore``.
        kept: See ``PieceStore``.
    """

    def __init__(
        self, windows: Windows, network: Network, folder: Path | None = None, kept: bool = True
    ) -> None:
        super().__init__(windows.table, network, folder, kept)
        self._windows = windows

    def examples(self, rows: _Rows) -> _Rows:
        """Windows of rows, row after row."""
        first = self._windows.first[rows]
        counts = self._windows.first[rows + 1] - first
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        found: _Rows = np.repeat(first, counts) + within
        return found

    def n_vectors(self, examples: _Rows) -> _Rows:
        """Words that each window stands for."""
        found: _Rows = self._windows.words[examples + 1] - self._windows.words[examples]
        return found

    def present(self, rows: _Rows) -> _Rows:
        """The rows that there are."""
        found: _Rows = rows[rows >= 0]
        return found

    def n_vectors_of(self, rows: _Rows) -> _Rows:
        """Words of each row."""
        words, first = self._windows.words, self._windows.first
        found: _Rows = np.where(rows >= 0, words[first[rows + 1]] - words[first[rows]], 0)
        return found

    def rectangle(self, rows: Tensor) -> Texts:
        """The windows ``rows`` ``(B,)``, with the places of their words."""
        texts, examples = super().rectangle(rows), rows.numpy()
        counts = self.n_vectors(examples)
        place = np.arange(counts.max())
        word = np.minimum(self._windows.words[examples][:, None] + place, self._windows.places.size - 1)
        words = np.where(place < counts[:, None], self._windows.places[word], -1)
        return replace(texts, words=torch.from_numpy(words).to(texts.mask.device))


class SentenceStore(WindowStore):
    """Sentences whose words are scored.

    Args:
        sentences: N sentences of words.
        network: Whose tokenizer and lower layers are used.
        folder: See ``PieceStore``.
        kept: See ``PieceStore``.

    Raises:
        ReActError: The tokenizer does not know words.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[str]],
        network: Network,
        folder: Path | None = None,
        kept: bool = True,
    ) -> None:
        settings = network.settings
        windows = cut_sentences(sentences, network.tokenizer, settings.max_length, settings.model)
        super().__init__(windows, network, folder, kept)


class QuestionStore(WindowStore):
    """Contexts whose words are scored as borders of the answer to the question in front of them.

    In front of the words of a window is its mark, the first piece of all; under ``pooling: last`` it is the
    last one, because the first piece of a decoder has read nothing.

    Args:
        name: Name of the corpus, for messages.
        questions: N questions.
        passages: What they are about.
        network: Whose tokenizer and lower layers are used.
        folder: See ``PieceStore``.
        kept: See ``PieceStore``.

    Raises:
        ReActError: The tokenizer does not know words, or windows are too short for a question.
    """

    lead = 1

    def __init__(
        self,
        name: str,
        questions: Sequence[str],
        passages: Passages,
        network: Network,
        folder: Path | None = None,
        kept: bool = True,
    ) -> None:
        settings = network.settings
        windows = cut_contexts(
            name, questions, passages, network.tokenizer, settings.max_length, settings.model
        )
        super().__init__(windows, network, folder, kept)
        self._mark_last = settings.pooling == "last"
        repeated = np.diff(windows.places, prepend=-1) == 0
        repeated[windows.words[:-1][windows.words[:-1] < repeated.size]] = False  # windows share no piece
        self._shared = SharedPieces(repeated)

    @property
    def shares_pieces(self) -> bool:
        """See ``PieceStore.shares_pieces``."""
        return self._shared.present

    def repeated(self, rows: _Rows, column: _Rows, place: _Rows) -> npt.NDArray[np.bool_]:
        """See ``PieceStore.repeated``."""
        row = np.append(rows, -1)[column]
        word = np.where(row >= 0, self._before(np.maximum(row, 0)) + place, 0)
        found: npt.NDArray[np.bool_] = (row >= 0) & self._shared.repeated[word]
        return found

    def _before(self, rows: _Rows) -> _Rows:
        """Words, of all rows, in front of the first one of each row."""
        found: _Rows = self._windows.words[self._windows.first[rows]]
        return found

    def taught(self, rows: _Rows, told: Tensor) -> tuple[_Rows, Tensor]:
        """Windows, and for mark and words whether the answer begins (1) and ends (2) there, or cannot (4, 8).

        A border that is in another window, or nowhere, is at the mark; one inside a piece is at the piece's.
        """
        examples, spans = self.examples(rows), self._shared.widened(told.cpu().numpy(), self._before(rows))
        counts = self.n_vectors(examples)
        owner = np.repeat(np.arange(len(rows)), self._windows.first[rows + 1] - self._windows.first[rows])
        before = self._windows.words[examples] - self._windows.words[self._windows.first[rows[owner]]]
        targets = np.where(np.arange(1 + counts.max()) <= counts[:, None], 0, -1)
        if self._shared.present:
            window, place = np.nonzero(targets[:, 1:] == 0)
            word = self._windows.words[examples[window]] + place
            targets[window, place + 1] += 4 * self._shared.repeated[word] + 8 * self._shared.continued[word]
        for side, code in enumerate((1, 2)):
            place = spans[owner, side] - before  # words count from 1
            inside = (place > 0) & (place <= counts)
            targets[np.arange(len(examples)), np.where(inside, place, 0)] += code
        return examples, torch.from_numpy(targets).to(told.device)

    def rectangle(self, rows: Tensor) -> Texts:
        """The windows ``rows`` ``(B,)``, with the places of mark and words."""
        texts = super().rectangle(rows)
        assert texts.words is not None
        mark = torch.zeros_like(texts.words[:, :1])
        if self._mark_last:
            mark = texts.mask.sum(1, keepdim=True) - 1
        return replace(texts, words=torch.cat([mark, texts.words], 1))


def store_of(corpus: Corpus, scored: Scored, network: Network, folder: Path | None = None) -> PieceStore:
    """The store of a corpus whose texts or words are scored; see ``Head.scored``."""
    if scored == "words":
        return SentenceStore(corpus.tokens or (), network, folder)
    if scored == "answers":
        assert corpus.passages is not None, "a corpus of questions has passages"
        return QuestionStore(corpus.name, corpus.texts, corpus.passages, network, folder)
    return TextStore(corpus.texts, network, folder)
