"""Frozen hidden states of the words of tokenised sentences: the first piece of a word stands for it.

Sentences that are longer than the model reads are cut into overlapping windows; nothing is dropped. Each
word's state comes from the window in which it is farthest from an end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from react_rl.encoders.batches import TokenTable, batches, table_of
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest

_CHUNK: Final = 2048
"""Sentences per call of the tokenizer."""

_OVERLAP: Final = 4
"""Neighbouring windows share a window's length divided by this."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TokenStates:
    """States of all words of N sentences, one behind the other.

    Args:
        states: ``(T, D)`` float16, unit norm.
        starts: ``(N + 1,)`` int64: the words of sentence i are ``starts[i]`` to ``starts[i + 1] - 1``.
        windowed: Sentences that were cut into windows.
    """

    states: npt.NDArray[np.float16]
    starts: npt.NDArray[np.int64]
    windowed: int
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What depends on the states and on what ``name`` says, computed once. Mutates."""
        if name not in self._kept:
            self._kept[name] = compute()
        found: T = self._kept[name]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be computed again."""
        return self.__dict__ | {"_kept": {}}

    def of(self, row: int) -> npt.NDArray[np.float16]:
        """States of one sentence ``(n, D)``."""
        return self.states[self.starts[row] : self.starts[row + 1]]


@dataclass(frozen=True, eq=False)
class Windows:
    """N sentences of T words in all, cut into M windows that a model can read.

    Args:
        table: Pieces of the windows, marks of the model around them.
        first: ``(N + 1,)`` int64: sentence i has the windows ``first[i]`` to ``first[i + 1] - 1``.
        words: ``(M + 1,)`` int64: window m stands for words ``words[m]`` to ``words[m + 1] - 1`` of the T.
        places: ``(T,)`` int64 place of the first piece of each word in its window.
    """

    table: TokenTable
    first: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @property
    def cut(self) -> int:
        """Sentences that have more than one window."""
        return int((np.diff(self.first) > 1).sum())


def windows_of(heads: npt.NDArray[np.int64], n_pieces: int, room: int) -> list[tuple[int, int, int, int]]:
    """Cut the pieces of a sentence into windows at word borders.

    Args:
        heads: ``(n,)`` place of the first piece of each word, ascending, the first at 0.
        n_pieces: Pieces of the sentence.
        room: Most pieces of a window; a word of more is cut.

    Returns:
        First and last (exclusive) piece of each window, and the first and last (exclusive) word that takes
        its state from it. Every word is in exactly one of these ranges.
    """
    if n_pieces <= room:
        return [(0, n_pieces, 0, heads.size)]
    ends = np.append(heads[1:], n_pieces)
    spans, first = [], 0
    while True:
        begin = int(heads[first])
        fitting = int(np.searchsorted(ends, begin + room, side="right"))
        last = max(fitting, first + 1)  # exclusive; a word that alone is too long is cut
        spans.append((first, last))
        if last >= heads.size:
            break
        back = int(np.searchsorted(heads, int(heads[last]) - room // _OVERLAP, side="left"))
        first = min(max(back, first + 1), last)
        if int(ends[last]) > int(heads[first]) + room:
            first = last  # the next word would not fit behind what is shared
    # The border between two windows is the middle of what they share.
    borders = [0, *((own[1] + other[0] + 1) // 2 for own, other in pairwise(spans)), heads.size]
    return [
        (int(heads[first]), min(int(ends[last - 1]), int(heads[first]) + room), low, high)
        for (first, last), (low, high) in zip(spans, pairwise(borders), strict=True)
    ]


def cut_sentences(sentences: Sequence[Sequence[str]], tokenizer: Any, room: int, model: str) -> Windows:
    """Cut sentences into windows of pieces, most of them into one.

    Args:
        sentences: N sentences of at least one word each.
        tokenizer: A fast tokenizer of transformers.
        room: Most pieces of a window, the model's marks included.
        model: Name of the model, for messages.

    Raises:
        ReActError: The tokenizer does not know words.
    """
    unknown = unknown_piece(tokenizer, model)
    before, behind = marks_around(tokenizer)
    room -= len(before) + len(behind)
    keys: list[bytes] = []
    first, counts, places = [0], [], []
    for start in range(0, len(sentences), _CHUNK):
        chunk = [list(words) for words in sentences[start : start + _CHUNK]]
        encoded = tokenizer(chunk, is_split_into_words=True, add_special_tokens=False, verbose=False)
        for offset, words in enumerate(chunk):
            ids, heads = _with_every_word(
                encoded["input_ids"][offset], encoded.word_ids(offset), len(words), unknown
            )
            for low, high, begin, end in windows_of(heads, len(ids), room):
                keys.append(np.asarray([*before, *ids[low:high], *behind], np.int32).tobytes())
                counts.append(end - begin)
                places.append(heads[begin:end] - low + len(before))
            first.append(len(keys))
    return Windows(
        table_of(keys),
        np.asarray(first, np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate(places).astype(np.int64),
    )


def unknown_piece(tokenizer: Any, model: str) -> int:
    """The piece that stands for a word which a tokenizer drops.

    Raises:
        ReActError: The tokenizer does not say which word a piece belongs to.
    """
    if not tokenizer.is_fast:
        raise ReActError(
            f"The tokenizer of {model!r} does not say which word a piece belongs to; "
            "choose a model with a fast tokenizer (a tokenizer.json)."
        )
    return int(tokenizer.pad_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id)


def marks_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Special tokens in front of a text and behind it."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return list(whole[:start]), list(whole[start + len(bare) :])
    return [], []


def _with_every_word(
    ids: Sequence[int], owners: Sequence[int | None], n_words: int, unknown: int
) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Pieces and the place of each word's first; words that the tokenizer dropped get the unknown piece."""
    pieces: list[int] = []
    heads = np.zeros(n_words, np.int64)
    at = 0
    for word in range(n_words):
        heads[word] = len(pieces)
        begun = at
        while at < len(ids) and owners[at] == word:
            pieces.append(int(ids[at]))
            at += 1
        if at == begun:
            pieces.append(unknown)
    return pieces, heads


def encode_tokens(
    name: str,
    sentences: Sequence[Sequence[str]],
    encoder: TextEncoder,
    cache: ArrayCache | None = None,
    progress: bool = True,
) -> TokenStates:
    """Return the state of every word of every sentence, from the cache if it is there.

    Args:
        name: Name of the corpus, for messages.
        sentences: N sentences of at least one word each.
        encoder: A frozen transformer; its pooling and normalisation do not matter.
        cache: Where to look and store; None for neither.
        progress: Show a bar on a terminal when the work lasts.

    Raises:
        ReActError: The model cannot be had, or its tokenizer does not know words.
    """

    def compute() -> dict[str, npt.NDArray[Any]]:
        states, windowed = _compute(sentences, encoder, progress)
        return {"states": states, "windowed": np.array([windowed])}

    if cache is None:
        found = compute()
    else:
        content = canonical_json([list(words) for words in sentences])
        key = digest("token states", canonical_json(encoder.fingerprint()), content)
        meta = {"kind": "token states", "corpus": name, "model": encoder.settings.model}
        found = cache.cached(key, compute, meta)
    starts = np.concatenate([[0], np.cumsum([len(words) for words in sentences])]).astype(np.int64)
    windowed = int(found["windowed"][0])
    log_windows(name, windowed, "sentences", encoder)
    return TokenStates(found["states"], starts, windowed)


def log_windows(name: str, windowed: int, what: str, encoder: TextEncoder) -> None:
    """Log how many rows of a corpus are longer than the model reads at once."""
    if windowed:
        _log.info(
            "corpus %r: %d %s are longer than the %d pieces that %r reads at once; windows overlap, nothing "
            "is cut",
            *(name, windowed, what, encoder.settings.max_length, encoder.settings.model),
        )


def _compute(
    sentences: Sequence[Sequence[str]], encoder: TextEncoder, progress: bool
) -> tuple[npt.NDArray[np.float16], int]:
    settings = encoder.settings
    windows = cut_sentences(sentences, encoder.tokenizer, settings.max_length, settings.model)
    takers: list[list[int]] = [[] for _ in windows.table.distinct]
    for window, row in enumerate(windows.table.row_of.tolist()):
        takers[row].append(window)
    table = TokenTable(windows.table.distinct, np.arange(len(windows.table.distinct)))
    states = np.zeros((windows.places.size, encoder.dimension), np.float16)
    with progress_bar("Encoding words", int(table.lengths.sum()), progress) as advance:
        for batch, hidden in encoder.hidden_states(batches(table, encoder.batch_tokens, encoder.padding)):
            unit = torch.nn.functional.normalize(hidden.float(), dim=2).half().cpu().numpy()
            for line, row in enumerate(batch.rows.tolist()):
                for window in takers[row]:
                    words = slice(windows.words[window], windows.words[window + 1])
                    states[words] = unit[line, windows.places[words]]
            advance(int(batch.mask.sum()))
    return states, windows.cut
