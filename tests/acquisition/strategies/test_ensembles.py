"""TAILOR's labels, worths and draws; what REFINE leaves of a pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.strategies.coverage import MaxHerding
from react_rl.acquisition.strategies.filtering import Refine
from react_rl.acquisition.strategies.thompson import Tailor, _worths
from react_rl.acquisition.strategies.uncertainty import Margin, RandomSampling
from react_rl.acquisition.wide import bounded
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=200, dev_size=20, initial_size=6, budget=60, batch_size=4)


@dataclass(frozen=True)
class OfClass:
    """Looks at the truth: rows of one class first."""

    name: str
    truth: Tensor
    wanted: int

    def score(self, view: PoolView) -> Tensor:
        return (self.truth[view.ids.clamp_max(self.truth.numel() - 1)] == self.wanted).float()

    def select(self, view: PoolView, n: int) -> Tensor:
        return take_top(view, self.score(view), n)


def started(n_episodes: int = 4, n_classes: int = 3) -> LabelingEngine:
    engine = LabelingEngine([synthetic_encoded(400, n_classes)], OPTIONS, n_episodes)
    engine.reset([Streams(k) for k in range(n_episodes)])
    return engine


def arms(engine: LabelingEngine) -> tuple[QueryStrategy, ...]:
    truth = torch.tensor(engine.corpora[0].corpus.targets)
    return OfClass("first", truth, 0), OfClass("second", truth, 1)


def test_labels_of_rare_classes_are_worth_more_and_those_of_a_common_one_less_than_nothing() -> None:
    engine = started()
    counts, worths = engine.view.class_counts.numpy(), _worths(engine.view)
    for own, worth in zip(counts, worths, strict=True):
        for c, n in enumerate(own.tolist()):
            sign = -1 if n > own.sum() / 2 else 1
            assert worth[c] == pytest.approx(sign / max(n, 1))


def test_the_labels_of_a_batch_are_counted_for_the_arms_that_gave_them() -> None:
    engine = started()
    tailor = Tailor("mine", arms(engine), decay=0.5)
    expected = np.zeros((4, 2, 3))
    targets = engine.corpora[0].corpus.targets
    for _ in range(3):
        view = engine.view
        ids = tailor.select(view, 4)
        assert torch.equal(tailor.select(view, 4).sort(1).values.ge(0), ids.ge(0)), "asked twice"
        noted = [tailor._page(view, e)["pending"] for e in range(4)]
        engine.step(torch.tensor([rows for _, rows, _ in noted]))
        expected *= 0.5
        for e, (_, rows, given) in enumerate(noted):
            for row, arm in zip(rows, given, strict=True):
                expected[e, arm, targets[row]] += 1
        found = tailor._counts(engine.view)
        np.testing.assert_allclose([found[e] for e in range(4)], expected)


def test_the_arm_that_brings_the_rarer_class_comes_to_be_drawn() -> None:
    engine = started(24, 2)
    tailor = Tailor("mine", arms(engine))
    for _ in range(15):
        engine.step(tailor.select(engine.view, 4))
    shares = engine.view.class_counts / engine.view.class_counts.sum(1, keepdim=True)
    by_chance = started(24, 2)
    for _ in range(15):
        by_chance.step(make_strategy("random").select(by_chance.view, 4))
    other = by_chance.view.class_counts / by_chance.view.class_counts.sum(1, keepdim=True)
    assert float((shares - 0.5).abs().mean()) < float((other - 0.5).abs().mean())


def test_a_new_episode_knows_nothing_of_the_last() -> None:
    engine = started()
    tailor = make_strategy("tailor")
    assert isinstance(tailor, Tailor)
    engine.step(tailor.select(engine.view, 4))
    assert any(counts.any() for counts in tailor._counts(engine.view).values())
    engine.reset([Streams(k) for k in range(4)])
    assert not any(counts.any() for counts in tailor._counts(engine.view).values())


def test_refine_covers_the_union_of_picks_of_picks() -> None:
    engine = started()
    view = engine.view
    strategies = (Margin(), MaxHerding())
    left = view.available.clone()
    sizes = [194 // 4, 194 // 8]
    for size in sizes:
        kept = torch.zeros_like(left)
        for strategy in strategies:
            ids = strategy.select(view.within(left), size)
            for e in range(4):
                kept[e, torch.searchsorted(view.ids[e], ids[e])] = True
        assert int(kept.sum(1).max()) <= 2 * size
        left = kept
    refine = Refine("mine", strategies, rounds=2)
    assert torch.equal(refine._filtered(started().view, 4).available, left)
    scores = refine.score(started().view)
    assert bool((scores[~left] == -1).all())
    assert bool((scores[left] >= 0).all())


def test_refine_treats_an_episode_with_fewer_rows_as_if_it_were_alone() -> None:
    refine = make_strategy("refine")
    rows = torch.arange(200).expand(2, -1) < torch.tensor([[200], [90]])
    together = refine.select(started(2).view.within(rows), 4)
    for e in range(2):
        alone = started(2).view.within(rows).only(np.arange(2) == e)
        assert refine.select(alone, 4)[e].tolist() == together[e].tolist()


def test_refine_draws_from_a_large_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 60)
    drawn: list[int] = []

    class Seen(MaxHerding):
        def select(self, view: PoolView, n: int) -> Tensor:
            drawn.append(int(view.n_available.max()))
            return super().select(view, n)

    ids = Refine("mine", (Seen(),)).select(started().view, 4)
    assert max(drawn) == 60
    assert all(len(set(row)) == 4 and min(row) >= 0 for row in ids.tolist())


def test_ensembles_of_nothing_are_refused() -> None:
    with pytest.raises(ReActError, match="no strategies to learn about"):
        Tailor("mine", ())
    with pytest.raises(ReActError, match=r"decay 1\.5"):
        Tailor("mine", (RandomSampling(),), decay=1.5)
    with pytest.raises(ReActError, match="filters 0 times"):
        Refine("mine", (Margin(),), rounds=0)
