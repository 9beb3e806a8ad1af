"""What a round buys: which of the rows asked for may be bought, and what it brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError

Mask = npt.NDArray[np.bool_]

PENNY: Final = 1e-9
"""Tolerance when sums of costs are compared with a budget."""


def all_of(mask: Mask) -> bool:
    """Whether all are true: ``mask.all()``, which takes ten times as long for a few numbers."""
    return 0 not in mask.tobytes()


def any_of(mask: Mask) -> bool:
    """Whether one is true: ``mask.any()``, which takes ten times as long for a few numbers."""
    return 1 in mask.tobytes()


@dataclass(frozen=True)
class Bought:
    """What one purchase brought; labels are not among it.

    Args:
        ids: ``(E, b)`` row ids that were bought, -1 elsewhere.
        cost: Cost units charged ``(E,)``.
    """

    ids: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """What one round bought and what it brought; arrays of length E unless said otherwise.

    Args:
        ids: ``(E, b)`` row ids that were bought, -1 elsewhere.
        cost: Cost units charged.
        metrics: Dev metrics after the refit, by name.
        finished: Episodes that can buy nothing more.
    """

    ids: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    metrics: dict[str, npt.NDArray[np.float64]]
    finished: npt.NDArray[np.bool_]


def as_ids(ids: npt.ArrayLike | Tensor, n_episodes: int, device: torch.device) -> Tensor:
    """Row ids ``(E, b)`` int64 on a device, given as a tensor, an array or lists of lists.

    Raises:
        ReActError: They are no whole numbers, or have no line for each episode.
    """
    given = ids
    if not isinstance(ids, Tensor):
        try:
            ids = torch.as_tensor(np.asarray(ids))
        except (TypeError, ValueError):
            raise ReActError(
                f"Row ids are {type(given).__name__} that make no table of numbers; give as many for each "
                "episode, -1 where nothing is asked for."
            ) from None
    if ids.ndim != 2 or len(ids) != n_episodes:
        raise ReActError(
            f"Row ids have shape {tuple(ids.shape)}, but the engine plays {n_episodes} "
            f"episode{'s' if n_episodes > 1 else ''}; give one line of ids for each, ({n_episodes}, b)."
        )
    if not ids.numel():
        ids = ids.long()
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ReActError(f"Row ids are whole numbers, not {str(ids.dtype).removeprefix('torch.')}.")
    return ids.to(device, torch.int64).contiguous()


def check_ids(numbers: npt.NDArray[np.int64], asked: Mask, right: Mask) -> None:
    """Check the rows asked for.

    Args:
        numbers: ``(E, b)`` row ids.
        asked: ``(E, b)`` whether something is asked for at all.
        right: ``(E, b)`` whether it is an unlabelled row of the episode's pool.

    Raises:
        ReActError: An id is not in its episode's pool, is labelled already, or comes twice.
    """
    ordered = numbers.copy()
    ordered.sort(axis=1)
    if any_of(ordered[:, 1:] == ordered[:, :-1]):
        # Often what is repeated asks for nothing.
        ordered = np.where(asked, numbers, -1)
        ordered.sort(axis=1)
        later = ordered[:, 1:]
        twice = (later == ordered[:, :-1]) & (later >= 0)
        if twice.any():
            episode = int(np.nonzero(twice)[0][0])
            raise ReActError(f"A row is asked for twice in one batch of episode {episode}.")
    if not all_of(right >= asked):
        episode, place = (int(v) for v in np.argwhere(asked & ~right)[0])
        raise ReActError(
            f"Row id {int(numbers[episode, place])} is not an unlabelled row "
            f"of the pool of episode {episode}; "
            "select ids from the view."
        )


def affordable(
    price: npt.NDArray[np.float64], asked: Mask, remaining: npt.NDArray[np.float64]
) -> tuple[Mask, npt.NDArray[np.float64]]:
    """Rows ``(E, b)`` that fit, in the order given, in what is left ``(E,)``, and what they cost ``(E,)``."""
    wanted = asked.copy()
    for j in range(price.shape[1]):
        wanted[:, j] &= price[:, j] <= remaining + PENNY
        remaining = remaining - price[:, j] * wanted[:, j]
    return wanted, (price * wanted).sum(1)
