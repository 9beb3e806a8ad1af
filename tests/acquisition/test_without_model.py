"""Families that are said to read embeddings alone do; what is said to remember rounds does."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.acquisition import make_strategy
from react_rl.acquisition.contract import WITHOUT_MODEL
from react_rl.acquisition.registry import STRATEGIES, entry_of, reads_model
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.view import PoolView

FREE = [n for n, entry in STRATEGIES.items() if entry.family in WITHOUT_MODEL and not entry.surprisal]


@pytest.mark.parametrize("name", [*FREE, "subsample:50:typiclust", "distinct:k-means"])
@pytest.mark.parametrize("initial", [0, 8])
def test_a_strategy_without_model_asks_for_no_scores(
    name: str, initial: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(_: PoolView) -> None:
        raise AssertionError("the model was asked")

    options = EpisodeOptions(pool_size=60, dev_size=20, initial_size=initial, budget=20, batch_size=5)
    engine = LabelingEngine([synthetic_encoded(200)], options)
    engine.reset([Streams(0)])
    view = engine.view
    monkeypatch.setattr(PoolView, "scores", property(asked))
    ids = make_strategy(name).select(view, 5)[0].numpy()
    assert np.unique(ids).size == 5
    assert not reads_model(name)


@pytest.mark.parametrize("name", ["margin", "mixture", "learned", "bald", "proxy:margin", "a-policy-of-mine"])
def test_others_may_ask(name: str) -> None:
    assert reads_model(name)


def test_strategies_that_go_by_earlier_rounds_say_so() -> None:
    remembering = {name for name, entry in STRATEGIES.items() if entry.remembers}
    assert remembering == {"fluctuation", "phase-switch", "round-robin", "albl", "tailor"}
    assert entry_of("subsample:50:albl").remembers
