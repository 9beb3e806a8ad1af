"""How the words of a context meet those of a question: what the span scorer sees besides frozen states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.passages import Passages, word_borders

Floats = npt.NDArray[np.float32]

OVERLAPS: Final = (
    "in the question",
    "word before in the question",
    "word behind in the question",
    "question within 3 words",
    "question within 10 words",
    "question in the sentence",
    "the sentence with most of it",
    "punctuation",
    "behind punctuation",
    "before punctuation",
    "upper case",
    "number",
    "no answer",
)
"""What is noted of each word; the words of a question weigh as rare as they are in contexts."""

_ENDS: Final = frozenset(".!?;\u3002\uff01\uff1f\uff1b")


def overlaps(passages: Passages, questions: Sequence[str]) -> Floats:
    """Features of the words of every question's context ``(T, 13)``, "no answer" first in each row.

    Args:
        passages: The contexts.
        questions: N questions.
    """
    numbers: dict[str, int] = {}
    contexts = [
        np.array([numbers.setdefault(word.lower(), len(numbers)) for word in words], np.int64)
        for words in passages.words
    ]
    seen = np.zeros(len(numbers) + 1)
    for own in contexts:
        seen[np.unique(own)] += 1
    rarity = np.log((len(contexts) + 1) / np.maximum(seen, 1))
    shapes = [_shape(words) for words in passages.words]
    parts = []
    for text, context in zip(questions, passages.of.tolist(), strict=True):
        asked = {numbers.get(text[begin:end].lower(), -1) for begin, end in word_borders(text).tolist()}
        own = np.fromiter(asked - {-1}, np.int64)
        parts.append(_of_question(contexts[context], own, rarity, *shapes[context]))
    return np.concatenate(parts)


def _shape(words: Sequence[str]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Punctuation, upper case and number of each word ``(n, 3)``, and its sentence ``(n,)``."""
    marks = [(not word[0].isalnum(), word[0].isupper(), word[0].isdigit()) for word in words]
    ends = np.array([word in _ENDS for word in words])
    sentence = np.concatenate([[0], ends.cumsum()[:-1]]).astype(np.int64)
    return np.array(marks, np.float32), sentence


def _of_question(
    context: npt.NDArray[np.int64],
    asked: npt.NDArray[np.int64],
    rarity: npt.NDArray[np.float64],
    marks: Floats,
    sentence: npt.NDArray[np.int64],
) -> Floats:
    found = np.zeros((context.size + 1, len(OVERLAPS)), np.float32)
    found[0, -1] = 1.0
    whole = float(rarity[asked].sum())
    weight = np.where(np.isin(context, asked), rarity[context], 0.0) / max(whole, 1e-9)
    words = found[1:]
    words[:, 0] = weight > 0
    words[1:, 1], words[:-1, 2] = words[:-1, 0], words[1:, 0]
    sums = np.concatenate([[0.0], weight.cumsum()])
    place = np.arange(context.size)
    for column, reach in ((3, 3), (4, 10)):
        low, high = (place - reach).clip(min=0), (place + reach + 1).clip(max=context.size)
        words[:, column] = sums[high] - sums[low]
    # A word that is repeated in a sentence counts once.
    kinds, first = np.unique(sentence * rarity.size + context, return_index=True)
    shares = np.bincount(kinds // rarity.size, weight[first], minlength=int(sentence[-1]) + 1)
    words[:, 5] = shares[sentence]
    words[:, 6] = shares[sentence] >= max(float(shares.max()), 1e-9)
    words[:, 7], words[1:, 8], words[:-1, 9] = marks[:, 0], marks[:-1, 0], marks[1:, 0]
    words[0, 8] = words[-1, 9] = 1.0
    words[:, 10:12] = marks[:, 1:]
    found[0, 5] = shares.max()
    return found
