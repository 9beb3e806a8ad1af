"""Where episodes stand: what was spent, how many labels and rounds, and the dev metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError


@dataclass(frozen=True)
class DevMetric:
    """One dev metric of each episode; arrays of length E.

    Args:
        now: Of the present model.
        before: One round ago.
        start: Of the initial labelled set.
    """

    now: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]
    start: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """Where each episode stands; arrays of length E.

    Args:
        budget: Cost units that one episode may spend.
        batch_size: Rows queried in one round.
        spent: Cost units spent.
        labels: Labels bought, the initial set included.
        rounds: Rounds played.
        dev: Dev metrics by name, those that the engine measures.
        pool_size: Rows of the pool, the initial labelled set included.
        n_classes: Classes of the episode.
        phase: Phase that the episode is in, from 0 on.
        n_phases: Phases of the episode, 1 on a corpus without any.
        phase_spent: Share of what the phase may spend that was spent in it; of the budget without phases.
    """

    budget: float
    batch_size: int
    spent: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    rounds: npt.NDArray[np.int64]
    dev: Mapping[str, DevMetric]
    pool_size: npt.NDArray[np.int64]
    n_classes: npt.NDArray[np.int64]
    phase: npt.NDArray[np.int64]
    n_phases: npt.NDArray[np.int64]
    phase_spent: npt.NDArray[np.float64]

    def metric(self, name: str) -> DevMetric:
        """The dev metric of that name.

        Raises:
            ReActError: The engine does not measure it.
        """
        if name not in self.dev:
            raise ReActError(
                f"The dev metric {name!r} is asked for, but only {', '.join(self.dev)} are measured; "
                f"give the engine metrics=[..., {name!r}]."
            )
        return self.dev[name]


class DevMetrics:
    """Dev metrics of E episodes: now, when the last round ended, one round ago, at the start.

    Args:
        names: Names of the metrics.
        n_episodes: E.

    Attributes:
        current: Of the present models, by name.
        reached: When the last round ended: where a phase began then, without its dev rows.
    """

    def __init__(self, names: Sequence[str], n_episodes: int) -> None:
        self.current: dict[str, npt.NDArray[np.float64]] = {name: np.zeros(n_episodes) for name in names}
        self.reached = self.current
        self._before = {name: np.zeros(n_episodes) for name in names}
        self._start = {name: np.zeros(n_episodes) for name in names}

    def note(self, found: Mapping[str, Tensor]) -> None:
        """Take the metrics ``(E,)`` of the present models, by name. Mutates."""
        self.current = {name: values.to(torch.float64).cpu().numpy() for name, values in found.items()}

    def begin(self, episodes: Sequence[int]) -> None:
        """Episodes begin with the present models. Mutates."""
        some = list(episodes)
        for name, values in self.current.items():
            self._before[name][some] = self._start[name][some] = values[some]
        self.reached = self.current

    def keep(self, episodes: npt.NDArray[np.bool_] | None = None) -> None:
        """What is current is one round ago from now on in these episodes ``(E,)``, None: in all. Mutates."""
        for name, values in self.current.items():
            old = self._before[name]
            self._before[name] = values.copy() if episodes is None else np.where(episodes, values, old)

    def seen(self) -> dict[str, DevMetric]:
        """Copies for a view, by name."""
        return {
            name: DevMetric(values.copy(), self._before[name].copy(), self._start[name].copy())
            for name, values in self.current.items()
        }

    def state(self) -> dict[str, Tensor]:
        """All of it, by name."""
        parts = {"current": self.current, "before": self._before, "start": self._start}
        return {
            f"{part}/{name}": torch.from_numpy(values)
            for part, named in parts.items()
            for name, values in named.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where ``state`` was taken, between two rounds. Mutates."""
        self.current, self._before, self._start = (
            {name: state[f"{part}/{name}"].numpy().copy() for name in self.current}
            for part in ("current", "before", "start")
        )
        self.reached = self.current
