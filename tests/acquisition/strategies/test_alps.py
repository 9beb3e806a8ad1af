"""ALPS is k-means on surprisal vectors, and says what is missing where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.clustering.k_means import k_means
from react_rl.acquisition.registry import needs_surprisal
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=80, dev_size=30, initial_size=5, budget=20, batch_size=6)


def started(surprisal: bool = True) -> LabelingEngine:
    data = [synthetic_encoded(300, size, seed=size) for size in (2, 5)]
    if not surprisal:
        data[1] = replace(data[1], surprisal=None)
    engine = LabelingEngine(data, OPTIONS, 4)
    engine.reset([Streams(k) for k in range(4)], corpora=[0, 1, 0, 1])
    return engine


def test_the_view_shows_the_surprisal_of_its_rows() -> None:
    engine = started()
    view = engine.view
    assert view.surprisal.shape == (4, 80, 24)
    for e in range(4):
        vectors = engine.corpus_of(e).surprisal
        assert vectors is not None
        assert torch.equal(view.surprisal[e], vectors[view.ids[e]])
    torch.testing.assert_close(view.surprisal.norm(dim=2), torch.ones(4, 80))


def test_alps_takes_the_row_nearest_to_each_centroid_of_the_surprisal() -> None:
    shown, again = started().view, started().view
    ids = make_strategy("alps").select(shown, 6)
    clusters = k_means(again, again.available, torch.full((4,), 6), vectors=again.surprisal)
    for e in range(4):
        picks = torch.searchsorted(again.ids[e], ids[e]).tolist()
        cluster = clusters.assignment[e].tolist()
        assert sorted(cluster[i] for i in picks) == list(range(6))
        x = again.surprisal[e].double()
        for pick in picks:
            gap = (x - clusters.centres[e, cluster[pick]].double()).square().sum(1)
            members = [i for i in again.available[e].nonzero()[:, 0].tolist() if cluster[i] == cluster[pick]]
            assert gap[pick] <= gap[members].min() + 1e-5
    assert ids.tolist() != make_strategy("k-means").select(started().view, 6).tolist()


def test_rows_that_surprise_in_different_places_are_taken_together() -> None:
    data = synthetic_encoded(300, 3, seed=1)
    group = np.arange(data.corpus.n_rows) % 6
    vectors = np.eye(8)[group] + 0.05 * np.random.default_rng(0).random((group.size, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    engine = LabelingEngine([replace(data, surprisal=torch.from_numpy(vectors).float())], OPTIONS, 8)
    engine.reset([Streams(k) for k in range(8)])
    groups = group[make_strategy("alps").select(engine.view, 6).numpy()]
    # k-means++ may start twice in one group, but seldom does.
    assert np.mean([len(set(row)) for row in groups.tolist()]) > 5.4


def test_a_corpus_without_surprisal_is_named() -> None:
    with pytest.raises(ReActError, match="'synthetic' carries no surprisal vectors"):
        make_strategy("alps").select(started(surprisal=False).view, 3)


def test_only_strategies_that_read_surprisal_ask_for_it() -> None:
    assert needs_surprisal(["margin", "alps"])
    assert needs_surprisal(["subsample:500:alps"])
    assert not needs_surprisal(["margin", "subsample:badge", "greedy-oracle", "some/policy"])
