"""Sizes that are drawn for groups of episodes: within what was asked for, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.simulation.drawn_options import DrawSettings, drawn_options
from react_rl.simulation.options import EpisodeOptions

EPISODE = EpisodeOptions(pool_size=100, dev_size=20, initial_size=7, budget=40, batch_size=4)
DRAWS = DrawSettings(
    pool_sizes=(60, 120, 240),
    initial_sizes=(4, 10),
    batch_sizes=(1, 5, 25),
    rounds=(2, 8, 40),
    least_labels=8,
    most_labels=100,
    label_noise=(0.0, 0.25),
)


@given(seed=st.integers(0, 2**32 - 1), price=st.sampled_from([1.0, 2.5]))
def test_every_group_has_sizes_that_were_asked_for_and_a_pool_that_holds_its_labels(
    seed: int, price: float
) -> None:
    groups = drawn_options(DRAWS.model_copy(update={"seed": seed}), EPISODE, 6, price)
    assert [one.batch_size for one in groups] == [1, 5, 25] * 2
    for one in groups:
        rounds = one.budget / price / one.batch_size
        # Of the rounds allowed: 8 or 40 of 1, 2 or 8 of 5, 2 of 25.
        assert rounds in {1: (8, 40), 5: (2, 8), 25: (2,)}[one.batch_size]
        assert one.pool_size in (60, 120, 240)
        assert one.pool_size >= one.initial_size + rounds * one.batch_size
        assert one.initial_size in (4, 10)
        assert one.label_noise in (0.0, 0.25)
        assert one.dev_size == EPISODE.dev_size


def test_draws_follow_from_the_seed_and_reach_everything_that_is_offered() -> None:
    many = drawn_options(DRAWS, EPISODE, 60)
    assert many == drawn_options(DRAWS, EPISODE, 60)
    assert many[:5] == drawn_options(DRAWS, EPISODE, 5)
    assert many != drawn_options(DRAWS.model_copy(update={"seed": 1}), EPISODE, 60)
    assert {one.pool_size for one in many} == {60, 120, 240}
    assert {one.initial_size for one in many} == {4, 10}
    for first in range(0, 60, 2):
        assert {one.label_noise for one in many[first : first + 2]} == {0.0, 0.25}
    assert len({one.label_noise for one in many[::2]}) == 2


def test_what_is_not_named_stays_that_of_the_episode() -> None:
    (one, other) = drawn_options(DrawSettings(batch_sizes=(3, 9)), EPISODE, 2)
    assert one == EPISODE.model_copy(update={"batch_size": 3})
    assert other == EPISODE.model_copy(update={"batch_size": 9})
    # The budget stays, and of the pools that hold its 40 labels and 7 first ones one is drawn.
    pools = drawn_options(DrawSettings(pool_sizes=(20, 46, 47)), EPISODE, 20)
    assert {(one.pool_size, one.budget) for one in pools} == {(47, 40.0)}


def test_where_no_number_of_rounds_is_allowed_there_are_as_many_as_labels_may_be_bought() -> None:
    draws = DrawSettings(batch_sizes=(30,), rounds=(10,), most_labels=70)
    (one,) = drawn_options(draws, EPISODE, 1)
    assert one.budget == 60


def test_draws_of_nothing_are_left_out_of_configs() -> None:
    assert DrawSettings().model_dump() == {}
    assert not DrawSettings(groups=3).some
    said = DRAWS.model_dump(mode="json")
    assert DrawSettings.model_validate(said) == DRAWS


def test_groups_are_at_most_as_many_as_there_are_draws_side_by_side() -> None:
    draws = DrawSettings(groups=8)
    assert [draws.groups_among(slots, size) for slots, size in ((64, 1), (4, 1), (64, 16), (2, 4))] == [
        8, 4, 4, 1,
    ]  # fmt: skip


def test_sizes_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ReActError, match=r"Episodes of drawn sizes: .*batch_size 50 is larger than the 13"):
        drawn_options(DrawSettings(pool_sizes=(20,), batch_sizes=(50,)), EPISODE, 1)


def test_noise_changes_none_of_the_sizes() -> None:
    plain = DRAWS.model_copy(update={"label_noise": None})
    one, other = drawn_options(plain, EPISODE, 9), drawn_options(DRAWS, EPISODE, 9)
    assert np.all(
        [a.model_copy(update={"label_noise": b.label_noise}) == b for a, b in zip(one, other, strict=True)]
    )
