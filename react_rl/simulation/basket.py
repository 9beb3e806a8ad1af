"""The open batch of a round: rows that were bought and paid for, and whose labels wait for the refit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.purchases import Bought, Mask

_ARRAYS: Final = ("columns", "ids", "cost")


def chosen_columns(picks: Tensor, width: int) -> Tensor:
    """Mask ``(E, P)`` of the columns among ``picks`` ``(E, j)``, -1 for none."""
    mask = torch.zeros(picks.shape[0], width + 1, dtype=torch.bool, device=picks.device)
    return mask.scatter_(1, torch.where(picks >= 0, picks, width), True)[:, :width]


class Basket:
    """What E episodes have bought since their last refit, in order of purchase.

    Args:
        n_episodes: E.
        device: Where columns are kept.

    Attributes:
        columns: ``(E, j)`` int64 pool columns, any column where nothing was bought.
        ids: ``(E, j)`` row ids, -1 where nothing was bought.
        cost: ``(E,)`` cost units charged for them.
    """

    def __init__(self, n_episodes: int, device: torch.device) -> None:
        self.columns = torch.empty(n_episodes, 0, dtype=torch.int64, device=device)
        self.ids: npt.NDArray[np.int64] = np.empty((n_episodes, 0), dtype=np.int64)
        self.cost = np.zeros(n_episodes)
        self._nothing = (self.columns, self.ids, self.cost)

    def __len__(self) -> int:
        return int(self.ids.shape[1])

    def add(self, columns: Tensor, ids: npt.NDArray[np.int64], cost: npt.NDArray[np.float64]) -> None:
        """Put in ``columns`` ``(E, b)`` with their row ids, for ``cost`` ``(E,)``. Mutates."""
        if not len(self):
            self.columns, self.ids, self.cost = columns, ids, cost
            return
        self.columns = torch.cat([self.columns, columns], 1)
        self.ids = np.concatenate([self.ids, ids], 1)
        self.cost = self.cost + cost

    def picks(self, start: int = 0) -> Tensor:
        """Columns from place ``start`` on ``(E, .)``, -1 where nothing was bought."""
        bought = torch.from_numpy(self.ids[:, start:] >= 0).to(self.columns.device)
        return torch.where(bought, self.columns[:, start:], -1)

    def take(self, episodes: Mask | None) -> tuple[Tensor, npt.NDArray[np.int64], Bought]:
        """Take out what is in there, of all episodes or of the R given ``(E,)``. Mutates.

        Returns:
            Columns ``(R, .)``, ids ``(R, .)``, and what all E episodes bought of it.
        """
        columns, ids, cost = self.columns, self.ids, self.cost
        if episodes is None:
            self.empty()
            return columns, ids, Bought(ids, cost)
        # Others may be at another pick of their round: places without a row of these episodes are theirs.
        own = (ids[episodes] >= 0).any(0)
        places = torch.from_numpy(np.flatnonzero(own)).to(columns.device)
        rows = torch.from_numpy(np.flatnonzero(episodes)).to(columns.device)
        self.empty(episodes)
        asked = episodes[:, None]
        bought = Bought(np.where(asked, ids, -1)[:, own], np.where(episodes, cost, 0.0))
        return columns[rows][:, places], bought.ids[episodes], bought

    def empty(self, episodes: Mask | None = None) -> None:
        """Throw out what all episodes, or those given ``(E,)``, have bought. Mutates."""
        if not len(self):
            return
        if episodes is None:
            self.columns, self.ids, self.cost = self._nothing
            return
        ids = np.where(episodes[:, None], -1, self.ids)
        left = (ids >= 0).any(0)
        self.columns = self.columns[:, torch.from_numpy(np.flatnonzero(left)).to(self.columns.device)]
        self.ids = ids[:, left]
        self.cost = np.where(episodes, 0.0, self.cost)

    def state(self) -> dict[str, Tensor]:
        """The arrays by name; none where nothing waits."""
        return {name: torch.as_tensor(getattr(self, name)) for name in _ARRAYS} if len(self) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave; without arrays the basket is empty. Mutates."""
        self.empty()
        if state:
            columns = state["columns"].to(self.columns.device, copy=True)
            self.add(columns, state["ids"].numpy().copy(), state["cost"].numpy().copy())
