"""A bandit over strategies that is paid in labels of rare classes (TAILOR)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.errors import ReActError
from react_rl.files import canonical_json
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.view import PoolView

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tailor:
    """Thompson sampling over strategies: the one whose next label is expected to be rarest gives a row.

    What an arm's labels are is a multinomial with a Dirichlet prior of ones. For each row of the batch a
    distribution is drawn for each arm from its posterior, and the arm of the largest expected worth gives its
    best row that is not taken yet. A label of class c is worth ``1 / n_c``, n_c its labels so far (at least
    1), and ``-1 / n_c`` where the class has more than half of all labels. All draws of a
    batch use what was known before it; afterwards counts fade by ``decay`` and the new labels are added.

    What an episode has taught is in its notebook: a new episode starts with the prior.

    Source: Zhang et al. 2023, Algorithm selection for deep active learning with imbalanced datasets
    (TAILOR), with the reward for diversity of its code.

    Args:
        name: Name in tables and configs.
        strategies: The arms.
        decay: What is left of earlier counts after a round, 0 to 1.

    Raises:
        ReActError: There is no strategy, or the decay is out of range.
    """

    name: str
    strategies: tuple[QueryStrategy, ...]
    decay: float = 0.9

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ReActError(f"Strategy {self.name!r} has no strategies to learn about; name at least one.")
        if not 0 <= self.decay <= 1:
            raise ReActError(f"decay {self.decay} must be between 0 and 1.")

    def score(self, view: PoolView) -> Tensor:
        """1 for the row that a draw takes first, 0 for all others ``(E, P)``."""
        ids, _ = self._draw(view, view.progress.batch_size, self._counts(view))
        return chosen_columns(view.columns_of(ids[:, :1]), view.width).float()

    def select(self, view: PoolView, n: int) -> Tensor:
        """Draw an arm for each of ``n`` rows."""
        counts = self._counts(view)
        ids, arms = self._draw(view, n, counts)
        numbers = ids.cpu().numpy()
        for episode, known in counts.items():
            taken = numbers[episode] >= 0
            page = self._page(view, episode)
            page["counts"] = known.tolist()
            page["pending"] = [
                int(view.progress.rounds[episode]),
                numbers[episode][taken].tolist(),
                arms[episode][taken].tolist(),
            ]
        return ids

    def _draw(
        self, view: PoolView, n: int, counts: dict[int, _Floats]
    ) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Row ids ``(E, n)``, and the arms ``(E, n)`` that gave them."""
        offers = torch.stack([arm.select(view, n) for arm in self.strategies], 1).cpu().numpy()  # (E, K, n)
        worths = _worths(view)
        ids = np.full((view.n_episodes, n), -1, dtype=np.int64)
        arms = np.full((view.n_episodes, n), -1, dtype=np.int64)
        for episode, known in counts.items():
            drawn = view.generator(episode).standard_gamma(1.0 + known, (n, *known.shape))  # (n, K, C)
            expected = (drawn / drawn.sum(2, keepdims=True)) @ worths[episode][: known.shape[1]]
            taken: set[int] = set()
            for place in range(n):
                for arm in np.argsort(-expected[place]).tolist():
                    left = [row for row in offers[episode, arm].tolist() if row >= 0 and row not in taken]
                    if left:
                        ids[episode, place], arms[episode, place] = left[0], arm
                        taken.add(left[0])
                        break
        return torch.from_numpy(ids).to(view.device), arms

    def _counts(self, view: PoolView) -> dict[int, _Floats]:
        """Faded labels of each arm and class ``(K, C)`` of every episode that can buy something."""
        found, bought = {}, None
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            page = self._page(view, episode)
            own = int(view.progress.n_classes[episode])
            counts = np.array(page["counts"]) if page else np.zeros((len(self.strategies), own))
            if page and page["pending"][0] < view.progress.rounds[episode]:
                bought = _bought(view) if bought is None else bought
                counts = counts * self.decay
                for row, arm in zip(*page["pending"][1:], strict=True):
                    if row in bought[episode]:
                        counts[arm, bought[episode][row]] += 1.0
            found[episode] = counts
        return found

    def _page(self, view: PoolView, episode: int) -> dict[str, Any]:
        arms = [strategy.name for strategy in self.strategies]
        return view.notebook(episode).page(canonical_json([self.name, self.decay, *arms]))


def _worths(view: PoolView) -> _Floats:
    """What a label of each class is worth ``(E, C)``."""
    counts: _Floats = view.class_counts.double().cpu().numpy()
    common = counts > 0.5 * counts.sum(1, keepdims=True)
    worths: _Floats = np.where(common, -1.0, 1.0) / np.maximum(counts, 1.0)
    return worths


def _bought(view: PoolView) -> list[dict[int, int]]:
    """Class of each answered row by its id, for each episode."""
    columns, live = view.labelled_columns
    ids = view.ids.gather(1, columns).cpu().numpy()
    labels = view.labelled_geometry[1].argmax(1).cpu().numpy()
    answered = live.cpu().numpy() > 0
    return [
        dict(zip(ids[e][answered[e]].tolist(), labels[e][answered[e]].tolist(), strict=True))
        for e in range(view.n_episodes)
    ]
