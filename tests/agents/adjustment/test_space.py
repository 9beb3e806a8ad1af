"""What a search changes of a row scorer, and that it is saved as one more member that picks the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from react_rl.agents.adjustment.space import GATES, Adjusted, Space, direction, merged, space_around
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import BATCH, KNOWN_CONTEXT, ROW_CONTEXT, ScorerStrategy, row_context
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

FEATURES = ("margin", "density", "novelty", "balance", "unsure_herding")
CONTEXT = ROW_CONTEXT[:-2]
DIRECTIONS = ("mixture", "unsure_herding")


@pytest.fixture
def policy() -> ScorerStrategy:
    """A scorer of random weights that does not see the size of batches."""
    torch.manual_seed(0)
    network = ScorerEnsemble([RowScorer(len(FEATURES), len(CONTEXT), 8) for _ in range(2)])
    for values in network.parameters():
        torch.nn.init.normal_(values, std=0.3)
    return ScorerStrategy("random weights", network.eval(), FEATURES, CONTEXT)


@pytest.fixture
def space(policy: ScorerStrategy) -> Space:
    return space_around(policy, DIRECTIONS, GATES, torch.rand(50, len(KNOWN_CONTEXT)), 0.5)


def base_of(policy: ScorerStrategy) -> ScorerEnsemble:
    assert isinstance(policy.network, ScorerEnsemble)
    return policy.network


def test_a_point_is_the_same_policy_tried_and_saved(policy: ScorerStrategy, space: Space) -> None:
    rows, context = torch.randn(4, 30, len(FEATURES)), torch.rand(4, len(space.context))
    point = torch.randn(space.shape)
    tried = Adjusted(base_of(policy), space, point.expand(4, -1, -1))(rows, context)
    saved = merged(base_of(policy), space, point)
    plain = torch.stack([member(rows, context) for member in saved.members]).mean(0)
    for scores in (saved(rows, context), plain):
        assert torch.allclose(scores * 3 / 2, tried, atol=1e-4)  # two members and one more
    assert not torch.allclose(tried, policy.network(rows, context[:, : len(CONTEXT)]), atol=1e-2)


def test_the_middle_of_the_space_is_the_policy_itself(policy: ScorerStrategy, space: Space) -> None:
    engine = LabelingEngine([synthetic_encoded(300, 4)], EpisodeOptions(pool_size=100, dev_size=50), 3)
    engine.reset([Streams(seed) for seed in range(3)])
    network = merged(base_of(policy), space, torch.zeros(space.shape))
    same = ScorerStrategy("same", network, space.features, space.context)
    assert same.select(engine.view, 5).tolist() == policy.select(engine.view, 5).tolist()


def test_each_episode_is_adjusted_by_its_own_point(policy: ScorerStrategy, space: Space) -> None:
    rows = torch.randn(1, 30, len(FEATURES)).expand(2, -1, -1)
    context = torch.rand(1, len(space.context)).expand(2, -1)
    point = torch.randn(space.shape)
    scores = Adjusted(base_of(policy), space, torch.stack([point, -point]))(rows, context)
    middle = policy.network(rows, context[:, : len(CONTEXT)])
    assert torch.allclose(scores.mean(0), middle[0], atol=1e-4)
    assert (scores[0] - scores[1]).abs().max() > 0.1


def test_the_size_of_batches_can_be_seen() -> None:
    options = EpisodeOptions(pool_size=100, dev_size=50, batch_size=25, budget=50)
    engine = LabelingEngine([synthetic_encoded(300, 4)], options, 2)
    engine.reset([Streams(seed) for seed in range(2)])
    seen = row_context(engine.view, (BATCH,))
    assert seen.tolist() == [[pytest.approx(0.8047, abs=1e-4)]] * 2  # log(25) / 4
    assert BATCH not in ROW_CONTEXT


def test_what_a_policy_does_not_see_is_refused(policy: ScorerStrategy, space: Space) -> None:
    assert direction("mixture", FEATURES).norm() == pytest.approx(1)
    with pytest.raises(ReActError, match=r"direction of a search.*'margn'.*margin"):
        direction("margn", FEATURES)
    with pytest.raises(ReActError, match="direction of a search"):
        direction("mixture", ("margin", "density"))
    with pytest.raises(ReActError, match=r"gate of a search.*'dev accuracy'"):
        space_around(policy, DIRECTIONS, ("dev accuracy",), torch.rand(5, len(KNOWN_CONTEXT)), 0.5)
    many = space_around(policy, DIRECTIONS, ROW_CONTEXT[:9], torch.rand(5, len(KNOWN_CONTEXT)), 0.5)
    with pytest.raises(ReActError, match="8 hidden units holds no 9 gates"):
        merged(base_of(policy), many, torch.zeros(many.shape))


def test_gates_are_numbers_between_minus_1_and_1(space: Space) -> None:
    wild = replace(space, spread=torch.full_like(space.spread, 1e-3))
    seen = wild.seen(5 * torch.randn(7, len(space.context)))
    assert (seen[:, 0] == 1).all()
    assert seen.abs().max() <= 1
