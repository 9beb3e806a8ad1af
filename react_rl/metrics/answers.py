"""Exact match and F1 of answers to questions about a text, as the official SQuAD scripts define them.

Source: Rajpurkar et al. 2016 (SQuAD 1.1) and 2018 (SQuAD 2.0, questions without an answer). Chinese answers
are split into characters as in Cui et al. 2019 (CMRC 2018). Where an answer has no word left after
normalisation the script of SQuAD 2.0 decides (F1 1 where both have none); that of 1.1 says 0.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from react_rl.errors import ReActError

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class AnswerScores:
    """Means over questions, between 0 and 1.

    Args:
        exact: Share of questions whose answer is one of the given ones, after normalisation.
        f1: Mean overlap of words with the best of the given answers.
        questions: Number of questions.
    """

    exact: float
    f1: float
    questions: int


def normalise(answer: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single blanks."""
    bare = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def words_of(answer: str) -> list[str]:
    """The words of an answer after normalisation."""
    return normalise(answer).split()


def characters_of(answer: str) -> list[str]:
    """The pieces of a Chinese answer: Han characters alone, Latin words and numbers whole, no punctuation."""
    pieces: list[str] = []
    word = ""
    for character in answer.lower():
        if unicodedata.category(character).startswith(("P", "S", "Z", "C")):
            pieces, word = [*pieces, *([word] if word else [])], ""
        elif "\u4e00" <= character <= "\u9fff":
            pieces, word = [*pieces, *([word] if word else []), character], ""
        else:
            word += character
    return [*pieces, *([word] if word else [])]


def exact_match(answer: str, given: Sequence[str]) -> float:
    """1 where the answer equals one of the given ones after normalisation, else 0.

    No given answer means that the question has none: then the empty answer is right.
    """
    return float(any(normalise(answer) == normalise(own) for own in given or ("",)))


def overlap_f1(answer: str, given: Sequence[str], pieces: Callable[[str], list[str]] = words_of) -> float:
    """Largest F1 of the answer's words with those of a given answer.

    Args:
        answer: What was answered; empty for "there is no answer".
        given: The right answers; none means that the question has no answer.
        pieces: How an answer becomes words.
    """
    return max(_overlap(pieces(answer), pieces(own)) for own in given or ("",))


def _overlap(own: list[str], right: list[str]) -> float:
    if not own or not right:  # no words on one side: right only if none on both
        return float(own == right)
    common = sum((Counter(own) & Counter(right)).values())
    return 2 * common / (len(own) + len(right))


def answer_scores(
    answers: Sequence[str],
    given: Sequence[Sequence[str]],
    pieces: Callable[[str], list[str]] = words_of,
) -> AnswerScores:
    """Score one answer for each question.

    Raises:
        ReActError: Answers and questions differ in number, or there is no question.
    """
    if len(answers) != len(given) or not answers:
        raise ReActError(
            f"{len(answers)} answers for {len(given)} questions; give one for each of at least one."
        )
    pairs = list(zip(answers, given, strict=True))
    exact = sum(
        exact_match(answer, own) if pieces is words_of else _same(answer, own, pieces)
        for answer, own in pairs
    )
    overlap = sum(overlap_f1(answer, own, pieces) for answer, own in pairs)
    return AnswerScores(exact / len(pairs), overlap / len(pairs), len(pairs))


def _same(answer: str, given: Sequence[str], pieces: Callable[[str], list[str]]) -> float:
    return float(any(pieces(answer) == pieces(own) for own in given or ("",)))
