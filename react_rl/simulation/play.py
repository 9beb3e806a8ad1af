"""The one loop that plays a strategy. Callers own what happens between rounds: notes, stops, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.purchases import Mask, Round
from react_rl.simulation.view import PoolView


class Chooser(Protocol):
    """What a loop asks of a query strategy."""

    def select(self, view: PoolView, n: int) -> Tensor:
        """Row ids ``(E, n)`` of the next batch, -1 for none."""
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

    An episode for which the strategy asks for nothing has stopped. Callers may end further ones between
    rounds with ``engine.stop``, or leave the loop.

    Args:
        engine: The episodes, as far as they have come. Every round changes them.
        strategy: What chooses.

    Yields:
        Each round after it was played.
    """
    while not engine.finished.all():
        running = ~engine.finished
        started = time.perf_counter()
        with torch.inference_mode():
            ids = strategy.select(engine.view, engine.options.batch_size)
        chosen = time.perf_counter()
        round_ = engine.step(ids)
        engine.stop((ids < 0).all(1).cpu().numpy())
        yield Turn(round_, running, chosen - started, time.perf_counter() - chosen)
