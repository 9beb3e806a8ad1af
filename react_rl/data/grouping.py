"""Which rows hold the same text, and how whole groups of rows are dealt out in given shares.

Works on plain arrays. What the shares mean (train, dev, test, halves) is decided by the callers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def normalised(text: str) -> str:
    """Return ``text`` without outer blanks, with inner blanks as one space, and casefolded."""
    return " ".join(text.split()).casefold()


def text_groups(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number the rows so that two rows share a number exactly when their normalised texts are equal.

    Returns:
        (N,) group numbers 0, 1, ... in the order of first appearance.
    """
    seen: dict[str, int] = {}
    numbers = [seen.setdefault(normalised(text), len(seen)) for text in texts]
    return np.asarray(numbers, dtype=np.int64)


def first_rows(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the lowest row of every group, ascending by group number: (number of groups,)."""
    return np.unique(groups, return_index=True)[1].astype(np.int64)


def deal_groups(
    groups: npt.NDArray[np.int64],
    strata: npt.NDArray[np.int64],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Deal whole groups of rows into hands of the given shares, the same shares in every stratum.

    Within a stratum the groups come in random order, and each goes to the hand that is furthest behind its
    quota, counting the quota of the stratum and that of the whole; so rare strata do not all fall into one
    hand. A hand misses its quota by a few rows plus the size of the largest group.

    Args:
        groups: (N,) group numbers. Rows of one group always land in one hand.
        strata: (N,) stratum numbers. A group belongs to the stratum of its lowest row.
        shares: Shares of the hands, summing to 1.
        rng: Decides the order.

    Returns:
        (N,) number of the hand, an index into ``shares``.
    """
    _, first, inverse, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((rng.permutation(len(first)), strata[first]))
    hands = range(len(shares))
    dealt = np.zeros(len(first), dtype=np.uint8)
    behind_in_all = [0.0] * len(shares)
    behind = [0.0] * len(shares)
    stratum: int | None = None
    for group in order.tolist():
        size = int(sizes[group])
        if int(strata[first[group]]) != stratum:
            stratum = int(strata[first[group]])
            behind = [0.0] * len(shares)
        for hand in hands:
            behind[hand] += shares[hand] * size
            behind_in_all[hand] += shares[hand] * size
        # Rounding lets equal quotas tie whatever order the shares were added up in.
        chosen = max(hands, key=lambda hand: round(behind[hand] + behind_in_all[hand], 9))
        behind[chosen] -= size
        behind_in_all[chosen] -= size
        dealt[group] = chosen
    return dealt[inverse]
