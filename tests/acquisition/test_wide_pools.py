"""What wide pools do to save work gives what narrow pools compute in full."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition.chunks import square_tiles
from react_rl.acquisition.clustering import k_means
from react_rl.acquisition.committee import DISAGREEMENTS, vote_shares
from react_rl.acquisition.coverage import MaxHerding
from react_rl.acquisition.discriminative import DiscriminativeSampling
from react_rl.acquisition.frontier import Frontier
from react_rl.acquisition.hybrid import ContrastiveLearning, largest
from react_rl.acquisition.nearest import MovingCentres
from react_rl.acquisition.selection import take_random, take_weighted
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded


def engine(episodes: int = 2, pool: int = 400) -> LabelingEngine:
    options = EpisodeOptions(pool_size=pool, dev_size=30, initial_size=12, budget=60, batch_size=20)
    made = LabelingEngine([synthetic_encoded(800, 4)], options, episodes)
    made.reset([Streams(seed) for seed in range(episodes)])
    return made


def unit(rows: int, seed: int) -> torch.Tensor:
    vectors = np.random.default_rng(seed).standard_normal((rows, 12))
    return torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)


@pytest.mark.parametrize("n_centres", [3, 8, 21])
def test_bounds_find_the_nearest_of_moving_centres(n_centres: int) -> None:
    rows, centres = unit(300, 0), unit(n_centres, 1)
    member = torch.arange(300) % 7 != 0
    unused = torch.arange(n_centres) == 1
    moving = MovingCentres(rows, member, unused)
    before = None
    for step in range(30):
        # Ever smaller moves, and now and then a jump.
        size = 1.0 if step % 11 == 10 else 0.3 * 0.8**step
        centres = centres + size * unit(n_centres, 2 + step) * (torch.arange(n_centres)[:, None] % 2)
        found, touched = moving.assign(centres)
        distance = torch.cdist(rows, centres).masked_fill(unused, torch.inf)
        expected = torch.where(member, distance.argmin(1), -1)
        assert torch.equal(found, expected)
        assert not (found == 1).any()
        if before is None:
            assert touched.all()
        else:
            won = set(found[found != before].tolist()) | set(before[found != before].tolist())
            assert set(torch.nonzero(touched)[:, 0].tolist()) == won
        before = found


def test_k_means_with_bounds_is_k_means(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    counts = torch.tensor([25, 9])
    plain = k_means(made.view, made.view.available, counts)
    made.reset([Streams(seed) for seed in range(2)])
    monkeypatch.setattr("react_rl.acquisition.clustering._WIDE", 1)
    bounded = k_means(made.view, made.view.available, counts)
    assert torch.equal(plain.assignment, bounded.assignment)
    assert torch.equal(plain.sizes, bounded.sizes)
    assert torch.allclose(plain.centres, bounded.centres, atol=1e-6)
    assert torch.allclose(plain.distance, bounded.distance, atol=1e-5)


def test_a_table_in_pieces_is_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(1)
    plain = k_means(made.view, made.view.available, torch.tensor([10]))
    made.reset([Streams(0)])
    monkeypatch.setattr("react_rl.acquisition.clustering._BLOCK", 10 * 37)
    pieces = k_means(made.view, made.view.available, torch.tensor([10]))
    assert torch.equal(plain.assignment, pieces.assignment)


def test_tiles_meet_each_pair_of_columns_once() -> None:
    view = engine(2, 90).view
    met = torch.zeros(90, 90, dtype=torch.int64)
    for one, other in square_tiles(view, 2 * 13**2):
        met[one, other] += 1
        if one != other:
            met[other, one] += 1
    assert (met == 1).all()


def test_gains_from_small_tiles_are_those_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    view = engine(2, 150).view
    whole = MaxHerding().score(view)
    monkeypatch.setattr("react_rl.acquisition.coverage._CACHED", 2 * 17**2)
    assert torch.allclose(MaxHerding().score(view), whole, rtol=1e-5, atol=1e-7)


def test_the_discriminator_ends_where_plain_gradient_steps_end(monkeypatch: pytest.MonkeyPatch) -> None:
    view = engine().view
    strategy = DiscriminativeSampling(tolerance=1e-6)
    x = torch.nn.functional.pad(view.embeddings, (0, 1), value=1.0).double()
    side = view.available.double() - view.labelled.double()
    share = 0.5 * (
        view.available / view.available.sum(1, keepdim=True)
        + view.labelled / view.labelled.sum(1, keepdim=True)
    )
    weights = torch.zeros(2, x.shape[2], dtype=torch.float64)
    for _ in range(5000):
        odds = torch.bmm(x, weights[:, :, None])[:, :, 0]
        push = -share * side * torch.sigmoid(-side * odds)
        weights -= (torch.bmm(push[:, None], x)[:, 0] + 0.01 * weights) / 0.51
    expected = torch.bmm(x, weights[:, :, None])[:, :, 0]
    free = view.available
    assert torch.allclose(strategy.score(view).double()[free], expected[free], atol=2e-4)
    monkeypatch.setattr("react_rl.acquisition.discriminative._WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.discriminative._SPACED", 60)
    monkeypatch.setattr("react_rl.acquisition.discriminative._NARROW", 50)
    monkeypatch.setattr("react_rl.acquisition.discriminative._CACHED", 1)
    assert torch.allclose(strategy.score(view).double()[free], expected[free], atol=2e-4)


def test_an_episode_s_discriminator_does_not_depend_on_its_neighbours() -> None:
    together, alone = engine(3), engine(1)
    for seed in range(3):
        alone.reset([Streams(seed)])
        mine = DiscriminativeSampling().select(alone.view, 20)[0]
        assert DiscriminativeSampling().select(together.view, 20)[seed].tolist() == mine.tolist()


@pytest.mark.parametrize("weights", [(1.0, 0.0), (1.0, 0.7), (0.3, 2.0)])
def test_a_frontier_picks_what_looking_at_all_rows_picks(
    monkeypatch: pytest.MonkeyPatch, weights: tuple[float, float]
) -> None:
    made = engine()
    weight = torch.tensor([weights, weights[::-1]])
    plain = take_weighted(made.view, ("novelty", "density"), weight, 25)
    monkeypatch.setattr("react_rl.acquisition.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.frontier._FIRST", 3)
    assert torch.equal(take_weighted(made.view, ("novelty", "density"), weight, 25), plain)


def test_a_frontier_ends_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_rl.acquisition.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.frontier._FIRST", 2)
    view = engine(2, 100).view
    view = view.within(torch.arange(100) < torch.tensor([[30], [9]]))
    picked = take_weighted(view, ("novelty",), torch.ones(2, 1), 30)
    for episode in range(2):
        free = view.ids[episode][view.available[episode]].tolist()
        assert sorted(picked[episode].tolist()) == sorted([-1] * (30 - len(free)) + free)


def test_copies_on_a_frontier_tie_and_are_drawn_at_random() -> None:
    made = engine(1)
    nearest = torch.zeros(made.view.width)
    drawn = set()
    for _ in range(20):
        frontier = Frontier(made.view, 0, nearest, lambda columns, similar: -similar)
        drawn.add(frontier.pick())
    assert len(drawn) > 5


@pytest.mark.parametrize(("n", "share"), [(1, 1.0), (20, 1.0), (90, 1.0), (20, 0.2)])
def test_random_rows_of_a_wide_pool_are_those_of_a_narrow_one(
    monkeypatch: pytest.MonkeyPatch, n: int, share: float
) -> None:
    def drawn() -> list[torch.Tensor]:
        made = engine(3, 480)
        view = made.view.within(torch.arange(480) < 480 * share)
        # The second batch shows that the streams moved alike.
        return [take_random(view, n), take_random(view, n)]

    plain = drawn()
    monkeypatch.setattr("react_rl.acquisition.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.selection._DRAWN", 64)
    assert torch.equal(torch.stack(drawn()), torch.stack(plain))


@pytest.mark.parametrize("disagreement", sorted(DISAGREEMENTS))
def test_quick_logarithms_change_no_more_than_rounding(disagreement: str) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.standard_normal((2, 5, 4, 300)) * 20).float()
    p = torch.softmax(scores, 2)
    assert bool((p == 0).any() or p.min() < 1e-20)
    p[0, 0, :, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    slow, quick = (DISAGREEMENTS[disagreement](p, fast) for fast in (False, True))
    assert torch.allclose(slow, quick, atol=2e-6)


def test_equal_classes_get_one_vote_in_all() -> None:
    p = torch.tensor([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])[None, :, :, None]
    assert vote_shares(p)[0, :, 0].tolist() == [0.5, 0.0, 0.5]


def test_the_nearest_labelled_rows_are_those_of_a_full_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    view = engine(2, 300).view
    plain = ContrastiveLearning(neighbours=4).score(view)
    monkeypatch.setattr("react_rl.acquisition.hybrid._FEW", 1)
    assert torch.allclose(ContrastiveLearning(neighbours=4).score(view), plain, atol=1e-6)


def test_equal_neighbours_beyond_k_do_not_all_count() -> None:
    similarity = torch.full((1, 6, 2000), 0.5)
    assert (largest(similarity, 2).sum(1) == 2.0).all()
