"""The one loop that plays a strategy. Callers own what happens between rounds: notes, stops, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from react_rl.learners.recipes import Recipe
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.purchases import Mask, Round, all_of, any_of
from react_rl.simulation.view import PoolView


class Chooser(Protocol):
    """What a loop asks of a query strategy."""

    def select(self, view: PoolView, n: int) -> Tensor:
        """Row ids ``(E, n)`` of the next batch, -1 for none."""
        ...


@runtime_checkable
class ChoosesRecipes(Chooser, Protocol):
    """Chooses what to label next and, together with it, how to train."""

    def choose(self, view: PoolView, n: int) -> tuple[Tensor, Sequence[Recipe | None] | None]:
        """Row ids ``(E, n)``, and how each episode is trained from now on; None changes nothing."""
        ...


@dataclass(frozen=True)
class Turn:
    """One round that was played.

    Args:
        round: What it bought and what it brought.
        running: ``(E,)`` episodes that took part in it.
        selection_seconds: Seconds for choosing, all episodes together.
        training_seconds: Seconds for buying, training and measuring.
    """

    round: Round
    running: Mask
    selection_seconds: float
    training_seconds: float


def play(engine: LabelingEngine, strategy: Chooser) -> Iterator[Turn]:
    """Play a strategy until all episodes have ended; ``engine.reset`` comes first.

    An episode that buys nothing in a round has stopped: the strategy asked for no row, or for none that fits
    in the budget. Callers may end further ones between rounds with ``engine.stop``, or leave the loop.

    Args:
        engine: The episodes, as far as they have come. Every round changes them.
        strategy: What chooses.

    Yields:
        Each round after it was played.
    """
    # Classes remember which protocols they follow; asking an object takes as long as a small round.
    chooser = cast(ChoosesRecipes, strategy) if issubclass(type(strategy), ChoosesRecipes) else None
    while not all_of(engine.finished):
        running = ~engine.finished
        started, recipes = time.perf_counter(), None
        with torch.inference_mode():
            if chooser is not None:
                ids, recipes = chooser.choose(engine.view, engine.options.batch_size)
            else:
                ids = strategy.select(engine.view, engine.options.batch_size)
            chosen = time.perf_counter()
            round_ = engine.step(ids, recipes)
        missing = round_.ids < 0
        if not missing.shape[1] or any_of(missing):
            engine.stop(np.asarray(missing.all(1)))
        yield Turn(round_, running, chosen - started, time.perf_counter() - chosen)
