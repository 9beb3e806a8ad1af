"""Train, dev and test: official ones kept and cleaned of repeated texts, missing ones drawn by seed.

The dealing out itself is in ``grouping``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import DEV, SPLITS, TEST, TRAIN, UNUSED
from react_rl.data.grouping import deal_groups, text_groups
from react_rl.errors import ReActError, unknown
from react_rl.seeding import entropy_of

DEFAULT_SHARES: Final = (0.6, 0.2, 0.2)
"""Shares of train, dev and test where there is no official split."""

_ALIASES: Final = {
    "train": TRAIN,
    "training": TRAIN,
    "dev": DEV,
    "devel": DEV,
    "val": DEV,
    "valid": DEV,
    "validation": DEV,
    "test": TEST,
    "testing": TEST,
}

Shares = tuple[float, float, float]


def split_code(word: str) -> int:
    """Return the code of a split named as people name it: ``validation``, ``Valid`` and ``dev`` are one.

    Raises:
        ReActError: If the word names no split.
    """
    code = _ALIASES.get(word.strip().casefold())
    if code is None:
        raise unknown("split", word, _ALIASES)
    return code


def is_split(word: str) -> bool:
    """Return whether ``word`` names a split."""
    return word.strip().casefold() in _ALIASES


def draw_splits(
    texts: Sequence[str],
    strata: npt.NDArray[np.int64],
    *,
    official: npt.NDArray[np.uint8] | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    source: str = "",
    noun: str = "texts",
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Give every row a split, so that no text (after normalisation) occurs in two of them.

    Official splits are kept, but a train row whose text also occurs in the official dev or test becomes
    ``UNUSED``, and so does a dev row whose text occurs in test. A split that is missing is carved out of
    train, stratified, with duplicates kept together: dev as ``dev / (train + dev)`` of the rows, test
    likewise, both as ``shares`` say.

    Args:
        texts: N texts.
        strata: (N,) stratum of each row; for classification its class.
        official: (N,) split codes, or None when there is no official split.
        shares: Shares of train, dev and test, each above 0, summing to 1.
        seed: Decides what is drawn. The same seed and rows give the same splits.
        source: Where the texts come from, for messages.
        noun: What they are called there.

    Returns:
        The (N,) split codes, and a note on everything that was dropped or carved.

    Raises:
        ReActError: If the shares are wrong, official splits hold no train rows, or a split stays empty.
    """
    check_shares(shares)
    if seed < 0:
        raise ReActError(f"The seed is {seed}; it must be 0 or above.")
    where = f"{source}: " if source else ""
    split = np.zeros(len(texts), dtype=np.uint8) if official is None else np.array(official, dtype=np.uint8)
    if not (split == TRAIN).any():
        raise ReActError(
            f"{where}The official splits hold no train rows; name the part to train on train, or read one "
            "file alone."
        )
    groups = text_groups(texts)
    notes = _drop_repeated(split, groups)
    missing = [code for code in (DEV, TEST) if not (split == code).any()]
    if missing:
        rows = np.flatnonzero(split == TRAIN)
        wanted = [shares[TRAIN], *(shares[code] for code in missing)]
        total = sum(wanted)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "splits"))))
        hands = deal_groups(groups[rows], strata[rows], [share / total for share in wanted], rng)
        split[rows] = np.asarray([TRAIN, *missing], dtype=np.uint8)[hands]
        names = " and ".join(SPLITS[code] for code in missing)
        kind = "rows" if official is None else "train rows"
        notes.append(f"{names} drawn from {len(rows)} {kind} with seed {seed}")
    for code, name in enumerate(SPLITS):
        if not (split == code).any():
            raise ReActError(
                f"{where}{len(texts)} rows with {int(groups.max()) + 1} different {noun} are too few"
                f" for train, dev and test: {name} stays empty."
            )
    return split, tuple(notes)


def check_shares(shares: Shares) -> None:
    """Check that there are three shares above 0 that sum to 1.

    Raises:
        ReActError: If not.
    """
    if len(shares) != 3 or not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ReActError(
            f"The shares of train, dev and test are {tuple(shares)}; they must be three numbers above 0"
            " that sum to 1, such as (0.6, 0.2, 0.2)."
        )


def _drop_repeated(split: npt.NDArray[np.uint8], groups: npt.NDArray[np.int64]) -> list[str]:
    """Set rows of ``split`` to UNUSED whose text occurs in a later official split; return the notes."""
    notes = []
    for code, later in ((TRAIN, (DEV, TEST)), (DEV, (TEST,))):
        for other in later:
            repeated = (split == code) & np.isin(groups, groups[split == other])
            count = int(repeated.sum())
            if count:
                split[repeated] = UNUSED
                rows = "row" if count == 1 else "rows"
                notes.append(f"{count} {SPLITS[code]} {rows} dropped: same text in {SPLITS[other]}")
    return notes
