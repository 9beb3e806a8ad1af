"""Episodes may begin without any label: every strategy of classification buys a first batch."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.acquisition import make_strategy
from react_rl.acquisition.registry import STRATEGIES
from react_rl.learners.registry import offers_of
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=0, budget=8, batch_size=4)
SUITED = [n for n, entry in STRATEGIES.items() if set(entry.needs) <= offers_of(None, "classification")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SUITED)
def test_a_strategy_buys_its_first_batch_without_labels(name: str) -> None:
    engine = LabelingEngine([synthetic_encoded(200)], OPTIONS, n_episodes=2)
    engine.reset([Streams(seed) for seed in range(2)])
    assert engine.labels.tolist() == [0, 0]
    strategy = make_strategy(name)
    while not engine.finished.all():
        engine.step(strategy.select(engine.view, n=4))
    assert engine.labels.tolist() == [8, 8]
    assert all(len(set(own)) == 8 for own in np.asarray(engine.ledger.columns[:, :8]).tolist())
