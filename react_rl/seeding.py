"""Named random streams: one seed sequence per run, one generator per purpose, no global state."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

STREAMS: Final = ("pool", "initial", "oracle", "learner", "strategy", "policy")
"""Purposes that draw random numbers. The order is part of every published result: append only."""

_MOMENTS = 2**31
"""Key of what ``Streams.at`` draws, past any number that a stream has."""


def entropy_of(seed: int, *names: str) -> tuple[int, ...]:
    """Mix a seed with names, so that seed k on corpus c is the same draw for every strategy."""
    return (seed, *(zlib.crc32(name.encode()) for name in names))


class Streams:
    """Independent generators for the parts of one run.

    A part that draws more or fewer numbers never shifts another part's stream.

    Args:
        entropy: An integer, a sequence of integers, or a ready seed sequence.
    """

    def __init__(self, entropy: int | Sequence[int] | np.random.SeedSequence) -> None:
        if not isinstance(entropy, np.random.SeedSequence):
            entropy = np.random.SeedSequence(entropy if isinstance(entropy, int) else tuple(entropy))
        self.sequence = entropy

    def _stream(self, name: str) -> np.random.Generator:
        key = (*self.sequence.spawn_key, STREAMS.index(name))
        child = np.random.SeedSequence(
            self.sequence.entropy, spawn_key=key, pool_size=self.sequence.pool_size
        )
        return np.random.Generator(np.random.PCG64(child))

    def at(self, *moment: int) -> np.random.Generator:
        """A generator that follows from the run and ``moment`` alone: asked again, it draws the same."""
        key = (*self.sequence.spawn_key, _MOMENTS, *moment)
        child = np.random.SeedSequence(
            self.sequence.entropy, spawn_key=key, pool_size=self.sequence.pool_size
        )
        return np.random.Generator(np.random.PCG64(child))

    def state(self) -> dict[str, Any]:
        """Where each stream stands that was drawn from, by name; integers and words only."""
        begun = [name for name in STREAMS if name in vars(self)]
        return {name: getattr(self, name).bit_generator.state for name in begun}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put the streams where ``state`` says. Mutates."""
        for name, value in state.items():
            getattr(self, name).bit_generator.state = value

    @cached_property
    def pool(self) -> np.random.Generator:
        """Draws the corpus, the class subset, the pool and the dev set."""
        return self._stream("pool")

    @cached_property
    def initial(self) -> np.random.Generator:
        """Draws the initial labelled set."""
        return self._stream("initial")

    @cached_property
    def oracle(self) -> np.random.Generator:
        """Draws label noise and abstentions."""
        return self._stream("oracle")

    @cached_property
    def learner(self) -> np.random.Generator:
        """Draws the learner's initial weights and the order of its batches."""
        return self._stream("learner")

    @cached_property
    def strategy(self) -> np.random.Generator:
        """Draws what a query strategy leaves to chance, ties included."""
        return self._stream("strategy")

    @cached_property
    def policy(self) -> np.random.Generator:
        """Draws the actions of a stochastic policy."""
        return self._stream("policy")
