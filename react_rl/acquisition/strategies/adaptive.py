"""Strategies of strategies: which one chooses depends on how far the episode is.

The order is fixed before the episode begins. ``bandit`` learns while an episode runs which strategy to
trust; a policy in the choose-strategy action space learns it from many episodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView


@dataclass(frozen=True)
class PhaseSwitch:
    """One strategy until a share of the budget is spent, then another.

    With few labels the model's uncertainty says little, so a batch should cover the pool; later the model
    knows where it is unsure.

    Source: Hacohen et al. 2022, Active learning on a budget: opposite strategies suit high and low budgets.

    Args:
        name: Name in tables and configs.
        early: Chooses first.
        late: Chooses once ``share`` of the budget is spent.
        share: Share of the budget, 0 to 1.

    Raises:
        ReActError: ``share`` is outside 0 to 1.
    """

    name: str
    early: QueryStrategy
    late: QueryStrategy
    share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ReActError(f"share {self.share} is not a share of the budget; use 0 to 1.")

    def _choice(self, view: PoolView) -> npt.NDArray[np.int64]:
        late = view.progress.spent >= self.share * view.progress.budget
        return late.astype(np.int64)

    def score(self, view: PoolView) -> Tensor:
        """Scores of the strategy whose phase it is ``(E, P)``."""
        return dispatch_scores(view, (self.early, self.late), self._choice(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Let the strategy whose phase it is choose."""
        return dispatch(view, (self.early, self.late), self._choice(view), n)


@dataclass(frozen=True)
class RoundRobin:
    """Strategies in turn, one a round: round r is the turn of strategy r modulo their number.

    Source: the fixed mixture that bandits over strategies are measured against, e.g. Baram et al. 2004,
    Online choice of active learning algorithms.

    Args:
        name: Name in tables and configs.
        strategies: The strategies, in order.

    Raises:
        ReActError: There is no strategy.
    """

    name: str
    strategies: tuple[QueryStrategy, ...]

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ReActError(f"Strategy {self.name!r} takes turns among none; name at least one strategy.")

    def _choice(self, view: PoolView) -> npt.NDArray[np.int64]:
        return view.progress.rounds % len(self.strategies)

    def score(self, view: PoolView) -> Tensor:
        """Scores of the strategy whose turn it is ``(E, P)``."""
        return dispatch_scores(view, self.strategies, self._choice(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Let the strategy whose turn it is choose."""
        return dispatch(view, self.strategies, self._choice(view), n)


def dispatch(
    view: PoolView, strategies: tuple[QueryStrategy, ...], choice: npt.NDArray[np.int64], n: int
) -> Tensor:
    """Row ids ``(E, n)`` picked by strategy ``choice[e]`` in episode e; no other stream moves."""
    ids = torch.full((view.n_episodes, n), -1, dtype=torch.int64, device=view.device)
    for k, chosen, focus in _shares(view, choice):
        ids = torch.where(chosen, strategies[k].select(focus, n), ids)
    return ids


def dispatch_scores(
    view: PoolView, strategies: tuple[QueryStrategy, ...], choice: npt.NDArray[np.int64]
) -> Tensor:
    """Scores ``(E, P)`` float64 of strategy ``choice[e]`` in episode e."""
    scores = torch.zeros(view.ids.shape, dtype=torch.float64, device=view.device)
    for k, chosen, focus in _shares(view, choice):
        scores = torch.where(chosen, strategies[k].score(focus).double(), scores)
    return scores


def _shares(view: PoolView, choice: npt.NDArray[np.int64]) -> list[tuple[int, Tensor, PoolView]]:
    """Each strategy that is chosen somewhere, its episodes ``(E, 1)``, and the view of these alone."""
    shares = []
    for k in np.unique(choice).tolist():
        mine = choice == k
        focus = view if mine.all() else view.only(mine)
        shares.append((k, torch.from_numpy(mine).to(view.device)[:, None], focus))
    return shares
