"""Class scores of many rows under the weights of R episodes, in rectangles of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network, Texts

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """Where texts come from.

    Args:
        lengths: Tokens of rows of one episode: ``(r, rows) -> (len(rows),)``.
        rectangle: Texts of rows ``(R, B)``, one line for each episode.
    """

    lengths: Callable[[int, _Rows], _Rows]
    rectangle: Callable[[_Rows], Texts]


def predict(
    network: Network,
    weights: dict[str, Tensor],
    class_mask: Tensor,
    rows: Sequence[_Rows],
    reading: Reading,
    tokens: int,
    keys: Tensor | None = None,
    features: bool = False,
) -> list[Tensor]:
    """Scores of each episode's rows.

    Args:
        network: The transformer.
        weights: ``(R, ...)`` by name, in the network's type.
        class_mask: ``(R, C)``.
        rows: Row ids of each episode.
        reading: Where texts come from.
        tokens: Most padded tokens of one forward pass, all episodes together.
        keys: Keys of dropout masks ``(R,)`` for a Monte Carlo sample; None drops nothing.
        features: Return the pooled vectors instead of scores.

    Returns:
        For each episode ``(C, rows)`` scores float32, or ``(H, rows)`` vectors.
    """
    episodes, most = len(rows), max((len(one) for one in rows), default=0)
    depth = network.hidden_size if features else class_mask.shape[1]
    found = [torch.zeros(depth, len(one), device=network.device) for one in rows]
    if most == 0:
        return found
    orders, fillers, widths = [], [], np.zeros((episodes, most), np.int64)
    for r, one in enumerate(rows):
        length = reading.lengths(r, one)
        order = np.argsort(-length, kind="stable")
        orders.append(order)
        widths[r, : len(one)] = length[order]
        # Where an episode's rows are used up, its shortest fills the rectangle.
        fillers.append(one[order[-1:]] if len(one) else np.zeros(1, np.int64))
        widths[r, len(one) :] = reading.lengths(r, fillers[r])
    width = widths.max(0)  # widest at each place, over the episodes
    start = 0
    with network.mount(weights, None, keys):
        while start < most:
            count = max(1, min(tokens // (int(width[start]) * episodes), most - start))
            chosen = np.stack(
                [_take(*parts, start, count) for parts in zip(rows, orders, fillers, strict=True)]
            )
            pooled = network.features(reading.rectangle(chosen), start)
            if features:
                result = pooled.view(episodes, count, -1).transpose(1, 2).float()
            else:
                result = network.classify(pooled, class_mask).transpose(1, 2)
            for r, order in enumerate(orders):
                real = order[start : start + count]
                found[r][:, torch.from_numpy(real).to(network.device)] = result[r, :, : len(real)]
            start += count
    return found


def _take(rows: _Rows, order: _Rows, filler: _Rows, start: int, count: int) -> _Rows:
    """``count`` rows in that order; where they are used up ``filler`` comes instead."""
    part = rows[order[start : start + count]]
    return np.concatenate([part, filler.repeat(count - len(part))])


def rows_of(array: Tensor, episodes: Sequence[int]) -> Tensor:
    """Those of ascending episodes; without a copy where they stand side by side."""
    first, last = episodes[0], episodes[-1] + 1
    return array[first:last] if last - first == len(episodes) else array[list(episodes)]
