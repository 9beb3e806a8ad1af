"""Stochastic batches: how often rows are drawn, against the chances that the paper's table promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.strategies.stochastic import StochasticBatch
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded


@dataclass(frozen=True)
class Given:
    """Scores that are written down for the available columns."""

    values: tuple[float, ...]
    name: str = "given"

    def score(self, view: PoolView) -> Tensor:
        """The values, and a large number where nothing can be bought."""
        scores = torch.full(view.ids.shape, 99.0)
        for e in range(view.n_episodes):
            scores[e, view.available[e]] = torch.tensor(self.values)
        return scores

    def select(self, view: PoolView, n: int) -> Tensor:
        """The largest values."""
        return take_top(view, self.score(view), n)


def many_views() -> PoolView:
    """3,000 episodes with five rows to choose from."""
    options = EpisodeOptions(pool_size=8, dev_size=5, initial_size=3, budget=4, batch_size=1)
    engine = LabelingEngine([synthetic_encoded(100, 2, seed=0)], options, 3000)
    engine.reset([Streams(k) for k in range(3000)])
    return engine.view


SCORES = (0.5, 0.0, 0.2, 0.2, 0.1)


@pytest.mark.parametrize(
    ("kind", "beta", "chances"),
    [
        ("power", 1.0, [0.5, 0.0, 0.2, 0.2, 0.1]),
        ("power", 2.0, [0.25, 0.0, 0.04, 0.04, 0.01]),
        ("softmax", 3.0, list(np.exp(3.0 * np.array(SCORES)))),
        ("softrank", 1.0, [1.0, 1 / 5, 1 / 2, 1 / 2, 1 / 4]),
    ],
)
def test_the_first_row_is_drawn_with_the_chances_of_the_paper(
    kind: str, beta: float, chances: list[float]
) -> None:
    view = many_views()
    ids = StochasticBatch("tested", Given(SCORES), kind, beta).select(view, 1)  # type: ignore[arg-type]
    places = [
        torch.searchsorted(row[free], pick)
        for row, free, pick in zip(view.ids, view.available, ids, strict=True)
    ]
    counts = np.bincount(torch.cat(places).numpy(), minlength=5)
    expected = 3000 * np.array(chances) / np.sum(chances)
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert statistic < chi2.ppf(0.999, df=possible.sum() - 1)


def test_a_row_with_score_zero_comes_last_but_it_comes() -> None:
    view = many_views()
    ids = StochasticBatch("tested", Given(SCORES)).select(view, 5)
    for row, free, picks in zip(view.ids, view.available, ids, strict=True):
        assert picks[4] == row[free][1]


def test_a_cold_batch_is_the_batch_of_the_base(mixed: LabelingEngine) -> None:
    for kind in ("power", "softmax", "softrank"):
        cold = StochasticBatch("cold", make_strategy("entropy"), kind, beta=1e9)
        assert cold.select(mixed.view, 6).tolist() == make_strategy("entropy").select(mixed.view, 6).tolist()


def test_power_margin_prefers_small_margins(mixed: LabelingEngine) -> None:
    view = mixed.view
    ids = torch.cat([make_strategy("power-margin").select(view, 5) for _ in range(60)], 1)
    for e in range(6):
        columns = torch.searchsorted(view.ids[e], ids[e])
        assert view.margin[e, columns].mean() < view.margin[e][view.available[e]].mean()


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="Did you mean 'softrank'"):
        StochasticBatch("mine", Given(SCORES), "softrnak")  # type: ignore[arg-type]
    with pytest.raises(ReActError, match="must be above 0"):
        StochasticBatch("mine", Given(SCORES), beta=0.0)
