"""Which phase of its corpus each of E episodes is in, and which rows have come by then.

Columns of an episode are in the order of its phases, because rows of an earlier phase have smaller ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.purchases import PENNY, Mask


class Phases:
    """The phases of E episodes. An episode on a corpus without phases has one, and never leaves it.

    Args:
        n_episodes: E.
        options: Sizes and budget of an episode.
        device: Where masks are wanted.

    Attributes:
        now: ``(E,)`` int64 phase of each episode.
        count: ``(E,)`` int64 phases of each episode.
        begun: ``(E,)`` cost units spent when the phase began.
    """

    def __init__(self, n_episodes: int, options: EpisodeOptions, device: torch.device) -> None:
        self.now = np.zeros(n_episodes, dtype=np.int64)
        self.count = np.ones(n_episodes, dtype=np.int64)
        self.begun = np.zeros(n_episodes)
        self._options = options
        self._of = torch.zeros(
            n_episodes, options.pool_size + options.dev_size, dtype=torch.int64, device=device
        )

    def place(self, episode: int, draw: Draw, encoded: EncodedCorpus) -> None:
        """Note the phases of a newly drawn episode, which begins with the first. Mutates."""
        rows = encoded.corpus.phases
        self.now[episode], self.begun[episode] = 0, 0.0
        several = rows is not None and self._options.phases != "ignored"
        self.count[episode] = len(rows) if rows is not None and several else 1
        self._forget("several", "ends")
        self._of[episode] = 0
        if rows is not None and several:
            width = self._options.pool_size
            for first, own in ((0, draw.pool), (width, draw.dev)):
                phases = torch.from_numpy(rows.of[own].astype(np.int64)).to(self._of)
                self._of[episode, first : first + own.size] = phases

    @cached_property
    def several(self) -> bool:
        """Whether some episode has more than one phase."""
        return bool((self.count > 1).any())

    @property
    def _current(self) -> Tensor:
        return torch.from_numpy(self.now).to(self._of.device)[:, None]

    def open(self) -> Tensor:
        """Columns ``(E, W)`` of the phase that each episode is in."""
        return self._of == self._current

    def arrived(self) -> Tensor:
        """Columns ``(E, W)`` of this phase and those before it; unused columns count as such."""
        return self._of <= self._current

    @cached_property
    def ends(self) -> npt.NDArray[np.float64]:
        """Cost units ``(E,)`` at which the phase of each episode ends."""
        options = self._options
        if isinstance(options.phases, tuple):
            shares = np.cumsum(options.phases) / sum(options.phases)
            share = shares[np.minimum(self.now, len(shares) - 1)]
        else:
            share = (self.now + 1) / self.count
        return np.asarray(np.where(self.now + 1 == self.count, 1.0, share) * options.budget)

    def progress(self, spent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Share ``(E,)`` of what a phase may spend that was spent in it, at most 1."""
        if not self.several:
            return np.asarray(np.minimum(spent / max(self._options.budget, PENNY), 1.0))
        whole = np.maximum(self.ends - self.begun, PENNY)
        return np.asarray(np.minimum(np.maximum((spent - self.begun) / whole, 0.0), 1.0))

    def over(self, spent: npt.NDArray[np.float64], free: Tensor) -> Mask:
        """Episodes ``(E,)`` whose phase is over and is not their last.

        Args:
            spent: ``(E,)`` cost units.
            free: ``(E, P)`` columns of the phase that can still be bought.
        """
        done = (spent + PENNY >= self.ends) | ~free.any(1).cpu().numpy()
        return np.asarray(done & (self.now + 1 < self.count))

    def move_on(self, episodes: Mask, spent: npt.NDArray[np.float64]) -> None:
        """Begin the next phase of some episodes ``(E,)``. Mutates."""
        self.now += episodes
        self.begun = np.where(episodes, spent, self.begun)
        self._forget("ends")

    def state(self) -> dict[str, Tensor]:
        """What rounds change, by name; nothing where no episode has phases."""
        arrays = {"now": torch.from_numpy(self.now), "begun": torch.from_numpy(self.begun)}
        return arrays if self.several else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put placed episodes where ``state`` was taken. Mutates."""
        if state:
            self.now, self.begun = state["now"].numpy().copy(), state["begun"].numpy().copy()
            self._forget("ends")

    def _forget(self, *names: str) -> None:
        """Drop what followed from something that has changed. Mutates."""
        for name in names:
            self.__dict__.pop(name, None)
