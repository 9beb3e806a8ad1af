"""Where the weights of a round begin: pretrained, where the last round left them, or between the two."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network


def restarted(
    network: Network, kept: Mapping[str, Tensor], seeds: Tensor, episodes: list[int], share: float
) -> dict[str, Tensor]:
    """Weights ``(R, ...)`` float32 that a round begins from, the word table left out.

    Args:
        network: Gives pretrained weights, and draws the others.
        kept: ``(E, ...)`` by name, weights of the last round.
        seeds: ``(E,)`` int64.
        episodes: R episodes.
        share: Of the last round's weights: 0 begins again, 1 goes on.
    """
    if share == 1.0:
        return {name: array[episodes] for name, array in kept.items()}
    begin = network.begin(seeds[episodes])
    if share == 0.0:
        return begin
    # In the first round both are the same.
    return {name: torch.lerp(array, kept[name][episodes], share) for name, array in begin.items()}
