"""Invented types of entities over real sentences: tagging tasks that no corpus has, for training policies.

Where entities begin and end stays real, and so do the states of their tokens. What is invented is which of
them count, and what is one type: types are dropped and joined at random, or split along a random direction of
the first tokens' states. Renaming alone would make no other task.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError
from react_rl.seeding import entropy_of

DROPPED: Final = 0.25
"""How often a type is dropped."""

SPLIT: Final = 0.5
"""How often types are split in two."""

FEWEST: Final = 20
"""Entities of a type; those of a type with fewer are no entities."""

_ATTEMPTS: Final = 100

Ids = npt.NDArray[np.int64]


class TagInventor:
    """Invents types for the entities of one corpus.

    Args:
        targets: ``(N,)`` objects, IOB2 tags of each sentence.
        states: ``(T, D)`` states of the tokens, sentence after sentence.
    """

    def __init__(self, targets: npt.NDArray[Any], states: npt.NDArray[np.float16]) -> None:
        self._ends = np.cumsum([len(tags) for tags in targets])[:-1]
        self._tags: Ids = np.concatenate([*targets])
        begins = self._tags % 2 == 1
        self._begins = begins
        self._entity = np.cumsum(begins) - 1
        self._kinds = (self._tags[begins] - 1) // 2
        first = states[begins].astype(np.float32)
        self._first = first - first.mean(0) if len(first) else first

    def tags(self, seed: int) -> tuple[npt.NDArray[Any], int]:
        """Tags of one task.

        Args:
            seed: Decides everything.

        Returns:
            ``(N,)`` objects, IOB2 tags of each sentence, and the number of types.

        Raises:
            ReActError: No type ever keeps ``FEWEST`` entities.
        """
        entropy = entropy_of(seed, "generated tags")
        for attempt in range(_ATTEMPTS):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*entropy, attempt))))
            kinds = self._drawn(rng)
            counts = np.bincount(kinds[kinds >= 0], minlength=1)
            number = np.where(counts >= FEWEST, (counts >= FEWEST).cumsum() - 1, -1)
            if number.max() >= 0:
                return self._written(np.where(kinds >= 0, number[kinds], -1)), int(number.max()) + 1
        raise ReActError(
            f"Types cannot be invented for {len(self._kinds)} entities; it takes {FEWEST} of a type."
        )

    def _drawn(self, rng: np.random.Generator) -> Ids:
        """A type for each entity, -1 for those that are none."""
        many = int(self._kinds.max(initial=0)) + 1
        stays = rng.random(many) >= DROPPED
        groups = rng.permutation(many) % int(rng.integers(1, many + 1))
        along = rng.standard_normal(self._first.shape[1])
        level, split = rng.uniform(0.3, 0.7), rng.random() < SPLIT
        kinds: Ids = np.where(stays, groups, -1)[self._kinds]
        if split and kinds.size:
            score = self._first @ along
            kinds = np.where(kinds >= 0, 2 * kinds + (score > np.quantile(score, level)), -1)
        return kinds

    def _written(self, kinds: Ids) -> npt.NDArray[Any]:
        """Tags of each sentence where entities are of these types."""
        own = kinds[self._entity.clip(min=0)]
        tags = np.where((self._tags > 0) & (own >= 0), 2 * own + 2 - self._begins, 0)
        found = np.empty(len(self._ends) + 1, dtype=object)
        found[:] = np.split(tags, self._ends)
        return found
