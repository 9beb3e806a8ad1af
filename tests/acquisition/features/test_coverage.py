"""Pairs of rows that are still open, and votes: kept from round to round without changing a bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.features import coverage, kernel
from react_rl.acquisition.features.coverage import KeptPairs, OpenPairs, open_pairs
from react_rl.acquisition.features.landmarks import Landmarks
from react_rl.acquisition.features.landmarks import kernel as kernel_at
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

TAU = torch.tensor([0.2, 0.3])


@pytest.fixture
def similarity() -> Tensor:
    """Similarities of two pools of 40 rows."""
    vectors = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    vectors /= vectors.norm(dim=2, keepdim=True)
    return torch.bmm(vectors, vectors.transpose(1, 2))


@pytest.fixture
def weights() -> Tensor:
    """Weights of the landmarks."""
    return torch.rand(2, 40, generator=torch.Generator().manual_seed(1))


def followed(kept: KeptPairs, similarity: Tensor, labelled: int) -> tuple[OpenPairs, Tensor]:
    """The open pairs once the first rows are labelled, and how well these cover all rows."""
    nearest = similarity[:, :labelled].max(1).values
    covered = kernel_at(nearest, TAU)
    pairs = kept.follow(nearest, covered)
    assert pairs is not None
    return pairs, covered


def test_open_pairs_give_the_gain_of_all_pairs(similarity: Tensor, weights: Tensor) -> None:
    kept, near = KeptPairs(similarity, TAU), kernel_at(similarity, TAU).double()
    rows = torch.tensor([[1, 8, 30], [0, 2, 39]])
    for labelled in (4, 5, 9, 20):
        pairs, covered = followed(kept, similarity, labelled)
        gain = pairs.gain(covered, weights)
        expected = ((near - covered[:, None]).clamp_min(0) * weights[:, None]).sum(2)
        torch.testing.assert_close(gain.double(), expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(pairs.of_rows(rows).gain(covered, weights), gain.gather(1, rows))


def test_a_shorter_list_changes_no_bit(similarity: Tensor, weights: Tensor) -> None:
    always, sizes = KeptPairs(similarity, TAU), []
    for labelled in range(4, 30):
        pairs, covered = followed(always, similarity, labelled)
        sizes.append(len(pairs))
    fresh, _ = followed(KeptPairs(similarity, TAU), similarity, 29)
    assert torch.equal(pairs.gain(covered, weights), fresh.gain(covered, weights))
    assert len(fresh) <= sizes[-1] < 0.6 * sizes[0]


def test_fewer_labels_than_before_open_pairs_again(similarity: Tensor, weights: Tensor) -> None:
    kept = KeptPairs(similarity, TAU)
    pairs, covered = followed(kept, similarity, 5)
    expected = pairs.gain(covered, weights)
    followed(kept, similarity, 25)
    again, covered = followed(kept, similarity, 5)
    assert torch.equal(again.gain(covered, weights), expected)


def test_pairs_are_not_listed_while_most_are_open(similarity: Tensor) -> None:
    nothing = torch.full((2, 40), -torch.inf)
    assert KeptPairs(similarity, TAU).follow(nothing, torch.zeros(2, 40)) is None
    # A listed pair takes a value and a place of 32 bits each, so the list is no larger than the table.
    assert 2 * coverage.DENSE <= 1


def test_rows_without_open_pairs_add_nothing(similarity: Tensor) -> None:
    pairs = KeptPairs(similarity, TAU).follow(similarity.amax(1), torch.ones(2, 40))
    assert pairs is not None
    assert len(pairs) == 0
    assert pairs.gain(torch.ones(2, 40), torch.ones(2, 40)).tolist() == [[0.0] * 40] * 2


def test_a_table_is_listed_like_a_pool(similarity: Tensor, weights: Tensor) -> None:
    pairs, covered = followed(KeptPairs(similarity, TAU), similarity, 6)
    listed = open_pairs(kernel_at(similarity, TAU), covered)
    assert torch.equal(listed.gain(covered, weights), pairs.gain(covered, weights))


def test_votes_are_the_same_bits_whenever_somebody_first_asks() -> None:
    options = EpisodeOptions(pool_size=90, dev_size=30, initial_size=6, budget=60, batch_size=7)
    engines = [LabelingEngine([synthetic_encoded(400, 3)], options, 2) for _ in range(2)]
    always, late = engines
    for engine in engines:
        engine.reset([Streams(seed) for seed in range(2)])
    for _ in range(4):
        kernel.votes(Landmarks(always.view))
        ids = make_strategy("margin").select(always.view, 7)
        for engine in engines:
            engine.step(ids)
    view = late.view
    assert torch.equal(kernel.votes(Landmarks(always.view)), kernel.votes(Landmarks(view)))
    cast = torch.bmm(view.labelled_geometry[1], kernel.near_labelled(Landmarks(view)))
    torch.testing.assert_close(kernel.Votes(Landmarks(view)).follow(view), cast)
    always.reset([Streams(seed) for seed in range(5, 7)])
    assert not torch.equal(kernel.votes(Landmarks(always.view)), kernel.votes(Landmarks(view)))
