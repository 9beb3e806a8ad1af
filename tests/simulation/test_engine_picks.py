"""Rows that are bought one by one before a refit: the view knows them, their labels come with the refit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=20, batch_size=4)


def engine(n: int = 3, priced: bool = False) -> LabelingEngine:
    made = synthetic_encoded(300, 3, seed=3)
    if priced:
        cost = np.random.default_rng(0).uniform(0.5, 4.0, 300)
        made = replace(made, corpus=replace(made.corpus, cost=cost), cost=torch.from_numpy(cost))
    one = LabelingEngine([made], OPTIONS, n)
    one.reset([Streams(k) for k in range(n)])
    return one


@pytest.mark.parametrize("priced", [False, True])
def test_picks_and_a_refit_end_where_the_whole_batch_does(priced: bool) -> None:
    whole, picked = engine(priced=priced), engine(priced=priced)
    for _ in range(4):
        ids = make_strategy("mixture").select(whole.view, 4)
        round_ = whole.step(ids)
        for pick in ids.unbind(1):
            picked.buy(pick[:, None])
        same = picked.learn()
        np.testing.assert_array_equal(same.ids, round_.ids)
        np.testing.assert_allclose(same.cost, round_.cost)
        np.testing.assert_array_equal(same.finished, round_.finished)
        for name in ("spent", "rounds", "labels"):
            np.testing.assert_allclose(getattr(picked, name), getattr(whole, name))
        torch.testing.assert_close(picked.view.logits, whole.view.logits, atol=1e-4, rtol=0)


def test_the_view_knows_a_pick_but_not_its_label() -> None:
    one = engine()
    before = one.view
    ids = make_strategy("margin").select(before, 1)
    column = torch.searchsorted(before.ids, ids)
    one.buy(ids)
    view = one.view
    assert not view.available.gather(1, column).any()
    assert view.n_available.tolist() == [n - 1 for n in before.n_available.tolist()]
    assert view.picks.tolist() == column.tolist()
    assert view.start is before
    assert (view.progress.spent == 1).all()
    assert one.labels.tolist() == [6, 6, 6]
    torch.testing.assert_close(view.class_counts, before.class_counts)
    torch.testing.assert_close(view.logits, before.logits, atol=0, rtol=0)
    one.learn()
    assert one.view.picks.shape == (3, 0)
    assert one.labels.tolist() == [7, 7, 7]
    assert one.view.class_counts.sum(1).tolist() == [7, 7, 7]


def test_a_view_made_after_the_picks_is_the_one_that_followed_them() -> None:
    followed, late = engine(priced=True), engine(priced=True)
    for _ in range(2):
        ids = make_strategy("mixture").select(followed.view, 1)
        for one in (followed, late):
            one.buy(ids)
    late.stop(np.zeros(3, dtype=np.bool_))
    for name in ("available", "labelled", "picks"):
        assert torch.equal(getattr(followed.view, name), getattr(late.view, name)), name
    assert torch.equal(followed.view.start.available, late.view.start.available)
    np.testing.assert_allclose(followed.view.progress.spent, late.view.progress.spent)


def test_episodes_at_different_picks_are_refitted_apart() -> None:
    mixed, alone = engine(2), engine(2)
    chosen = [make_strategy("random").select(mixed.view, 4), make_strategy("random").select(mixed.view, 4)]
    first, second = chosen[0], chosen[0]
    for place in range(4):
        ids = first[:, place : place + 1].clone()
        if place < 2:
            ids[1] = -1
        mixed.buy(ids)
    before = mixed.view.logits.clone()
    round_ = mixed.learn(np.array([True, False]))
    assert round_.ids.tolist() == [first[0].tolist(), [-1] * 4]
    assert round_.cost.tolist() == [4, 0]
    assert mixed.rounds.tolist() == [1, 0]
    assert mixed.labels.tolist() == [10, 6]
    assert torch.equal(mixed.view.logits[1], before[1])
    assert mixed.view.picks[1].tolist()[:2] == torch.searchsorted(mixed.view.ids[1], first[1, 2:]).tolist()
    assert (mixed.view.picks[0] == -1).all()
    mixed.learn(np.array([False, True]))
    alone.buy(torch.cat([second[:1], torch.nn.functional.pad(first[1:, 2:], (0, 2), value=-1)]))
    alone.learn()
    assert mixed.rounds.tolist() == [1, 1]
    torch.testing.assert_close(mixed.view.logits, alone.view.logits, atol=1e-4, rtol=0)


def test_a_row_is_not_bought_twice_in_one_round() -> None:
    one = engine()
    ids = make_strategy("margin").select(one.view, 1)
    one.buy(ids)
    with pytest.raises(ReActError, match="not an unlabelled row"):
        one.buy(ids)


def test_the_state_of_an_open_round_is_resumed() -> None:
    one, other = engine(), engine()
    one.buy(make_strategy("margin").select(one.view, 2))
    other.resume([Streams(k) for k in range(3)], None, {k: v.clone() for k, v in one.state().items()})
    assert torch.equal(other.view.picks, one.view.picks)
    rounds = [each.learn() for each in (one, other)]
    np.testing.assert_array_equal(rounds[0].ids, rounds[1].ids)
    assert torch.equal(one.view.logits, other.view.logits)


def test_episodes_that_begin_again_forget_their_open_round() -> None:
    one = engine(2)
    one.buy(make_strategy("margin").select(one.view, 1))
    one.reset([Streams(9)], [1])
    assert (one.view.picks[1] == -1).all()
    assert one.view.picks[0, 0] >= 0
    assert one.spent.tolist() == [1, 0]
