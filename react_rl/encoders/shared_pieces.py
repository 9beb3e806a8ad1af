"""Words of contexts that share a piece of the tokenizer, as Han characters do: a model sees them as one.

All words of a piece have one state and one score. So an answer can only begin at the first word of a piece
and end at the last one; without that the best answer would tie with itself, shorter by a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SharedPieces:
    """Which of T words, one behind the other, are in the piece of the word before.

    Args:
        repeated: ``(T,)`` bool; False at the first word of a context.
    """

    repeated: npt.NDArray[np.bool_]

    @cached_property
    def present(self) -> bool:
        """Whether there is such a word."""
        return bool(self.repeated.any())

    @cached_property
    def continued(self) -> npt.NDArray[np.bool_]:
        """Whether the word behind is in the piece of each word ``(T,)``."""
        return np.append(self.repeated[1:], False)

    def widened(self, spans: _Ids, before: _Ids) -> _Ids:
        """Spans that begin and end where pieces do, around those given.

        Args:
            spans: ``(n, 2)`` first and last words, counted from 1; 0 for no answer.
            before: ``(n,)`` words, of the T, in front of the first one of each context.
        """
        if not self.present:
            return spans
        own = np.flatnonzero(~self.repeated)
        found, answered = spans.copy(), np.flatnonzero(spans[:, 0] > 0)
        place = spans[answered] + before[answered, None] - 1
        piece = np.searchsorted(own, place, side="right") - 1
        first, last = own[piece[:, 0]], np.append(own, self.repeated.size)[piece[:, 1] + 1] - 1
        found[answered] = np.stack([first, last], 1) - before[answered, None] + 1
        return found


def repeated_states(states: npt.NDArray[np.float16]) -> npt.NDArray[np.bool_]:
    """Whether each state ``(T, D)`` is the one before it to the last bit, as it is within a piece."""
    found = np.zeros(len(states), np.bool_)
    likely = np.flatnonzero(states[1:, 0] == states[:-1, 0]) + 1  # few, so that no large table is made
    found[likely] = (states[likely] == states[likely - 1]).all(1)
    return found
