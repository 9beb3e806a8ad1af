"""Strategies that look back: how sure the models of former rounds were of a row that is still there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_top
from react_rl.errors import ReActError
from react_rl.simulation.notebook import recalled
from react_rl.simulation.view import PoolView

_Floats = npt.NDArray[np.float64]

_SMALLEST = 1e-30
"""Stands for a confidence of 0 where its logarithm is taken."""


@dataclass(frozen=True)
class Fluctuation:
    """Rows of which the model is unsure, and was now more so and now less.

    A row's value is ``u_t + weight * std(u_(t-k+1), ..., u_t)`` with u the least-confidence of a round,
    ``-log confidence``: in tagging the mean over the tokens, which is what MNLP takes. Former values are in
    the episode's notebook, by row; the first round has none, and its order is that of least confidence.

    Source: fluctuation of historical sequences (FHS), Yao et al. 2020, Looking back on the past: active
    learning with historical evaluation results, who take the variance; found strong for entities in the
    review of Kohl et al. 2024.

    Args:
        name: Name in tables and configs.
        rounds: k, the present one included.
        weight: Of the deviation.

    Raises:
        ReActError: There are fewer than two rounds, or the weight is negative.
    """

    name: str = "fluctuation"
    rounds: int = 3
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.rounds < 2 or self.weight < 0:
            raise ReActError(
                f"{self.name!r} looks at {self.rounds} rounds with weight {self.weight}; "
                "look at 2 at least, with a weight of 0 or more."
            )

    def score(self, view: PoolView) -> Tensor:
        """The values ``(E, P)`` float64."""
        return self._values(view, self._unsure(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the ``n`` rows with the largest value, and write down how sure the model is of all."""
        unsure = self._unsure(view)
        ids = take_top(view, self._values(view, unsure), n)
        self._write(view, unsure)
        return ids

    def _unsure(self, view: PoolView) -> _Floats:
        found: _Floats = -view.confidence.double().clamp_min(_SMALLEST).log().cpu().numpy()
        return found

    def _values(self, view: PoolView, unsure: _Floats) -> Tensor:
        values = unsure.copy()
        for episode, row_ids in enumerate(view.ids.cpu().numpy()):
            entries = self._former(view, episode)[1 - self.rounds :]
            former = [recalled(entry, "values", row_ids, np.nan) for entry in entries]
            if former:
                values[episode] += self.weight * np.nanstd([*former, unsure[episode]], axis=0)
        return torch.from_numpy(values).to(view.device)

    def _former(self, view: PoolView, episode: int) -> list[dict[str, Any]]:
        """What was written in rounds before this one, the oldest first."""
        now = int(view.progress.rounds[episode])
        entries = self._page(view, episode).get("entries", [])
        return [entry for entry in entries if entry["round"] < now]

    def _write(self, view: PoolView, unsure: _Floats) -> None:
        """Write this round's values on the page of each episode that buys."""
        for episode, free in enumerate(view.available.cpu().numpy()):
            if free.any():
                entry = {
                    "round": int(view.progress.rounds[episode]),
                    "ids": view.ids[episode].cpu().numpy()[free].tolist(),
                    "values": unsure[episode][free].tolist(),
                }
                former = self._former(view, episode)
                self._page(view, episode)["entries"] = [*former, entry][-self.rounds :]

    def _page(self, view: PoolView, episode: int) -> dict[str, Any]:
        return view.notebook(episode).page(self.name)
