"""Templates with a text and a gap, and their token ids: the stages build and fill.

A text that does not fit is cut, the template around it never is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.encoders.batches import TokenTable, check_texts, table_of
from react_rl.encoders.token_states import marks_around
from react_rl.errors import ReActError

TEXT: Final = "{text}"
MASK: Final = "{mask}"
_FIELD: Final = re.compile(r"\{[^{}]*\}")
_CHUNK: Final = 4096
"""Texts per call of the tokenizer."""


def check_template(template: str) -> str:
    """Check that a template has one text and one gap, and return it.

    Raises:
        ReActError: It has not.
    """
    fields = _FIELD.findall(template)
    if sorted(fields) != [MASK, TEXT]:
        found = ", ".join(fields) or "neither"
        raise ReActError(
            f"Template {template!r} needs {TEXT} once and {MASK} once, and has {found}; "
            f"write for example '{TEXT} It was {MASK}.'."
        )
    return template


def several_words(value: Any) -> Any:
    """Words of classes as settings hold them, where some class is given a single word."""
    if not isinstance(value, dict):
        return value
    return {str(name): (own,) if isinstance(own, str) else own for name, own in value.items()}


@dataclass(frozen=True, eq=False)
class Filled:
    """Filled templates as token ids.

    Args:
        table: Token sequences of N texts.
        gaps: ``(U,)`` int64 place of the gap in each distinct sequence.
    """

    table: TokenTable
    gaps: npt.NDArray[np.int64]

    @property
    def gap_of(self) -> npt.NDArray[np.int64]:
        """Place of the gap of each text ``(N,)``."""
        found: npt.NDArray[np.int64] = self.gaps[self.table.row_of]
        return found


class Template:
    """One template for one tokenizer.

    Args:
        template: With one ``{text}`` and one ``{mask}``.
        tokenizer: Of a masked language model.
        max_length: Tokens of a filled template.
        model: Name of the model, for messages.

    Attributes:
        room: Tokens that a text may have.

    Raises:
        ReActError: The template is no template, leaves no room for a text, or the model has no mask.
    """

    def __init__(self, template: str, tokenizer: Any, max_length: int, model: str) -> None:
        self.template = check_template(template)
        self._tokenizer = tokenizer
        if tokenizer.mask_token_id is None:
            raise ReActError(
                f"The tokenizer of {model!r} has no mask, which a template fills a gap with; "
                "use a masked language model such as 'bert-base-uncased'."
            )
        start, end = marks_around(tokenizer)
        self._marks = len(start), len(end)
        gap = [int(tokenizer.mask_token_id)]
        text_first = template.index(TEXT) < template.index(MASK)
        before, between, after = _FIELD.split(template)
        # A tokenizer that minds spaces reads a word with the space in front of it.
        self._space = (before if text_first else between)[-1:].isspace()
        first, second, third = (self._ids(part.rstrip()) for part in (before, between, after))
        if text_first:
            self._head, self._tail = [*start, *first], [*second, *gap, *third, *end]
            self._gap_from_end = len(gap + third) + len(end)
        else:
            self._head, self._tail = [*start, *first, *gap, *second], [*third, *end]
            self._gap_from_end = 0
        self._gap_from_start = len(start) + len(first)
        self.room = max_length - len(self._head) - len(self._tail)
        if self.room < 1:
            raise ReActError(
                f"Template {template!r} has {len(self._head) + len(self._tail)} tokens and leaves no room "
                f"for a text; raise max_length ({max_length})."
            )

    def fill(self, texts: Sequence[str], lead: Sequence[int] = ()) -> Filled:
        """Token ids of the template with each text in it.

        Args:
            texts: N texts, cut off where they do not fit.
            lead: Tokens to put behind the mark that begins a text, such as demonstrations.
        """
        check_texts(texts)
        keys = [np.asarray(ids, np.int32).tobytes() for ids in self._sequences(texts, lead)]
        table = table_of(keys)
        if self._gap_from_end:
            gaps = table.lengths - self._gap_from_end
        else:
            gaps = np.full(len(table.distinct), self._gap_from_start + len(lead), np.int64)
        return Filled(table, gaps)

    def demonstration(self, text: str, word: Sequence[int]) -> list[int]:
        """Token ids of the template with a text in it and a word in the gap, without marks around.

        Args:
            text: The text; cut off where it takes more than a quarter of the room.
            word: Pieces of the word.
        """
        head, tail = self._head[self._marks[0] :], self._tail[: len(self._tail) - self._marks[1]]
        ids = [*head, *self._texts([text])[0][: max(self.room // 4, 1)], *tail]
        gap = len(ids) - (self._gap_from_end - self._marks[1]) if self._gap_from_end else self._gap_from_start
        gap -= 0 if self._gap_from_end else self._marks[0]
        return [*ids[:gap], *word, *ids[gap + 1 :]]

    def _sequences(self, texts: Sequence[str], lead: Sequence[int]) -> list[list[int]]:
        start = self._marks[0]
        head = [*self._head[:start], *lead, *self._head[start:]]
        room = max(self.room - len(lead), 1)
        return [[*head, *ids[:room], *self._tail] for ids in self._texts(texts)]

    def _texts(self, texts: Sequence[str]) -> list[list[int]]:
        space = " " if self._space else ""
        found: list[list[int]] = []
        for first in range(0, len(texts), _CHUNK):
            chunk = [space + text for text in texts[first : first + _CHUNK]]
            found += self._tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def _ids(self, part: str) -> list[int]:
        ids: list[int] = self._tokenizer(part, add_special_tokens=False)["input_ids"] if part.strip() else []
        return ids
