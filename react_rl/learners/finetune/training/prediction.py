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
        lengths: Tokens of examples of one episode: ``(r, rows) -> (len(rows),)``.
        rectangle: Examples ``(R, B)``, one line for each episode.
        n_vectors: How many vectors of them are kept, like ``lengths``; None means one of each.
        lead: How many come before these; where there are some, scores are taken less those of the first.
    """

    lengths: Callable[[int, _Rows], _Rows]
    rectangle: Callable[[_Rows], Texts]
    n_vectors: Callable[[int, _Rows], _Rows] | None = None
    lead: int = 0


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
    """Scores of the vectors of each episode's examples.

    Args:
        network: The transformer.
        weights: ``(R, ...)`` by name, in the network's type.
        class_mask: ``(R, C)``.
        rows: Examples of each episode.
        reading: Where texts come from.
        tokens: Most padded tokens of one forward pass, all episodes together.
        keys: Keys of dropout masks ``(R,)`` for a Monte Carlo sample; None drops nothing.
        features: Return the vectors instead of their scores.

    Returns:
        For each episode ``(C, U)`` scores float32, or ``(H, U)`` vectors, example after example.
    """
    episodes, most = len(rows), max((len(one) for one in rows), default=0)
    depth = network.hidden_size if features else class_mask.shape[1]
    counts = [_n_vectors(reading, r, one) for r, one in enumerate(rows)]
    found = [torch.zeros(depth, int(own.sum()), device=network.device) for own in counts]
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
            vectors = network.features(reading.rectangle(chosen), start)
            if features:
                result = vectors.view(episodes, -1, depth).float()
            else:
                result = network.classify(vectors, class_mask)
            if reading.lead:
                result = _behind(result, reading.lead, count, relative=not features)
            result = result.transpose(1, 2)
            for r, order in enumerate(orders):
                there, here = _places(counts[r], order[start : start + count], result.shape[2] // count)
                found[r][:, torch.from_numpy(there).to(network.device)] = result[
                    r, :, torch.from_numpy(here).to(network.device)
                ]
            start += count
    return found


def _behind(result: Tensor, lead: int, count: int, relative: bool) -> Tensor:
    """Of the vectors ``(R, B K, C)`` of ``count`` examples those behind the lead; less the first, if so."""
    examples = result.view(result.shape[0], count, -1, result.shape[2])
    kept = examples[:, :, lead:] - examples[:, :, :1] if relative else examples[:, :, lead:]
    return kept.flatten(1, 2)


def _n_vectors(reading: Reading, r: int, rows: _Rows) -> _Rows:
    return np.ones(len(rows), np.int64) if reading.n_vectors is None else reading.n_vectors(r, rows)


def _places(counts: _Rows, real: _Rows, most: int) -> tuple[_Rows, _Rows]:
    """Where the vectors of examples ``real`` go, and where they are in a result with ``most`` of each."""
    starts = counts.cumsum() - counts
    place = np.arange(most)
    there, valid = starts[real][:, None] + place, place < counts[real][:, None]
    here = (np.arange(len(real)) * most)[:, None] + place
    return there[valid], here[valid]


def _take(rows: _Rows, order: _Rows, filler: _Rows, start: int, count: int) -> _Rows:
    """``count`` rows in that order; where they are used up ``filler`` comes instead."""
    part = rows[order[start : start + count]]
    return np.concatenate([part, filler.repeat(count - len(part))])


def rows_of(array: Tensor, episodes: Sequence[int]) -> Tensor:
    """Those of ascending episodes; without a copy where they are side by side."""
    first, last = episodes[0], episodes[-1] + 1
    return array[first:last] if last - first == len(episodes) else array[list(episodes)]


def stacked(arrays: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Arrays ``(., U)`` as one ``(E, ., U)``, the last axis padded where U differs."""
    most = max(array.shape[-1] for array in arrays)
    return torch.stack([torch.nn.functional.pad(a, (0, most - a.shape[-1]), value=fill) for a in arrays])


def drawn_candidates(available: Tensor, most: int, seeds: Tensor, rounds: npt.NDArray[np.int64]) -> Tensor:
    """Of the rows ``(E, P)`` that can be bought, those that are scored in this round.

    Args:
        available: ``(E, P)`` bool.
        most: Rows of an episode.
        seeds: ``(E,)`` of the episodes.
        rounds: ``(E,)`` rounds that they have trained.
    """
    offered = np.zeros(tuple(available.shape), np.bool_)
    for e, free in enumerate(available.cpu().numpy()):
        # Every strategy meets the same priorities in the same round of a seed.
        priority = np.random.default_rng([int(seeds[e]), int(rounds[e])]).random(len(free))
        ranked = np.argsort(np.where(free, priority, 2.0), kind="stable")[:most]
        offered[e, ranked] = free[ranked]
    return torch.from_numpy(offered).to(available.device)
