"""A bandit over strategies: which of them chooses is learnt while the episode runs (ALBL with EXP4.P)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import to_ids
from react_rl.acquisition.contract import QueryStrategy
from react_rl.errors import ReActError
from react_rl.files import canonical_json
from react_rl.simulation.view import PoolView

_Floats = npt.NDArray[np.float64]
_Ids = npt.NDArray[np.int64]

_SMALLEST = 1e-30
"""Stands for a chance of 0 where logarithms are taken."""


class Exp4P:
    """EXP4.P with one expert for each of K arms: exponential weights with a bonus for arms seldom drawn.

    An arm is drawn with chance ``p_k = (1 - K p_min) w_k / sum w + p_min``. After a draw, with r_k the reward
    of arm k divided by the chance of what was drawn (0 for an arm that would have drawn something else),
    ``w_k <- w_k exp(p_min / 2 (r_k + sqrt(ln(K / delta) / (K T)) / p_k))``.

    Source: Beygelzimer et al. 2011, Contextual bandit algorithms with supervised learning guarantees,
    algorithm 1; p_min = sqrt(ln K / (K T)).

    Args:
        n_arms: K, at least 2.
        horizon: T, draws until the end.
        delta: Chance with which the regret may exceed its bound.
    """

    def __init__(self, n_arms: int, horizon: float, delta: float) -> None:
        self.smallest = min(float(np.sqrt(np.log(n_arms) / (n_arms * horizon))), 1.0 / n_arms)
        self._bonus = float(np.sqrt(np.log(n_arms / delta) / (n_arms * horizon)))
        self.log_weights = np.zeros(n_arms)
        """Logarithms of the arms' weights ``(K,)``; how large they are together means nothing."""

    @property
    def chances(self) -> _Floats:
        """Chance of each arm ``(K,)``, at least ``smallest``."""
        weights = np.exp(self.log_weights - self.log_weights.max())
        chances: _Floats = (1.0 - weights.size * self.smallest) * weights / weights.sum() + self.smallest
        return chances

    def learn(self, reward: float, shares: _Floats) -> None:
        """Learn from draws that were made with the present chances and share one reward. Mutates.

        Args:
            reward: 0 and more.
            shares: ``(b, K)`` for each draw, the chance with which arm k alone would have drawn the same,
                over the chance with which it was drawn.
        """
        bonus = shares.shape[0] * self._bonus / self.chances
        self.log_weights = self.log_weights + self.smallest / 2.0 * (reward * shares.sum(0) + bonus)


@dataclass
class _Batch:
    """Draws without a reward yet: their round, row ids ``(b,)``, chances ``(b,)``, shares ``(b, K)``."""

    round: int
    ids: _Ids
    chances: _Floats
    shares: _Floats


@dataclass
class _Course:
    """What one episode has told a bandit: weights, and 1 / chance of each row bought by its draws."""

    bandit: Exp4P
    horizon: float
    importance: dict[int, float] = field(default_factory=dict)
    pending: _Batch | None = None

    def write(self, page: dict[str, Any]) -> None:
        """Put everything on a page of the episode's notebook. Mutates the page."""
        batch = self.pending
        page["horizon"] = self.horizon
        page["log_weights"] = self.bandit.log_weights.tolist()
        page["importance"] = [[row, weight] for row, weight in self.importance.items()]
        page["pending"] = (
            None
            if batch is None
            else [batch.round, *(part.tolist() for part in (batch.ids, batch.chances, batch.shares))]
        )

    @classmethod
    def read(cls, page: Mapping[str, Any], delta: float) -> _Course:
        """What ``write`` put on a page."""
        weights = np.array(page["log_weights"])
        bandit = Exp4P(weights.size, page["horizon"], delta)
        bandit.log_weights = weights
        course = cls(bandit, page["horizon"], {int(row): weight for row, weight in page["importance"]})
        if page["pending"] is not None:
            number, ids, chances, shares = page["pending"]
            arrays = np.array(ids, np.int64), np.array(chances), np.array(shares)
            course.pending = _Batch(number, arrays[0], arrays[1], arrays[2].reshape(-1, weights.size))
        return course


@dataclass(frozen=True)
class ActiveLearningByLearning:
    """ALBL: draw each row of a batch by one of several strategies, and favour those whose rows did good.

    Strategy k advises its best row that the batch does not hold yet, and a further arm advises all rows
    evenly. Row j is drawn with chance ``q_j = sum_k p_k a_kj`` (a_kj is 1 for the row that k advises, or
    1 / rows for the even arm). When the labels are there, the reward of the draws is the importance-weighted
    accuracy of the new model f on the rows drawn so far,
    ``r = 1 / (N T) sum_i 1[y_i = f(x_i)] / q_i``,
    an unbiased estimate of its accuracy on the pool, over T (N rows in the pool, T draws in the budget). The
    p_k follow by EXP4.P (see ``Exp4P``), with ``r_k = r a_kj / q_j``.

    With batches of one this is the published algorithm, but for one thing: it draws from unlabelled rows
    only, where the authors draw from the whole pool and pass over rows that are labelled already. In a
    larger batch, all draws use the chances of its start and share one reward. Draws without an answer count
    for nothing.

    What an episode has taught is in its notebook, not in this object: a new episode starts with equal
    weights, and one that is entered midway starts with equal weights there.

    Source: Hsu & Lin 2015, Active learning by learning, algorithm 1; Beygelzimer et al. 2011 (EXP4.P).

    Args:
        name: Name in tables and configs.
        strategies: The strategies beside the even arm.
        delta: See ``Exp4P``.

    Raises:
        ReActError: There is no strategy, or delta is no chance.
    """

    name: str
    strategies: tuple[QueryStrategy, ...]
    delta: float = 0.1

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ReActError(f"Strategy {self.name!r} has no strategies to learn about; name at least one.")
        if not 0 < self.delta < 1:
            raise ReActError(f"delta {self.delta} is no chance; use one between 0 and 1.")

    def chances(self, view: PoolView) -> Tensor:
        """Chance of each strategy and (last) of the even arm ``(E, K)`` float64, after what was bought.

        0 in episodes that can buy nothing.
        """
        chances = np.zeros((view.n_episodes, len(self.strategies) + 1))
        told: tuple[_Ids, npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            course = self._course(view, episode)
            batch = course.pending
            if batch is not None and batch.round < view.progress.rounds[episode]:
                told = _answers(view) if told is None else told
                ids, answered, right = (array[episode] for array in told)
                self._reward(course, batch, ids[answered], right[answered], view.progress.pool_size[episode])
                course.write(self._page(view, episode))
            chances[episode] = course.bandit.chances
        return torch.from_numpy(chances).to(view.device)

    def score(self, view: PoolView) -> Tensor:
        """Logarithm of the chance of each row with Gumbel noise ``(E, P)`` float64: the largest is drawn."""
        return self._draw(view, *self._advice(view, view.progress.batch_size), view.available)[0]

    def select(self, view: PoolView, n: int) -> Tensor:
        """Draw ``n`` rows."""
        chances, advice = self._advice(view, n)
        free = view.available
        columns, drawn, shares = [], [], []
        for _ in range(n):
            scores, chance, advised = self._draw(view, chances, advice, free)
            column = torch.where(free, scores, -torch.inf).argmax(1)
            even = 1.0 / free.sum(1).clamp_min(1).double()
            columns.append(torch.where(free.any(1), column, -1))
            drawn.append(chance.gather(1, column[:, None])[:, 0])
            arms = torch.cat([(advised == column[:, None]).double(), even[:, None]], 1)
            shares.append(arms / drawn[-1].clamp_min(_SMALLEST)[:, None])
            free = free.scatter(1, column[:, None], False)
        ids = to_ids(view, torch.stack(columns, 1))
        self._note(view, ids, torch.stack(drawn, 1), torch.stack(shares, 1))
        return ids

    def _advice(self, view: PoolView, n: int) -> tuple[Tensor, Tensor]:
        """Chances of the arms ``(E, K)``, and the columns that strategies would take ``(E, K - 1, n)``."""
        chances = self.chances(view)
        ids = torch.stack([strategy.select(view, n) for strategy in self.strategies], 1)
        return chances, view.columns_of(ids.flatten(1)).view(ids.shape)

    def _draw(
        self, view: PoolView, chances: Tensor, advice: Tensor, free: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One draw: scores ``(E, P)``, chances of the rows ``(E, P)``, advised columns ``(E, K - 1)``."""
        left = free.gather(1, advice.clamp_min(0).flatten(1)).view(advice.shape) & (advice >= 0)
        places = torch.arange(advice.shape[2], device=view.device)
        first = torch.where(left, places, advice.shape[2] - 1).amin(2, keepdim=True)
        advised = torch.where(left.any(2), advice.gather(2, first)[:, :, 0], -1)
        even = chances[:, -1] / free.sum(1).clamp_min(1)
        chance = torch.where(free, even[:, None], 0.0)
        given = torch.where(advised >= 0, chances[:, :-1], 0.0)
        chance = chance.scatter_add(1, advised.clamp_min(0), given)
        noise = -(-view.random().clamp_min(_SMALLEST).log()).clamp_min(_SMALLEST).log()
        return chance.clamp_min(_SMALLEST).log() + noise, chance, advised

    def _page(self, view: PoolView, episode: int) -> dict[str, Any]:
        """This bandit's page in the notebook of an episode."""
        arms = [strategy.name for strategy in self.strategies]
        return view.notebook(episode).page(canonical_json([self.name, self.delta, *arms]))

    def _course(self, view: PoolView, episode: int) -> _Course:
        """What the episode has told so far; one that is entered midway has told nothing yet."""
        page = self._page(view, episode)
        if page:
            return _Course.read(page, self.delta)
        pool = view.available[episode] | view.labelled[episode]
        draws = view.progress.budget / max(float(view.cost[episode][pool].mean()), _SMALLEST)
        horizon = max(draws, 1.0)
        return _Course(Exp4P(len(self.strategies) + 1, horizon, self.delta), horizon)

    def _reward(
        self, course: _Course, batch: _Batch, ids: _Ids, right: npt.NDArray[np.bool_], pool_size: int
    ) -> None:
        """Reward the draws of a round by what was answered ``(n,)``. Mutates the course."""
        course.pending = None
        bought = np.isin(batch.ids, ids)
        if not bought.any():
            return
        chances = batch.chances[bought].tolist()
        course.importance.update(zip(batch.ids[bought].tolist(), (1.0 / q for q in chances), strict=True))
        total = sum(course.importance.get(row, 0.0) for row in ids[right].tolist())
        course.bandit.learn(total / (pool_size * course.horizon), batch.shares[bought])

    def _note(self, view: PoolView, ids: Tensor, chances: Tensor, shares: Tensor) -> None:
        """Keep the draws until their labels are there. Mutates the notebooks."""
        arrays = ids.cpu().numpy(), chances.cpu().numpy(), shares.cpu().numpy()
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            taken = arrays[0][episode] >= 0
            number = int(view.progress.rounds[episode])
            course = self._course(view, episode)
            course.pending = _Batch(number, *(array[episode][taken] for array in arrays))
            course.write(self._page(view, episode))


def _answers(view: PoolView) -> tuple[_Ids, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Ids of the labelled rows, which of them were answered, which the model gets right, ``(E, n)``."""
    columns, mask = view.labelled_columns
    onehot = view.labelled_geometry[1]
    right = view.predicted.gather(1, columns) == onehot.argmax(1)
    ids = view.ids.gather(1, columns)
    return ids.cpu().numpy(), (mask > 0).cpu().numpy(), right.cpu().numpy()
