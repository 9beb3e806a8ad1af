"""The rows of E episodes as columns, pool before dev: which row each stands for, and what can be bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import Oracle
from react_rl.simulation.phases import Phases
from react_rl.simulation.purchases import PENNY, Mask, affordable, all_of, check_ids
from react_rl.tasks.protocol import Task

NO_ROW: Final = torch.iinfo(torch.int64).max
"""What stands in columns past an episode's pool."""


class Pools:
    """Pools and dev sets of E episodes. P is the width of a pool, V that of a dev set, W their sum.

    Args:
        corpora: Encoded corpora.
        options: Sizes of an episode.
        task: What is learned.
        shape: Shape of a target.
        most_classes: C, the most classes of an episode.
        oracle: Whose prices rows have.
        phases: Which phase each episode is in.

    Attributes:
        ids: ``(E, P)`` int64 row ids, ascending.
        shown: The same without the rows that are yet to come.
        labelled: ``(E, P)`` bool, rows whose label was asked for.
        density: ``(E, P)`` float32.
        truth: ``(E, V, ...)`` targets of the dev rows so far, -1 elsewhere.
        class_mask: ``(E, C)`` bool, classes that take part.
        size: ``(E,)`` rows of the pool.
        n_classes: ``(E,)`` classes.
    """

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        options: EpisodeOptions,
        task: Task,
        shape: tuple[int, ...],
        most_classes: int,
        oracle: Oracle,
        phases: Phases,
    ) -> None:
        n_episodes, device = len(phases.now), corpora[0].device
        self._options, self._task = options, task
        self._oracle, self._phases = oracle, phases
        self.ids = torch.full((n_episodes, options.pool_size), NO_ROW, device=device)
        self.shown = self.ids
        self.labelled = torch.zeros(n_episodes, options.pool_size, dtype=torch.bool, device=device)
        self.density = torch.zeros(n_episodes, options.pool_size, device=device)
        self.truth = torch.full((n_episodes, options.dev_size, *shape), -1, device=device)
        self.class_mask = torch.zeros(n_episodes, most_classes, dtype=torch.bool, device=device)
        self.size = np.zeros(n_episodes, dtype=np.int64)
        self.n_classes = np.zeros(n_episodes, dtype=np.int64)
        self._open = torch.zeros_like(self.labelled)
        self._dev_targets = self.truth.clone()  # those of rows that are yet to come as well
        self._left = np.zeros(n_episodes, dtype=np.int64)
        self._free: Tensor | None = None
        # Where every row costs the same, affordability is arithmetic on the host.
        prices = {float(p) for c in corpora for p in np.unique(c.corpus.cost[c.corpus.ids("train")])}
        self._price = prices.pop() if len(prices) == 1 else None

    def place(self, episode: int, draw: Draw, data: EncodedCorpus) -> tuple[Tensor, Tensor]:
        """Put a newly drawn episode into its columns; nothing of it is labelled. Mutates.

        Returns:
            Row ids ``(W,)`` of the columns, -1 in those that are not used, and targets ``(W, ...)`` of the
            dev columns, -1 elsewhere.
        """
        width, device = self._options.pool_size, self.ids.device
        pool, size = torch.from_numpy(draw.pool).to(device), draw.pool.size
        dev, dev_size = torch.from_numpy(draw.dev).to(device), draw.dev.size
        columns = torch.full((width + self._options.dev_size,), -1, device=device)
        columns[:size], columns[width : width + dev_size] = pool, dev
        self.ids[episode, :size], self.ids[episode, size:] = pool, NO_ROW
        self._open[episode, :size], self._open[episode, size:] = True, False
        self.labelled[episode] = False
        self.density[episode, :size] = data.density[pool]
        truth = self._task.targets(data.corpus, draw.dev, draw.classes, self.target_shape)
        self._dev_targets[episode, :dev_size] = torch.from_numpy(truth).to(device)
        self._dev_targets[episode, dev_size:] = -1
        self.class_mask[episode] = torch.arange(self.class_mask.shape[1], device=device) < draw.classes.size
        self.size[episode], self.n_classes[episode], self._left[episode] = size, draw.classes.size, size
        unknown = self.truth.new_full((width, *self.target_shape), -1)
        return columns, torch.cat([unknown, self._dev_targets[episode]])

    @property
    def width(self) -> int:
        """P."""
        return int(self.ids.shape[1])

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of a target."""
        return tuple(self.truth.shape[2:])

    def open_phase(self, episodes: Sequence[int]) -> None:
        """Offer the pool rows of the phase of each episode, judge on the dev rows so far. Mutates."""
        some, width = list(episodes), self._options.pool_size
        if self._phases.several:
            phase, arrived = self._phases.open(), self._phases.arrived()
            self._open[some] = phase[some, :width] & (self.ids[some] < NO_ROW)
            come = arrived[some, width:].view(len(some), -1, *[1] * len(self.target_shape))
            self.truth[some] = torch.where(come, self._dev_targets[some], -1)
            self.shown = torch.where(arrived[:, :width], self.ids, NO_ROW)
        else:
            self.truth[some] = self._dev_targets[some]
            self.shown = self.ids
        self._free = None

    def columns_of(self, ids: Tensor) -> Tensor:
        """Columns ``(E, b)`` of row ids; of ids that are in no pool any column."""
        return torch.searchsorted(self.ids, ids).clamp_(max=self._options.pool_size - 1)

    @property
    def free(self) -> Tensor:
        """Rows of the pools whose label was not asked for ``(E, P)``, found once a round."""
        if self._free is None:
            self._free = self._open & ~self.labelled
        return self._free

    def check(self, ids: Tensor, columns: Tensor, numbers: npt.NDArray[np.int64], asked: Mask) -> None:
        """Check that rows ``(E, b)`` can be bought.

        Raises:
            ReActError: An id is not in its episode's pool, is bought already, or comes twice.
        """
        right = (self.ids.gather(1, columns) == ids) & self.free.gather(1, columns)
        check_ids(numbers, asked, right.cpu().numpy())

    def affordable(
        self, columns: Tensor, asked: Mask, remaining: npt.NDArray[np.float64]
    ) -> tuple[Mask, npt.NDArray[np.float64]]:
        """Rows ``(E, b)`` that fit, in this order, in what is left ``(E,)``, and what they cost ``(E,)``."""
        if self._price is not None and all_of(remaining + PENNY >= columns.shape[1] * self._price):
            return asked, asked.sum(1) * self._price
        return affordable(self._oracle.cost.gather(1, columns).cpu().numpy(), asked, remaining)

    def mark(self, episodes: Tensor, columns: Tensor, wanted: Mask) -> None:
        """Count rows as bought. Mutates."""
        everyone = episodes.numel() == self.ids.shape[0]
        if everyone and all_of(wanted):
            self.labelled.scatter_(1, columns, True)
        else:
            # Columns of rows that are not wanted may repeat others, so only the wanted are written.
            mask = torch.from_numpy(wanted).to(self.ids.device)
            self.labelled[episodes[:, None].expand_as(columns)[mask], columns[mask]] = True
        self._left[slice(None) if everyone else episodes.cpu().numpy()] -= wanted.sum(1)
        self._free = None

    def within(self, available: Tensor, remaining: npt.NDArray[np.float64]) -> Tensor:
        """Of the available rows ``(E, P)`` those that fit in what is left ``(E,)``."""
        if self._price is not None:
            return available
        left = torch.from_numpy(remaining).to(available.device)[:, None]
        return available & (self._oracle.cost <= left + PENNY)

    def exhausted(self, remaining: npt.NDArray[np.float64]) -> Mask:
        """Episodes ``(E,)`` whose pool, or what is left ``(E,)``, allows no further purchase."""
        if self._price is not None:
            left = self.free.sum(1).cpu().numpy() if self._phases.several else self._left
            return np.asarray((left <= 0) | (remaining + PENNY < self._price))
        cheapest = torch.where(self.free, self._oracle.cost, torch.inf).amin(1).cpu().numpy()
        return np.asarray(cheapest > remaining + PENNY)

    def state(self) -> dict[str, Tensor]:
        """What purchases change, by name."""
        return {"labelled": self.labelled, "left": torch.from_numpy(self._left)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put pools with the same draws where ``state`` was taken. Mutates."""
        self.labelled.copy_(state["labelled"])
        self._left = state["left"].numpy().copy()
        self._free = None
