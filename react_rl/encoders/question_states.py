"""Frozen states of the words of contexts, each read together with the question about it.

A context that does not fit behind its question is cut into overlapping windows, the question in front of
each; nothing is dropped. How windows are cut is in ``token_states``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.data.passages import Passages
from react_rl.encoders.batches import TokenTable, batches, table_of
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.token_states import (
    TokenStates,
    Windows,
    log_windows,
    marks_around,
    unknown_piece,
    windows_of,
)
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest

_CHUNK: Final = 512
"""Contexts per call of the tokenizer."""


@dataclass(frozen=True)
class _Frame:
    """A question in front of a part of its context, marks of the model around them.

    Args:
        pieces: Token ids as bytes of int32.
        words: States of the row that are taken from here: 0 is the mark in front, words count from 1.
        places: Place of the piece of each.
        row: Which question.
        question: First and last (exclusive) place of the question's pieces.
    """

    pieces: bytes
    words: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    row: int
    question: tuple[int, int]


@dataclass(frozen=True)
class _Marks:
    """Special tokens in front of, between and behind a pair of texts."""

    before: list[int]
    between: list[int]
    behind: list[int]


def _marks(tokenizer: Any) -> _Marks:
    first = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a", "a")["input_ids"]
    n = len(first)
    places = [at for at in range(len(whole) - n + 1) if whole[at : at + n] == first]
    own, other = (places[0], places[-1]) if places else (0, 0)
    if other < own + n + 1:  # the tokenizer has nothing for pairs: its marks around a text will do
        before, behind = marks_around(tokenizer)
        return _Marks(before, behind, behind)
    return _Marks(list(whole[:own]), list(whole[own + n : other]), list(whole[other + n :]))


def encode_questions(
    name: str,
    questions: Sequence[str],
    passages: Passages,
    encoder: TextEncoder,
    cache: ArrayCache | None = None,
    progress: bool = True,
) -> tuple[TokenStates, npt.NDArray[np.float32]]:
    """States of the words of each question's context, and of the question; from the cache if they are in it.

    A word has the state of the piece that its first character is in, which several Han characters may share.

    Args:
        name: Name of the corpus, for messages.
        questions: N questions.
        passages: What they are about.
        encoder: A frozen transformer; its pooling and normalisation do not matter.
        cache: Where to look and store; None for neither.
        progress: Show a bar on a terminal when the work lasts.

    Returns:
        States with that of the mark in front of everything first in each row, the words after it; and
        ``(N, D)`` unit-norm means of the questions' own pieces, which have seen the first window.

    Raises:
        ReActError: The model cannot be had, or its tokenizer is slow.
    """

    def compute() -> dict[str, npt.NDArray[Any]]:
        return _compute(name, questions, passages, encoder, progress)

    if cache is None:
        found = compute()
    else:
        content = canonical_json([list(questions), passages.contexts()])
        key = digest("question states", canonical_json(encoder.fingerprint()), content)
        meta = {"kind": "question states", "corpus": name, "model": encoder.settings.model}
        found = cache.cached(key, compute, meta)
    windowed = int(found["windowed"][0])
    log_windows(name, windowed, "questions with their contexts", encoder)
    return TokenStates(found["states"], _starts(passages), windowed), found["questions"]


def _starts(passages: Passages) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(passages.lengths + 1)]).astype(np.int64)


@dataclass(frozen=True)
class _Context:
    """Pieces of a context, the pieces at which words begin, and the place of each word among these."""

    pieces: list[int]
    heads: npt.NDArray[np.int64]
    of_word: npt.NDArray[np.int64]


def _contexts(passages: Passages, tokenizer: Any, model: str) -> list[_Context]:
    unknown = unknown_piece(tokenizer, model)
    found = []
    for start in range(0, len(passages.texts), _CHUNK):
        texts = list(passages.texts[start : start + _CHUNK])
        told = tokenizer(
            texts, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        for offset, borders in enumerate(passages.borders[start : start + _CHUNK]):
            pieces = list(told["input_ids"][offset]) or [unknown]
            begins = np.array([begin for begin, _ in told["offset_mapping"][offset]] or [0], np.int64)
            own = np.searchsorted(np.maximum.accumulate(begins), borders[:, 0], side="right") - 1
            heads, of_word = np.unique(own.clip(min=0), return_inverse=True)
            found.append(_Context(pieces, heads.astype(np.int64), of_word.astype(np.int64)))
    return found


def cut_contexts(
    name: str, questions: Sequence[str], passages: Passages, tokenizer: Any, room: int, model: str
) -> Windows:
    """Cut contexts into windows that a model can read behind their question, most of them into one.

    Args:
        name: Name of the corpus, for messages.
        questions: N questions.
        passages: What they are about.
        tokenizer: A fast tokenizer of transformers.
        room: Most pieces of question, window and marks together.
        model: Name of the model, for messages.

    Raises:
        ReActError: The tokenizer does not know words, or there is no room for them.
    """
    frames = list(_frames(name, questions, passages, tokenizer, room, model))
    words = [frame.places[frame.words > 0] for frame in frames]
    several = np.bincount([frame.row for frame in frames], minlength=len(questions))
    return Windows(
        table_of([frame.pieces for frame in frames]),
        np.concatenate([[0], np.cumsum(several)]).astype(np.int64),
        np.concatenate([[0], np.cumsum([len(own) for own in words])]).astype(np.int64),
        np.concatenate(words).astype(np.int64),
    )


def _frames(
    name: str, questions: Sequence[str], passages: Passages, tokenizer: Any, room: int, model: str
) -> Iterator[_Frame]:
    contexts, marks = _contexts(passages, tokenizer, model), _marks(tokenizer)
    taken = len(marks.before) + len(marks.between) + len(marks.behind)
    if room < taken + 2:
        raise ReActError(
            f"A max_length of {room} has no room for a question and a word of its context beside the marks "
            f"of {model!r}; it must be {taken + 2} at least."
        )
    room -= taken
    asked = tokenizer(list(questions), add_special_tokens=False, verbose=False)["input_ids"]
    cut = 0
    for row, question in enumerate(asked):
        cut += len(question) > room // 2
        front = [*marks.before, *question[: room // 2], *marks.between]
        asks = (len(marks.before), len(front) - len(marks.between))
        own = contexts[passages.of[row]]
        for low, high, first, last in windows_of(own.heads, len(own.pieces), room - (asks[1] - asks[0])):
            pieces = np.asarray([*front, *own.pieces[low:high], *marks.behind], np.int32).tobytes()
            begin, end = np.searchsorted(own.of_word, (first, last))
            words = np.arange(begin, end) + 1
            places = own.heads[own.of_word[begin:end]] - low + len(front)
            if first == 0:  # the mark in front of everything is the row's first state
                words, places = np.append(0, words), np.append(0, places)
            yield _Frame(pieces, words, places, row, asks)
    if cut:
        warnings.warn(
            f"{cut} questions of corpus {name!r} have more than {room // 2} pieces, half of what {model!r} "
            "reads, and were cut there; raise max_length of the encoder or of learner.finetune if it allows.",
            stacklevel=2,
        )


def _compute(
    name: str, questions: Sequence[str], passages: Passages, encoder: TextEncoder, progress: bool
) -> dict[str, npt.NDArray[Any]]:
    settings = encoder.settings
    frames = list(_frames(name, questions, passages, encoder.tokenizer, settings.max_length, settings.model))
    starts = _starts(passages)
    distinct = sorted({frame.pieces for frame in frames}, key=lambda key: (-len(key), key))
    place = {pieces: row for row, pieces in enumerate(distinct)}
    takers: list[list[_Frame]] = [[] for _ in distinct]
    for frame in frames:
        takers[place[frame.pieces]].append(frame)
    table = TokenTable(tuple(distinct), np.arange(len(distinct)))
    states = np.zeros((int(starts[-1]), encoder.dimension), np.float16)
    asked = np.zeros((len(questions), encoder.dimension), np.float32)
    unit = torch.nn.functional.normalize
    with progress_bar("Encoding questions", int(table.lengths.sum()), progress) as advance:
        for batch, hidden in encoder.hidden_states(batches(table, encoder.batch_tokens, encoder.padding)):
            found = hidden.float()
            words = unit(found, dim=2).half().cpu().numpy()
            for line, row in enumerate(batch.rows.tolist()):
                for frame in takers[row]:
                    begin, end = frame.question
                    states[starts[frame.row] + frame.words] = words[line, frame.places]
                    if frame.words[0] == 0:
                        mean = found[line, begin:end].mean(0) if end > begin else found[line, 0]
                        asked[frame.row] = unit(mean, dim=0).cpu().numpy()
            advance(int(batch.mask.sum()))
    several = np.bincount([frame.row for frame in frames], minlength=len(questions)) > 1
    return {"states": states, "questions": asked, "windowed": np.array([int(several.sum())])}
