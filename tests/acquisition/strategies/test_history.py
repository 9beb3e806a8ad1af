"""Fluctuation: what former models said of a row counts, and is kept with the episode."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.history import Fluctuation
from react_rl.errors import ReActError
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_tagged

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=200, batch_size=3)


def engine_of() -> LabelingEngine:
    engine = LabelingEngine([synthetic_tagged(120)], OPTIONS, 2, ["entity_f1"], TaggerSettings())
    engine.reset([Streams(0), Streams(1)])
    return engine


def test_the_deviation_of_the_last_three_rounds_is_added_to_mnlp() -> None:
    engine, strategy = engine_of(), make_strategy("fluctuation")
    former: list[np.ndarray] = []
    for round_number in range(5):
        view = engine.view
        unsure = -view.tokens.mean_log_probability.double().numpy()
        expected = unsure.copy()
        for e in range(2):
            for p in range(40):
                last = [own[e, p] for own in (*former[-2:], unsure)]
                expected[e, p] += np.sqrt(np.mean((np.array(last) - np.mean(last)) ** 2))
        found = strategy.score(view).numpy()
        free = view.available.numpy()
        np.testing.assert_allclose(found[free], expected[free], rtol=1e-4, atol=1e-6)
        if round_number == 0:
            assert strategy.select(view, 3).tolist() == make_strategy("mnlp").select(view, 3).tolist()
        chosen = strategy.select(view, 3)
        # Choosing twice in a round changes nothing, and what is kept can be written as JSON.
        assert torch.equal(chosen, strategy.select(view, 3))
        state = json.loads(json.dumps(view.notebook(0).state()))
        assert len(state["fluctuation"]["entries"]) == min(round_number + 1, 3)
        former.append(unsure)
        engine.step(chosen)


def test_rows_without_a_history_are_judged_by_the_present_alone() -> None:
    engine, strategy = engine_of(), Fluctuation(rounds=2, weight=2.0)
    strategy.select(engine.view, 3)
    page = engine.view.notebook(0).page("fluctuation")
    kept = page["entries"][0]
    kept["ids"], kept["values"] = kept["ids"][::2], kept["values"][::2]
    engine.step(make_strategy("random").select(engine.view, 3))
    view = engine.view
    unsure = -view.tokens.mean_log_probability.double()
    extra = strategy.score(view) - unsure
    had = torch.isin(view.ids[0], torch.tensor(kept["ids"]))
    assert float(extra[0][view.available[0] & ~had].abs().max()) < 1e-6
    assert float(extra[0][view.available[0] & had].abs().max()) > 1e-4


@pytest.mark.parametrize(("rounds", "weight"), [(1, 1.0), (3, -1.0)])
def test_settings_that_mean_nothing_are_refused(rounds: int, weight: float) -> None:
    with pytest.raises(ReActError, match="look at 2 at least, with a weight of 0 or more"):
        Fluctuation(rounds=rounds, weight=weight)
