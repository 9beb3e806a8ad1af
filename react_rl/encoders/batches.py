"""From texts to padded batches of token ids: checked, tokenised once, sorted by length, bounded in size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError

_CHUNK = 4096
"""Texts per call of the tokenizer, which returns Python integers: bounds their memory."""


@dataclass(frozen=True)
class Batch:
    """One rectangle of token ids.

    Attributes:
        rows: (B,) positions in ``TokenTable.distinct``.
        ids: (B, L) token ids, int64, padded on the right.
        mask: (B, L) True where there is a token.
    """

    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TokenTable:
    """The distinct token sequences of N texts, longest first.

    Equal sequences are kept once, so equal texts get equal results and cost nothing. Sequences of one length
    are ordered by content, so the batches do not depend on the order of the texts.

    Attributes:
        distinct: U sequences, each the bytes of an int32 array.
        row_of: (N,) for each text its place in ``distinct``.
    """

    distinct: tuple[bytes, ...]
    row_of: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(U,) tokens of each distinct sequence."""
        return np.fromiter((len(key) // 4 for key in self.distinct), np.int64, len(self.distinct))


def check_texts(texts: Sequence[str]) -> None:
    """Raise a ReActError if ``texts`` is one string or holds something that is not encodable text."""
    if isinstance(texts, str):
        raise ReActError("Expected a list of texts and got a single string; put it in a list.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ReActError(
                f"Text {row} is {text!r}, of type {type(text).__name__}; every text must be a string."
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ReActError(
                f"Text {row} holds half a surrogate pair, which is no text; repair the file's encoding."
            ) from None


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int, prefix: str = "") -> TokenTable:
    """Tokenise every text once.

    Args:
        tokenizer: A transformers tokenizer.
        texts: N texts, already checked.
        max_length: Tokens kept of each text, special tokens included.
        prefix: Put before each text.

    Raises:
        ReActError: A text has no token at all.
    """
    keys: list[bytes] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = [prefix + text for text in texts[start : start + _CHUNK]]
        encoded = tokenizer(
            chunk,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        keys.extend(np.asarray(ids, np.int32).tobytes() for ids in encoded["input_ids"])
    if b"" in keys:
        raise ReActError(f"Text {keys.index(b'')} has no tokens; leave it out of the corpus.")
    return table_of(keys)


def table_of(keys: Sequence[bytes]) -> TokenTable:
    """The table of N token sequences, each the bytes of an int32 array."""
    distinct = sorted(set(keys), key=lambda key: (-len(key), key))
    place = {key: row for row, key in enumerate(distinct)}
    return TokenTable(tuple(distinct), np.fromiter((place[key] for key in keys), np.int64, len(keys)))


def batches(table: TokenTable, batch_tokens: int, pad_id: int) -> Iterator[Batch]:
    """Yield batches of neighbours in length.

    Args:
        table: What ``tokenise`` returned.
        batch_tokens: Most padded tokens B x L of one batch. A longer sequence makes a batch of its own.
        pad_id: Token id that fills the rest.
    """
    lengths = table.lengths
    start = 0
    while start < len(lengths):
        width = int(lengths[start])
        stop = min(len(lengths), start + max(1, batch_tokens // width))
        mask = np.arange(width) < lengths[start:stop, None]  # (B, L)
        ids = np.full(mask.shape, pad_id, np.int64)
        ids[mask] = np.frombuffer(b"".join(table.distinct[start:stop]), np.int32)
        yield Batch(np.arange(start, stop), ids, mask)
        start = stop
