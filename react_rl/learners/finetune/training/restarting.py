"""Where the weights of a round begin: pretrained, where the last round left them, or between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def restarted(
    begin_of: Callable[[list[int]], dict[str, Tensor]],
    kept: Mapping[str, Tensor],
    episodes: list[int],
    share: float,
) -> dict[str, Tensor]:
    """Weights ``(R, ...)`` float32 that a round begins from, the word table left out.

    Args:
        begin_of: From episodes to their weights before any training.
        kept: ``(E, ...)`` by name, weights of the last round.
        episodes: R episodes.
        share: Of the last round's weights: 0 begins again, 1 goes on.
    """
    if share == 1.0:
        return {name: array[episodes] for name, array in kept.items()}
    begin = begin_of(episodes)
    if share == 0.0:
        return begin
    # In the first round both are the same.
    return {name: torch.lerp(array, kept[name][episodes], share) for name, array in begin.items()}
