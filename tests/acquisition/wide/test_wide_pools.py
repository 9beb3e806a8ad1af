"""What wide pools do to save work gives what narrow pools compute in full."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from react_rl.acquisition.batching.selection import take_random, take_weighted, top_columns
from react_rl.acquisition.clustering.k_means import Clusters, k_means
from react_rl.acquisition.disagreements import DISAGREEMENTS, vote_shares
from react_rl.acquisition.features import rows
from react_rl.acquisition.strategies.coverage import MaxHerding, ProbCover
from react_rl.acquisition.strategies.discriminative import DiscriminativeSampling
from react_rl.acquisition.strategies.hybrid import ContrastiveLearning, largest
from react_rl.acquisition.wide.chunks import square_tiles
from react_rl.acquisition.wide.frontier import Frontier
from react_rl.acquisition.wide.narrow import row_by_row
from react_rl.acquisition.wide.nearest import MovingCentres
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.view import PoolView


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
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._WIDE", 1)
    bounded = k_means(made.view, made.view.available, counts)
    assert torch.equal(plain.assignment, bounded.assignment)
    assert torch.equal(plain.sizes, bounded.sizes)
    assert torch.allclose(plain.centres, bounded.centres, atol=1e-6)
    assert torch.allclose(plain.distance, bounded.distance, atol=1e-5)


def spread_of(view: PoolView, counts: torch.Tensor, found: Clusters) -> torch.Tensor:
    """Mean squared distance to the centroids; checks that each row has its nearest one's."""
    table = torch.cdist(view.embeddings, found.centres).square()
    table = table.masked_fill((torch.arange(table.shape[2]) >= counts[:, None])[:, None], torch.inf)
    nearest, assignment = table.min(2)
    assert torch.equal(found.assignment, torch.where(view.available, assignment, -1))
    assert torch.allclose(found.distance, nearest, atol=1e-5)
    assert torch.equal(found.sizes.sum(1), view.available.sum(1))
    return torch.where(view.available, nearest, 0.0).sum(1) / view.available.sum(1)


def test_k_means_of_a_wide_pool_is_nearly_as_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    counts = torch.tensor([6, 3])
    plain = spread_of(made.view, counts, k_means(made.view, made.view.available, counts))
    seeds = spread_of(made.view, counts, k_means(made.view, made.view.available, counts, max_iterations=1))
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._LEARNED", 24)
    wide = []
    for _ in range(10):
        wide.append(spread_of(made.view, counts, k_means(made.view, made.view.available, counts)))
    mean = torch.stack(wide).mean(0)
    assert (mean < plain + 0.03).all()
    assert (mean < seeds).all()
    assert torch.stack(wide).std(0).min() > 0


def test_k_means_of_a_wide_pool_comes_from_the_stream_and_not_from_the_numbers_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._LEARNED", 24)
    made = engine()
    first = k_means(made.view, made.view.available, torch.tensor([6, 3]))
    made.reset([Streams(seed) for seed in range(2)])
    again = k_means(made.view, made.view.available, torch.tensor([6, 3]))
    assert torch.equal(first.assignment, again.assignment)
    alone = engine(1)
    mine = k_means(alone.view, alone.view.available, torch.tensor([6]))
    assert torch.equal(first.assignment[:1], mine.assignment)
    alone.reset([Streams(1)])
    other = k_means(alone.view, alone.view.available, torch.tensor([3]))
    assert torch.equal(first.assignment[1:], other.assignment)
    assert torch.equal(first.sizes[1:, :3], other.sizes)
    alone.reset([Streams(0)])
    turned = alone.view.embeddings.flip(1)
    found = k_means(alone.view, alone.view.available.flip(1), torch.tensor([6]), vectors=turned)
    assert torch.equal(found.assignment.flip(1), mine.assignment)


def test_clusters_of_a_wide_pool_do_not_stay_empty_while_rows_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._LEARNED", 8)
    vectors = torch.cat([unit(4, 0).repeat_interleave(95, 0), unit(20, 1)])[None]
    rows, view = torch.ones(1, 400, dtype=torch.bool), engine(1).view
    for _ in range(5):
        assert (k_means(view, rows, torch.tensor([14]), vectors=vectors).sizes > 0).all()


def test_rows_of_a_wide_pool_count_by_their_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._LEARNED", 24)
    made = engine(1)
    weights = torch.where(torch.arange(400) % 2 == 0, 1.0, 1e-6)[None]
    found = k_means(made.view, made.view.available, torch.tensor([5]), weights=1e-20 * weights)
    heavy = made.view.available[0] & (torch.arange(400) % 2 == 0)
    for cluster in range(5):
        members = made.view.embeddings[0, heavy & (found.assignment[0] == cluster)]
        assert (members.mean(0) - found.centres[0, cluster]).norm() < 0.1


def test_a_table_in_pieces_is_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(1)
    plain = k_means(made.view, made.view.available, torch.tensor([10]))
    made.reset([Streams(0)])
    monkeypatch.setattr("react_rl.acquisition.clustering.centroids.BLOCK", 10 * 37)
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
    monkeypatch.setattr("react_rl.acquisition.strategies.coverage._CACHED", 2 * 17**2)
    assert torch.allclose(MaxHerding().score(view), whole, rtol=1e-5, atol=1e-7)


def test_the_discriminator_ends_where_plain_gradient_steps_end(monkeypatch: pytest.MonkeyPatch) -> None:
    view = engine().view
    strategy = DiscriminativeSampling(tolerance=1e-6)
    expected = discriminator(view.embeddings, view.available, view.labelled)
    free = view.available
    assert torch.allclose(strategy.score(view).double()[free], expected[free], atol=2e-4)
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._NARROW", 50)
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._CACHED", 1)
    assert torch.allclose(strategy.score(view).double()[free], expected[free], atol=2e-4)
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._WIDE", 1)
    assert torch.allclose(strategy.score(view).double()[free], expected[free], atol=2e-4)


def test_the_discriminator_of_a_wide_pool_learns_from_every_so_many_th_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = engine().view
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._SAMPLE", 100)
    seen = torch.arange(400) % 4 == 0
    expected = discriminator(view.embeddings, view.available & seen, view.labelled)
    found = DiscriminativeSampling(tolerance=1e-6).score(view).double()
    assert torch.allclose(found, expected, atol=2e-4)
    parts = DiscriminativeSampling(sub_batches=4).select(view, 20)
    assert all(len(set(row)) == 20 for row in parts.tolist())


def discriminator(x: torch.Tensor, unlabelled: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    """Log-odds (E, P) of the same loss after many plain gradient steps."""
    x = torch.nn.functional.pad(x, (0, 1), value=1.0).double()
    side = unlabelled.double() - labelled.double()
    share = 0.5 * (unlabelled / unlabelled.sum(1, keepdim=True) + labelled / labelled.sum(1, keepdim=True))
    weights = torch.zeros(2, x.shape[2], dtype=torch.float64)
    for _ in range(5000):
        odds = torch.bmm(x, weights[:, :, None])[:, :, 0]
        push = -share * side * torch.sigmoid(-side * odds)
        weights -= (torch.bmm(push[:, None], x)[:, 0] + 0.01 * weights) / 0.51
    return torch.bmm(x, weights[:, :, None])[:, :, 0]


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
    monkeypatch.setattr("react_rl.acquisition.batching.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.wide.frontier._FIRST", 3)
    assert torch.equal(take_weighted(made.view, ("novelty", "density"), weight, 25), plain)


def test_a_frontier_ends_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_rl.acquisition.batching.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.wide.frontier._FIRST", 2)
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
    monkeypatch.setattr("react_rl.acquisition.batching.selection.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.batching.selection._DRAWN", 64)
    assert torch.equal(torch.stack(drawn()), torch.stack(plain))


@pytest.mark.parametrize("disagreement", sorted(DISAGREEMENTS))
@pytest.mark.parametrize("size", [1e-4, 1.0, 20.0, 1e3])
def test_quick_disagreements_change_no_more_than_rounding(disagreement: str, size: float) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.standard_normal((2, 5, 4, 300)) * size).float()
    scores[0, :, 2] = INVALID_LOGIT  # a class outside the episode
    scores[0, 0, :, 0] = torch.tensor([9e4, 0.0, -9e4, INVALID_LOGIT])
    measure = DISAGREEMENTS[disagreement]
    slow, exact = measure(scores, None), measure(scores.double(), None).float()
    quick = measure(scores, torch.empty_like(scores))
    assert torch.allclose(slow, exact, atol=2e-6)
    assert torch.allclose(quick, exact, atol=2e-6)


def test_the_divergence_of_a_wide_pool_is_the_mean_of_the_members_divergences() -> None:
    rng = np.random.default_rng(1)
    scores = torch.from_numpy(rng.standard_normal((2, 6, 3, 50)) * 3)
    p = torch.softmax(scores, 2).numpy()
    expected = (p * np.log(p / p.mean(1, keepdims=True))).sum(2).mean(1)
    found = DISAGREEMENTS["divergence"](scores, torch.empty_like(scores))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("quick", [False, True])
def test_equal_classes_get_one_vote_in_all(quick: bool) -> None:
    scores = torch.tensor([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])[None, :, :, None]
    assert vote_shares(scores, quick)[0, :, 0].tolist() == [0.5, 0.0, 0.5]


def test_votes_are_those_of_the_largest_scores() -> None:
    scores = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 7, 5, 40))).float()
    winners = scores.argmax(2)
    expected = torch.stack([(winners == c).sum(1) / 7 for c in range(5)], 1)
    for quick in (False, True):
        assert torch.allclose(vote_shares(scores.clone(), quick), expected)


@pytest.mark.parametrize("feature", [rows.least_confidence, rows.margin, rows.entropy])
def test_pieces_of_a_wide_pool_have_the_features_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, feature: Callable[[PoolView], torch.Tensor]
) -> None:
    view = engine(3, 300).view
    whole = feature(view)
    assert torch.equal(row_by_row(view, feature), whole)
    monkeypatch.setattr("react_rl.acquisition.wide.narrow.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.wide.chunks.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.wide.chunks._CACHED", 3 * 3 * 4 * 64)
    assert torch.allclose(row_by_row(view, feature), whole, rtol=1e-5, atol=1e-6)


def test_ties_beyond_the_best_are_ordered_as_in_a_full_ranking() -> None:
    made = engine(2, 300)
    view = made.view
    scores = torch.from_numpy(np.random.default_rng(3).integers(0, 6, (2, 300))).float()
    expected = []
    for episode, streams in enumerate(made.draws.streams):
        shuffled = copy.deepcopy(streams.strategy).permutation(300)
        usable = np.where(view.available[episode].numpy(), scores[episode].numpy(), -np.inf)[shuffled]
        expected.append(shuffled[np.argsort(-usable, kind="stable")][:80].tolist())
    assert top_columns(view, scores, 80).tolist() == expected


@pytest.mark.parametrize("strategy", [MaxHerding(), MaxHerding(kernel="cosine"), ProbCover(delta=0.9)])
def test_a_kept_kernel_gives_the_batch_of_one_computed_anew(
    monkeypatch: pytest.MonkeyPatch, strategy: MaxHerding | ProbCover
) -> None:
    made = engine(2, 200)
    kept = strategy.select(made.view, 30)
    made.reset([Streams(seed) for seed in range(2)])
    monkeypatch.setattr("react_rl.acquisition.strategies.coverage._HELD", 0)
    assert torch.equal(strategy.select(made.view, 30), kept)


@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
def test_small_tiles_fill_the_kept_kernel(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    made = engine(2, 150)
    strategy = MaxHerding(kernel=kernel)  # type: ignore[arg-type]
    monkeypatch.setattr("react_rl.acquisition.strategies.coverage._CACHED", 2 * 17**2)
    kept = strategy.select(made.view, 30)
    view = made.view
    for episode in range(2):
        rows = view.embeddings[episode].double()
        similar = (rows @ rows.T).clamp(-1, 1)
        value = (2 * similar - 2).exp() if kernel == "rbf" else similar.clamp_min(0)
        covered = value[view.labelled[episode]].amax(0)
        free = view.available[episode].clone()
        weight = free.double()
        for column in torch.searchsorted(view.ids[episode], kept[episode]).tolist():
            gain = ((value - covered).clamp_min(0) @ weight).where(free, torch.tensor(-1.0))
            # Gains this near count as equal.
            assert gain[column] >= gain.max() - 2e-6 * (gain.max() + weight.sum())
            free[column] = False
            covered = torch.maximum(covered, value[column])


def test_the_nearest_labelled_rows_are_those_of_a_full_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    view = engine(2, 300).view
    plain = ContrastiveLearning(neighbours=4).score(view)
    monkeypatch.setattr("react_rl.acquisition.strategies.hybrid._FEW", 1)
    assert torch.allclose(ContrastiveLearning(neighbours=4).score(view), plain, atol=1e-6)


def test_equal_neighbours_beyond_k_do_not_all_count() -> None:
    similarity = torch.full((1, 6, 2000), 0.5)
    assert (largest(similarity, 2).sum(1) == 2.0).all()
