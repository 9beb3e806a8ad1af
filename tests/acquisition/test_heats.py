"""Large pools: a close look at few rows finds what one at all rows finds, in room that does not grow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from react_rl.acquisition import make_strategy
from react_rl.acquisition.batching import heats
from react_rl.acquisition.batching.row_features import ROW_FEATURES, RowFeatures
from react_rl.acquisition.features import landmarks
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.agents import LearnedStrategy, scorer
from react_rl.agents.scorer import ScorerStrategy
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded


def started(rows: int = 300, episodes: int = 2, copies: bool = False, budget: int = 40) -> LabelingEngine:
    """Pools in their second round."""
    data = synthetic_encoded(2 * rows + 200, 3)
    if copies:
        vectors = data.embeddings.numpy().copy()
        vectors[len(vectors) // 2 :] = vectors[: len(vectors) // 2]
        data = EncodedCorpus.build(data.corpus, vectors)
    options = EpisodeOptions(pool_size=rows, dev_size=30, initial_size=8, budget=budget, batch_size=5)
    engine = LabelingEngine([data], options, episodes)
    engine.reset([Streams(seed) for seed in range(episodes)])
    engine.step(make_strategy("margin").select(engine.view, 5))
    return engine


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sums over more than 100 rows run over 64 of them."""
    monkeypatch.setattr(landmarks, "ALL", 100)
    monkeypatch.setattr(landmarks, "SAMPLE", 64)
    return monkeypatch


def learned(candidates: int = 40, heat: int = 100) -> ScorerStrategy:
    """The policy that ships, for which pools of more than 100 rows are large."""
    shipped = LearnedStrategy.from_pretrained()
    return ScorerStrategy(
        "learned", shipped.network, shipped.features, shipped.context, 100, candidates, heat
    )


def looked_at(view: PoolView) -> RowFeatures:
    """Features of the rows of the first pool that get a close look."""
    return heats.close_rows(view, 0, ROW_FEATURES, lambda f: f.values.sum(2), 60)


class Least(nn.Module):
    """Wants the least certain rows, by a square that a quadratic form fits."""

    def forward(self, rows: Tensor, _: Tensor) -> Tensor:
        return -(rows[:, :, ROW_FEATURES.index("margin")] - 9.0).square()


def test_a_close_look_at_every_row_picks_what_a_small_pool_picks(large: pytest.MonkeyPatch) -> None:
    engine = started()
    large.setattr(landmarks, "ALL", 1000)
    expected = make_strategy("learned").select(engine.view, 12)
    large.setattr(landmarks, "ALL", 100)
    large.setattr(landmarks, "SAMPLE", 1000)
    assert torch.equal(learned(candidates=1000).select(engine.view, 12), expected)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("heat", [1, 2, 5])
def test_heats_pick_what_one_race_of_all_rows_picks(
    heat: int, copies: bool, large: pytest.MonkeyPatch
) -> None:
    engine = started(copies=copies)
    large.setattr(scorer, "LEADERS", 1000)
    race = learned(candidates=60).select(engine.view, 12)
    assert torch.equal(learned(60, heat).select(started(copies=copies).view, 12), race)


def test_few_leaders_pick_nearly_what_all_rows_do(large: pytest.MonkeyPatch) -> None:
    large.setattr(scorer, "LEADERS", 1000)
    race = learned(candidates=200).select(started().view, 20)
    common = []
    for leaders in (20, 60):
        large.setattr(scorer, "LEADERS", leaders)
        found = learned(200, 5).select(started().view, 20)
        assert torch.equal(found[:, 0], race[:, 0])
        common.append(sum(len({*a} & {*b}) for a, b in zip(found.tolist(), race.tolist(), strict=True)))
    assert common[0] >= 20
    assert common[1] >= 32


def test_picks_taken_in_at_once_are_as_one_by_one(large: pytest.MonkeyPatch) -> None:
    together, single = looked_at(started().view), looked_at(started().view)
    before = together.values.clone()
    picks = torch.nonzero(together.view.available[0])[::9, 0][None, :7]
    together.absorb(picks)
    for pick in picks[0]:
        single.add(pick[None])
    torch.testing.assert_close(together.values, single.values, rtol=1e-3, atol=1e-3)
    assert (together.values - before).abs().max() > 0.1


def test_few_rows_of_features_leave_those_of_all_as_they_are(large: pytest.MonkeyPatch) -> None:
    whole = looked_at(started().view)
    before = whole.values.clone()
    rows = torch.arange(0, before.shape[1], 3)[None]
    few = whole.narrowed(rows)
    assert torch.equal(few.values, before[:, rows[0]])
    few.add(rows[:, 4])
    assert not torch.equal(few.values, before[:, rows[0]])
    assert torch.equal(whole.values, before)
    whole.add(rows[:, 4])
    torch.testing.assert_close(few.values, whole.values[:, rows[0]], rtol=1e-3, atol=1e-3)


def test_the_rows_with_the_best_scores_get_a_close_look(large: pytest.MonkeyPatch) -> None:
    engine, strategy = started(), ScorerStrategy("least", Least(), whole=100, candidates=40)
    assert torch.equal(strategy.select(engine.view, 1), make_strategy("margin").select(engine.view, 1))


@pytest.mark.parametrize("rows", [300, 900])
def test_few_rows_get_a_close_look_however_large_the_pool(rows: int, large: pytest.MonkeyPatch) -> None:
    engine, seen, n = started(rows), [], 7

    class Watching(Least):
        def forward(self, rows: Tensor, context: Tensor) -> Tensor:
            seen.append(rows.shape[1])
            return super().forward(rows, context)

    ids = ScorerStrategy("watching", Watching(), whole=100, candidates=20).select(engine.view, n)
    assert (ids >= 0).all()
    labelled = int(engine.view.labelled.sum(1).max())
    sample, candidates = 64 + labelled, 64 + labelled + 4 * n
    assert max(seen) <= candidates
    assert min(seen[:2]) <= sample


def test_the_real_sizes_bound_the_room_by_arithmetic() -> None:
    rows = heats.CANDIDATES + landmarks.SAMPLE + 1024  # candidates, landmarks, labels
    assert rows * landmarks.SAMPLE <= landmarks.TABLE
    assert 4 * rows * landmarks.SAMPLE < 25 * 2**20
    assert rows < heats.WHOLE


def test_episodes_side_by_side_choose_what_they_choose_alone(large: pytest.MonkeyPatch) -> None:
    strategy, both = learned(), started()
    together = strategy.select(both.view, 6)
    alone = started(episodes=1)
    assert strategy.select(alone.view, 6)[0].tolist() == together[0].tolist()


def test_an_episode_that_is_over_gets_nothing_and_small_rests_end_in_none(large: pytest.MonkeyPatch) -> None:
    engine = started(rows=130, budget=100)
    view = engine.view
    few = torch.zeros_like(view.available)
    few[0] = view.available[0] & (view.available[0].cumsum(0) <= 4)
    ids = learned().select(view.within(few), 6)
    assert sorted(ids[0][ids[0] >= 0].tolist()) == view.ids[0][few[0]].tolist()
    assert (ids[1] == -1).all()


def test_copies_stay_equal_among_the_rows_looked_at(large: pytest.MonkeyPatch) -> None:
    engine = started(copies=True)
    found = heats.close_rows(engine.view, 0, ROW_FEATURES, lambda f: f.values.sum(2), 150)
    assert isinstance(found.view, NarrowView)
    groups, free = found.view.copy_groups, found.view.available[0]
    assert groups is not None
    pairs = 0
    for group in set(groups[0].tolist()):
        same = found.values[0, (groups[0] == group) & free]
        pairs += len(same) > 1
        assert torch.equal(same, same[:1].expand_as(same))
    assert pairs > 5
