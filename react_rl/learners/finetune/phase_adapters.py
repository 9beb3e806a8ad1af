"""An adapter for each phase: weights with which phases ended, and which of them reads which row.

In every phase a fresh adapter and head are trained on its labels alone, and never touched again afterwards,
so nothing is forgotten. What is left is to know which of them reads a row: that of the row's phase where the
phase is known, and otherwise the one that is surest of it.

Source: Houlsby et al. 2019, Parameter-efficient transfer learning for NLP; new weights in each phase: Rusu et
al. 2016, Progressive neural networks; how sure a model is: Hendrycks & Gimpel 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_Ids = npt.NDArray[np.int64]
_Weights = Mapping[str, Tensor]

Read = Callable[[list[int], list[_Ids], _Weights], list[Tensor]]
"""From episodes, row ids of each and weights ``(E, ...)`` to scores ``(C, n)`` of each."""


class PhaseAdapters:
    """Weights of the phases that E episodes have behind them.

    Args:
        n_episodes: E.

    Attributes:
        phase: ``(E,)`` int64 phase that each episode is in, -1 before its first.
    """

    def __init__(self, n_episodes: int) -> None:
        self.phase = np.full(n_episodes, -1)
        self._weights: dict[int, dict[str, Tensor]] = {}
        self._there: dict[int, npt.NDArray[np.bool_]] = {}

    def forget(self, episodes: Sequence[int]) -> None:
        """Go back to before the first phase. Mutates."""
        self.phase[list(episodes)] = -1
        for there in self._there.values():
            there[list(episodes)] = False

    def keep(self, episodes: Sequence[int], weights: _Weights) -> None:
        """Keep the weights ``(E, ...)`` with which some episodes end the phase that they are in. Mutates."""
        for phase in sorted({int(self.phase[e]) for e in episodes}):
            own = [e for e in episodes if self.phase[e] == phase]
            kept = self._weights.setdefault(phase, {})
            self._there.setdefault(phase, np.zeros(len(self.phase), np.bool_))[own] = True
            for name, array in weights.items():
                kept.setdefault(name, torch.zeros_like(array))[own] = array[own]

    def has(self, episode: int) -> bool:
        """Whether an episode has a phase behind it whose weights were kept."""
        return any(there[episode] for there in self._there.values())

    def read(
        self,
        episodes: list[int],
        rows: Sequence[_Ids],
        phases: Sequence[_Ids] | None,
        current: Mapping[int, bool],
        weights: _Weights,
        read: Read,
    ) -> list[Tensor]:
        """Scores ``(C, n)`` of rows of each episode, every row by one adapter.

        Args:
            episodes: R episodes, each with a phase behind it.
            rows: Row ids ``(n,)`` of each.
            phases: Phase of each row ``(n,)``, where it is known; None infers it.
            current: Whether an episode has trained the adapter of the phase that it is in.
            weights: Present weights ``(E, ...)``.
            read: Reads rows with given weights.
        """
        n_rows = [len(own) for own in rows]
        surest = [np.full(n, -np.inf) for n in n_rows]
        found: list[Tensor | None] = [None] * len(episodes)
        every: list[tuple[_Weights, list[bool], int | None]] = [
            (self._weights[phase], [bool(self._there[phase][e]) for e in episodes], phase)
            for phase in sorted(self._there)
        ]
        every.append((weights, [current[e] for e in episodes], None))
        for own, there, phase in every:
            asked = [r for r, able in enumerate(there) if able and n_rows[r] > 0]
            chosen = [episodes[r] for r in asked]
            said = read(chosen, [rows[r] for r in asked], own) if asked else []
            for r, scores in zip(asked, said, strict=True):
                sure = torch.softmax(scores.float(), 0).amax(0).cpu().numpy().astype(np.float64)
                if phases is not None:  # its own adapter is surer of a row than any other can be
                    number = self.phase[episodes[r]] if phase is None else phase
                    sure[phases[r] == number] = 2.0
                better = sure > surest[r]
                surest[r] = np.where(better, sure, surest[r])
                before = found[r]
                by = torch.from_numpy(better).to(scores.device)
                found[r] = scores if before is None else torch.where(by, scores, before)
        empty = read(episodes, list(rows), weights) if any(one is None for one in found) else []
        return [empty[r] if one is None else one for r, one in enumerate(found)]

    def state(self) -> dict[str, Tensor]:
        """What phases have left, by name; nothing where none has been kept."""
        if not self._there:
            return {}
        arrays = {}
        for number, there in self._there.items():
            arrays[f"{number}/there"] = torch.from_numpy(there)
            arrays |= {f"{number}/weights/{name}": array for name, array in self._weights[number].items()}
        return arrays

    def load_state(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Put episodes that have just been started where ``state`` was taken. Mutates."""
        for name, array in state.items():
            number, _, rest = name.partition("/")
            if rest == "there":
                self._there[int(number)] = array.numpy().copy()
            elif rest:
                own = self._weights.setdefault(int(number), {})
                own[rest.removeprefix("weights/")] = array.to(device, copy=True)
