"""Candidate networks beside a pool: scores move with the rows, and the pool is seen as a set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.agents.networks.beside import (
    STANDING,
    PoolEnsemble,
    PoolScorer,
    drawn_columns,
    spread_columns,
    within_pool,
)
from react_rl.agents.networks.registry import row_network
from react_rl.errors import ReActError

every_network = pytest.mark.parametrize("name", ["deep-sets", "attention"])


def scorer(name: str, seed: int = 0) -> PoolScorer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = row_network(name, 5, 7, 8)
    assert isinstance(made, PoolScorer)
    return made.eval()


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@every_network
@torch.inference_mode()
def test_scores_move_with_the_rows_and_do_not_depend_on_which_others_are_scored(name: str) -> None:
    made, rows, context, beside = scorer(name), drawn(3, 11, 5), drawn(3, 7), drawn(3, 9, 5, seed=1)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    scores = made(rows, context, beside)
    torch.testing.assert_close(made(rows[:, order], context, beside), scores[:, order])
    torch.testing.assert_close(made(rows[:, :4], context, beside), scores[:, :4])


@every_network
@torch.inference_mode()
def test_what_stands_for_the_pool_is_a_set_that_scores_depend_on(name: str) -> None:
    made, rows, context, beside = scorer(name), drawn(3, 11, 5), drawn(3, 7), drawn(3, 9, 5, seed=1)
    scores = made(rows, context, beside)
    torch.testing.assert_close(made(rows, context, beside.flip(1)), scores)
    torch.testing.assert_close(made(rows, context, beside.repeat(1, 2, 1)), scores)
    assert not torch.allclose(made(rows, context, beside + 1.0), scores, atol=1e-3)


@every_network
@torch.inference_mode()
def test_an_ensemble_is_the_mean_of_its_members_in_pools_of_any_size(name: str) -> None:
    both = PoolEnsemble([scorer(name, seed) for seed in (0, 1)])
    pool, context = drawn(2, 300, 5), drawn(2, 7)
    free = torch.ones(2, 300, dtype=torch.bool)
    free[0, ::3] = False
    columns = spread_columns(free, STANDING)
    beside = pool.gather(1, columns[:, :, None].expand(-1, -1, 5))
    expected = torch.stack([member(pool, context, beside) for member in both.members]).mean(0)
    seen = within_pool(both, pool, free)
    torch.testing.assert_close(seen(pool, context), expected)
    torch.testing.assert_close(seen(pool[:, 40:50], context), expected[:, 40:50])


def test_rows_that_stand_for_a_pool_are_free_and_spread_over_it() -> None:
    free = torch.ones(3, 200, dtype=torch.bool)
    free[0, :100] = False
    free[1, 6:] = False
    free[2] = False
    for columns in (spread_columns(free, 50), drawn_columns(free, 50, np.random.default_rng(0))):
        assert columns.shape == (3, 50)
        assert free.gather(1, columns)[:2].all()
    spread = spread_columns(free, 50)
    assert spread[0].tolist() == list(range(100, 200, 2))
    assert spread[1].bincount().tolist() == [9, 8, 8, 9, 8, 8]


@pytest.mark.parametrize(
    ("name", "hidden", "sentence"),
    [
        ("attention", 10, r"'attention' cannot be made with 10 hidden units"),
        ("mlp", 8, r"'mlp' scores no rows; take scorer, deep-sets, attention"),
        ("atention", 8, r"Did you mean 'attention'"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, hidden: int, sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        row_network(name, 5, 7, hidden)
