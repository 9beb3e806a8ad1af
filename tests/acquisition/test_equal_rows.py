"""Rows with one embedding get one score, wherever they stand in the pool and however it is rounded."""

from __future__ import annotations

import pytest
import torch

from react_rl.acquisition import FEATURES, make_strategy, suited
from react_rl.acquisition.features import Growth
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded

WIDTHS = (60, 129, 157, 170)
"""No multiples of what a processor computes at once: the last columns are computed in another way."""

BY_CHANCE = {"random", "power-margin", "power-bald", "random-per-cost", "albl", "falcun", "tailor"}
"""Their scores are drawn."""

CUT = {"weighted-k-means", "expected-error", "refine", "bait"}
"""Of equal rows at the border of the candidates, or of a batch, some are inside and some are not."""

ELSEWHERE = {"alps"}
"""Looks at surprisal, not at embeddings."""

OF_TEXTS = {"brevity", "cheapness"}


@pytest.fixture(scope="module")
def views() -> list[PoolView]:
    """Pools in which most rows have a copy far away."""
    made = synthetic_encoded(300, 3)
    vectors = made.embeddings.numpy().copy()
    vectors[150:] = vectors[:150]
    data = EncodedCorpus.build(made.corpus, vectors)
    found = []
    for width in WIDTHS:
        options = EpisodeOptions(pool_size=width, dev_size=30, initial_size=6, budget=20)
        engine = LabelingEngine([data], options, 4)
        engine.reset([Streams(seed) for seed in range(4)])
        found.append(engine.view)
    return found


def assert_copies_agree(view: PoolView, values: torch.Tensor) -> None:
    assert view.copy_pairs is not None
    episode, column, copy = view.copy_pairs
    first = torch.arange(view.width).repeat(view.n_episodes, 1)
    first[episode, column] = copy
    twins = view.available & (first != torch.arange(view.width))
    assert int(twins.sum()) > 10
    torch.testing.assert_close(values, values.gather(1, first), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", sorted({*suited(), "learned"} - BY_CHANCE - CUT - ELSEWHERE))
def test_copies_have_one_score(name: str, views: list[PoolView]) -> None:
    for view in views:
        strategy = make_strategy(name)
        if not hasattr(strategy, "score"):
            pytest.skip("does not score rows")
        assert_copies_agree(view, strategy.score(view))


@pytest.mark.parametrize("name", sorted(set(FEATURES) - OF_TEXTS))
def test_copies_have_one_value_of_a_feature(name: str, views: list[PoolView]) -> None:
    for view in views:
        assert_copies_agree(view, FEATURES[name](view))


@pytest.mark.parametrize("name", sorted(name for name in FEATURES if FEATURES[name].moves))
def test_copies_have_one_value_after_a_pick_among_few_rows(name: str, views: list[PoolView]) -> None:
    for view in views:
        growth = Growth(view)
        FEATURES[name].levelled(growth)
        rows = torch.arange(7, view.width).expand(view.n_episodes, -1)
        growth.narrow(rows)
        growth.add(torch.full((view.n_episodes,), 9))
        values = FEATURES[name].levelled(growth)
        groups = view.copy_groups
        assert groups is not None
        for episode in range(view.n_episodes):
            for group in set(groups[episode, 7:].tolist()):
                of_copies = values[episode, groups[episode, 7:] == group]
                assert torch.equal(of_copies, of_copies[:1].expand_as(of_copies))
