"""Questions about made-up facts, written in code, and states of their words: nothing is downloaded."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.passages import NO_ANSWER
from react_rl.data.questions import Question, question_corpus
from react_rl.data.splits import DEFAULT_SHARES, Shares
from react_rl.data.synthetic import made_up_words, synthetic_generator, unit_rows
from react_rl.errors import ReActError

_RELATIONS: Final = 6
_VALUES: Final = 15
_NAMES: Final = 60
_COMMON: Final = 100
_FACTS: Final = 4
_NOISE: Final = 1.2


def synthetic_questions(
    n_rows: int = 400, unanswerable: float = 0.0, seed: int = 0, *, shares: Shares = DEFAULT_SHARES
) -> Corpus:
    """Write contexts of made-up facts and a question about each fact.

    A context states four relations of one name, each with a value of one to three words among common words; a
    question names relation and name, and the value is its answer.

    Args:
        n_rows: Number of questions, at least 40.
        unanswerable: Share of questions about a relation that the context does not state.
        seed: Decides words, contexts, questions and splits.
        shares: Shares of train, dev and test.

    Raises:
        ReActError: There are too few questions, or the share is not between 0 and 1.
    """
    if n_rows < 40 or not 0 <= unanswerable < 1:
        raise ReActError(
            f"{n_rows} synthetic questions, of which a share of {unanswerable} has no answer, cannot be "
            "written: take 40 or more, and a share of at least 0 and below 1."
        )
    rng = synthetic_generator(seed, "synthetic questions")
    words = made_up_words(_RELATIONS * (_VALUES + 1) + _NAMES + _COMMON, rng)
    relations, values = words[:_RELATIONS], words[_RELATIONS : _RELATIONS * (_VALUES + 1)]
    names, common = words[-_NAMES - _COMMON : -_COMMON], words[-_COMMON:]
    questions: list[Question] = []
    while len(questions) < n_rows:
        name, order = names[int(rng.integers(_NAMES))], rng.permutation(_RELATIONS)
        sentences, facts = [], []
        for relation in order[:_FACTS].tolist():
            own = rng.integers(_VALUES, size=int(rng.integers(1, 4))) + relation * _VALUES
            value = " ".join(values[word] for word in own.tolist())
            around = [
                [common[word] for word in rng.integers(_COMMON, size=int(rng.integers(0, 4)))]
                for _ in range(2)
            ]
            front = " ".join([*around[0], name, relations[relation], ""])
            sentences.append((front, value, " ".join(around[1])))
            facts.append(relation)
        context, begins = "", []
        for front, value, behind in sentences:
            begins.append(len(context) + len(front))
            context += f"{front}{value} {behind}".rstrip() + ". "
        for fact in range(_FACTS):
            never = bool(rng.random() < unanswerable)
            asked = int(rng.choice(order[_FACTS:])) if never else facts[fact]
            answers = () if never else ((sentences[fact][1], begins[fact]),)
            text = f"{relations[asked]} {name}?"
            row = len(questions) + 1
            questions.append(Question(f"question {row}", row, "", text, context.strip(), answers))
    corpus = question_corpus(
        [(None, "synthetic_questions", questions[:n_rows])],
        name="synthetic_questions",
        source=f"made in code with seed {seed}",
        shares=shares,
        seed=seed,
    )
    return corpus


def synthetic_answer_states(
    corpus: Corpus, dim: int = 24, seed: int = 0
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
    """Make states of the words of contexts and of questions: a stand-in for an encoder.

    Each first word of a question has a random direction. A word that some question's answer begins or ends
    with has the direction of that question, and of beginnings or ends; all have Gaussian noise.

    Args:
        corpus: A corpus of question answering.
        dim: Length D of the vectors, at least 2.
        seed: Decides directions and noise.

    Returns:
        ``(T, D)`` float16 of unit norm, "no answer" first in each row; ``(N, D)`` float32 of unit norm.
    """
    assert corpus.passages is not None, "a corpus of questions has passages"
    rng = synthetic_generator(seed, "synthetic answers")
    kinds = sorted({text.split()[0] for text in corpus.texts})
    directions = unit_rows(rng.standard_normal((len(kinds), dim)))
    begin, end, none = unit_rows(rng.standard_normal((3, dim)))
    asked = directions[[kinds.index(text.split()[0]) for text in corpus.texts]]
    spans: dict[int, list[tuple[int, int, int]]] = {}
    for row, (first, last) in enumerate(corpus.targets.tolist()):
        if (first, last) != NO_ANSWER:
            spans.setdefault(int(corpus.passages.of[row]), []).append((first, last, row))
    parts = []
    for context, length in zip(corpus.passages.of.tolist(), corpus.passages.lengths.tolist(), strict=True):
        own = np.zeros((length + 1, dim))
        own[0] = none
        for first, last, row in spans.get(context, []):
            own[first] += asked[row] + begin
            own[last] += asked[row] + end
        parts.append(own)
    states = np.concatenate(parts)
    scale = _NOISE / np.sqrt(dim)
    states = unit_rows(states + scale * rng.standard_normal(states.shape))
    questions = unit_rows(asked + scale / 2 * rng.standard_normal(asked.shape))
    return states.astype(np.float16), questions.astype(np.float32)
