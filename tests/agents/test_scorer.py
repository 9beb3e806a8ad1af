"""Row scorers: one function for all rows, and greedy batches whose features are kept up to date."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from react_rl.acquisition import FEATURES, make_strategy
from react_rl.acquisition.batching.row_features import ROW_FEATURES, RowFeatures
from react_rl.acquisition.features import Growth
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy, row_context, rows_in_race
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

E = 4


@pytest.fixture
def engine() -> LabelingEngine:
    """Four episodes with two, three and five classes, two rounds in."""
    corpora = [synthetic_encoded(300, size, seed=size) for size in (2, 3, 5)]
    options = EpisodeOptions(pool_size=70, dev_size=30, initial_size=6, budget=40, batch_size=5)
    made = LabelingEngine(corpora, options, E)
    made.reset([Streams(k) for k in range(E)], corpora=[k % 3 for k in range(E)])
    for _ in range(2):
        made.step(make_strategy("random").select(made.view, 5))
    return made


def scorer(seed: int = 0, members: int = 2) -> ScorerStrategy:
    """A strategy with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = [RowScorer(len(ROW_FEATURES), len(ROW_CONTEXT), 8) for _ in range(members)]
        for network in networks:
            for parameter in network.parameters():
                nn.init.normal_(parameter, std=0.3)
    return ScorerStrategy("scorer", ScorerEnsemble(networks))


def test_scores_move_with_the_rows_and_do_not_depend_on_other_rows() -> None:
    network = scorer().network
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 11, len(ROW_FEATURES), generator=generator)
    context = torch.randn(3, len(ROW_CONTEXT), generator=generator)
    order = torch.randperm(11, generator=generator)
    torch.testing.assert_close(network(rows[:, order], context), network(rows, context)[:, order])
    torch.testing.assert_close(network(rows[:, :4], context), network(rows, context)[:, :4])


@pytest.mark.parametrize("shape", [(2, 5), (40, 7), (40, 500), (1, 20_000)])
def test_an_ensemble_is_the_mean_of_its_members(shape: tuple[int, int]) -> None:
    both = scorer(members=2).network
    assert isinstance(both, ScorerEnsemble)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(*shape, len(ROW_FEATURES), generator=generator)
    context = torch.randn(shape[0], len(ROW_CONTEXT), generator=generator)
    each = [member(rows, context) for member in both.members]
    expected = (each[0] + each[1]) / 2
    torch.testing.assert_close(both(rows, context), expected, rtol=1e-4, atol=1e-5)
    # Strategies hand it features as columns.
    columns = rows.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(both(columns, context), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(each[0], each[1])


def slow_batch(engine: LabelingEngine, strategy: ScorerStrategy, e: int, n: int) -> list[int]:
    """Every feature of every row computed from scratch before each pick."""
    picks: list[int] = []
    view, free = engine.view, engine.view.available.clone()
    start = {name: FEATURES[name](view).double() for name in strategy.features}
    where = view.available[e]
    for _ in range(n):
        growth = Growth(view)
        for name in strategy.features:
            FEATURES[name].of(growth)
        for column in picks:
            growth.add(torch.full((E,), column))
        columns = []
        for name in strategy.features:
            own, values = start[name][e, where], FEATURES[name].of(growth)[e].double()
            spread = own.std(correction=0)
            standard = (values - own.mean()) / spread if spread > 1e-6 else torch.zeros_like(values)
            columns.append(standard.clamp(-4, 4))
        context = row_context(view, picked=len(picks) / view.progress.batch_size)[e : e + 1]
        scores = strategy.network(torch.stack(columns, 1)[None].float(), context)[0]
        picks.append(int(torch.where(free[e], scores, -torch.inf).argmax()))
        free[e, picks[-1]] = False
    return picks


@torch.inference_mode()
def test_a_batch_is_what_scoring_from_scratch_before_each_pick_gives(engine: LabelingEngine) -> None:
    for seed in range(3):
        strategy = scorer(seed)
        ids = strategy.select(engine.view, 5)
        for e in range(E):
            assert ids[e].tolist() == engine.view.ids[e][slow_batch(engine, strategy, e, 5)].tolist()


@torch.inference_mode()
def test_the_last_rows_of_a_large_batch_may_come_from_far_down_the_first_scores() -> None:
    options = EpisodeOptions(pool_size=160, dev_size=30, initial_size=6, budget=30, batch_size=15)
    made = LabelingEngine([synthetic_encoded(300, 3)], options, E)
    made.reset([Streams(k) for k in range(E)])
    view, strategy = made.view, scorer()
    ids = strategy.select(view, 15)
    scores = torch.where(view.available, strategy.score(view), -torch.inf)
    first = view.ids.gather(1, scores.topk(64, dim=1).indices)
    assert not torch.isin(ids, first).all()
    for e in range(E):
        assert ids[e].tolist() == view.ids[e][slow_batch(made, strategy, e, 15)].tolist()


def test_a_batch_of_five_is_taken_from_64_rows() -> None:
    assert [rows_in_race(n) for n in (1, 5, 25)] == [64, 64, 300]


def test_the_first_pick_has_the_highest_score(engine: LabelingEngine) -> None:
    strategy, view = scorer(), engine.view
    scores = torch.where(view.available, strategy.score(view), -torch.inf)
    best = view.ids.gather(1, scores.argmax(1, keepdim=True))
    assert strategy.select(view, 3)[:, 0].tolist() == best[:, 0].tolist()


def test_more_rows_than_there_are_end_in_none(engine: LabelingEngine) -> None:
    view = engine.view
    ids = scorer().select(view, 80)
    for e in range(E):
        taken = [i for i in ids[e].tolist() if i >= 0]
        assert sorted(taken) == view.ids[e][view.available[e]].tolist()
    engine.stop(np.array([True, False, False, False]))
    ids = scorer().select(engine.view, 3)
    assert (ids[0] == -1).all()
    assert (ids[1:] >= 0).all()


def test_equal_scores_are_drawn_at_random(engine: LabelingEngine) -> None:
    class Flat(nn.Module):
        def forward(self, rows: Tensor, _: Tensor) -> Tensor:
            return torch.zeros(rows.shape[:2])

    picks = {tuple(ScorerStrategy("flat", Flat()).select(engine.view, 2)[0].tolist()) for _ in range(20)}
    assert len(picks) > 10


def test_nothing_of_the_dev_set_is_looked_at(engine: LabelingEngine) -> None:
    view = engine.view
    expected = scorer().select(view, 4)
    view.progress = replace(view.progress, dev={})
    assert torch.equal(scorer().select(view, 4), expected)
    assert not any("dev metric" in name for name in ROW_CONTEXT)


def test_features_are_standardised_and_cut_off(engine: LabelingEngine) -> None:
    view = engine.view
    values = RowFeatures(view, ROW_FEATURES).values
    assert values.shape == (E, 70, len(ROW_FEATURES))
    assert values.abs().max() <= 4.0
    assert values[view.available].mean(0).abs().max() < 0.3


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(ReActError, match="Did you mean 'novelty'"):
        ScorerStrategy("mine", nn.Identity(), ["novelti"])
    with pytest.raises(ReActError, match="no number 'dev metric above chance'"):
        ScorerStrategy("mine", nn.Identity(), ["novelty"], ["dev metric above chance"])
