"""Which phase of a stream each row of a corpus belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError
from react_rl.escaping import check_name

MOST: Final = 255
"""Phases of one corpus."""


@dataclass(frozen=True, eq=False)
class PhaseRows:
    """The phases of N rows, which come one after the other.

    Attributes:
        of: ``(N,)`` uint8 phase of each row, ascending: rows of an earlier phase come first.
        names: Name of each phase.

    Raises:
        ReActError: There are fewer than two phases, a phase has no rows, or rows are not in order.
    """

    of: npt.NDArray[np.uint8]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        array = np.array(self.of)
        array.flags.writeable = False
        object.__setattr__(self, "of", array)
        object.__setattr__(self, "names", tuple(self.names))
        for name in self.names:
            check_name(name, "The name of a phase")
        if not 2 <= len(self.names) <= MOST or len(set(self.names)) != len(self.names):
            raise ReActError(
                f"The phases are called {', '.join(self.names)}; name 2 to {MOST} phases, each differently."
            )
        if array.dtype != np.uint8 or not np.array_equal(np.unique(array), np.arange(len(self.names))):
            raise ReActError(f"Each of the {len(self.names)} phases needs rows, and no row another phase.")
        if (np.diff(array.astype(np.int64)) < 0).any():
            raise ReActError("The rows of a corpus with phases must be in the order of their phases.")

    def __repr__(self) -> str:
        """One line: the names."""
        return f"PhaseRows({', '.join(self.names)})"

    def __len__(self) -> int:
        """Number of phases."""
        return len(self.names)
