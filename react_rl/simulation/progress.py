"""Where episodes stand: what was spent, how many labels and rounds, and the dev metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
