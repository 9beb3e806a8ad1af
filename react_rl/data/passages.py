"""The contexts that questions are about, and their words. Reading files is in ``questions``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.word_counts import ALONE

_WORD: Final = re.compile(f"[{ALONE}]|[^\\W{ALONE}]+|[^\\w\\s]")
_CHARACTER: Final = re.compile(f"[{ALONE}]")

NO_ANSWER: Final = (0, 0)
"""Target of a question without an answer: words count from 1."""

LONGEST_ANSWER: Final = 40
"""Most words of an answer that a model gives; longer spans are not looked at."""


def word_borders(text: str) -> npt.NDArray[np.int64]:
    """First and last (exclusive) character of each word ``(n, 2)``.

    A word is a run of letters and digits, a Han character or kana, or a punctuation mark.
    """
    found = [match.span() for match in _WORD.finditer(text)]
    return np.array(found, np.int64).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Passages:
    """Contexts, which question is about which, and the given answers of N questions.

    Args:
        texts: The contexts, each once.
        of: ``(N,)`` int64, the context of each question.
        answers: Given answers of each question; none where it has no answer.
    """

    texts: tuple[str, ...]
    of: npt.NDArray[np.int64]
    answers: tuple[tuple[str, ...], ...]
    _scores: dict[tuple[int, int, int], tuple[float, float]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.of.flags.writeable = False

    def __repr__(self) -> str:
        """One line: how many."""
        return f"Passages({len(self.texts)} contexts of {len(self.of)} questions)"

    @cached_property
    def borders(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Borders of the words of each context; see ``word_borders``."""
        return tuple(word_borders(text) for text in self.texts)

    @cached_property
    def words(self) -> tuple[tuple[str, ...], ...]:
        """The words of each context."""
        return tuple(
            tuple(text[begin:end] for begin, end in own.tolist())
            for text, own in zip(self.texts, self.borders, strict=True)
        )

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Words of the context of each question ``(N,)``."""
        return np.array([len(own) for own in self.borders], np.int64)[self.of]

    @cached_property
    def has_unanswerable(self) -> bool:
        """Whether some question has no answer."""
        return not all(self.answers)

    @cached_property
    def pieces(self) -> Callable[[str], list[str]]:
        """How answers become words when they are judged: by character where most contexts are Chinese."""
        # Metrics need torch, which reading a corpus does not.
        from react_rl.metrics.answers import characters_of, words_of

        chinese = sum(len(_CHARACTER.findall(text)) for text in self.texts)
        return characters_of if 2 * chinese > sum(map(len, self.borders)) else words_of

    def answer(self, row: int, first: int, last: int) -> str:
        """The text of the answer from word ``first`` to word ``last`` of a question's context.

        Words count from 1; 0 is "there is no answer", an empty text.
        """
        if first < 1:
            return ""
        context = int(self.of[row])
        own = self.borders[context]
        return self.texts[context][int(own[first - 1, 0]) : int(own[last - 1, 1])]

    def score(self, row: int, first: int, last: int) -> tuple[float, float]:
        """Exact match and F1 of the answer from word ``first`` to ``last``; computed once for each."""
        from react_rl.metrics.answers import answer_scores

        key = (row, first, last)
        if key not in self._scores:
            found = answer_scores([self.answer(row, first, last)], [self.answers[row]], self.pieces)
            self._scores[key] = (found.exact, found.f1)
        return self._scores[key]

    def about(self, rows: Sequence[int]) -> Passages:
        """What some questions ``(n,)`` are about, repeated ones too, with their contexts each once."""
        contexts, of = np.unique(self.of[list(rows)], return_inverse=True)
        texts = tuple(self.texts[context] for context in contexts.tolist())
        return Passages(texts, of.astype(np.int64), tuple(self.answers[row] for row in rows))

    def contexts(self) -> list[str]:
        """The context of each question, as a text."""
        return [self.texts[context] for context in self.of.tolist()]


def span_of(borders: npt.NDArray[np.int64], begin: int, end: int) -> tuple[int, int]:
    """First and last word, counted from 1, that characters ``begin`` to ``end - 1`` touch.

    ``NO_ANSWER`` where they touch none.
    """
    first = int(np.searchsorted(borders[:, 1], begin, side="right"))
    last = int(np.searchsorted(borders[:, 0], end, side="left"))
    return (first + 1, last) if first < last else NO_ANSWER


def shares_of_context(passages: Passages, questions: Sequence[int]) -> npt.NDArray[np.float64]:
    """Words that each question costs: its own, and an even share of those of its context.

    Args:
        passages: The contexts.
        questions: Words of each question.
    """
    count = np.bincount(passages.of, minlength=len(passages.texts))
    return np.asarray(questions, np.float64) + passages.lengths / count[passages.of]
