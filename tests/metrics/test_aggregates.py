"""Numbers over score tables: golden values, scipy, brute force."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from react_rl.errors import ReActError
from react_rl.metrics import (
    bootstrap_interquartile_mean,
    bootstrap_probability_of_improvement,
    interquartile_mean,
    normalise_scores,
    performance_profile,
    probability_of_improvement,
    to_rliable,
)

tables = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 7), st.integers(1, 5)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interquartile_mean_ignores_the_outer_quarters() -> None:
    assert interquartile_mean([-100, 1, 2, 3, 4, 5, 6, 1000]) == 3.5


@given(tables, st.floats(-5, 5))
def test_the_interquartile_mean_equals_scipys_trimmed_mean(table: np.ndarray, shift: float) -> None:
    got = float(interquartile_mean(table))
    assert got == pytest.approx(scipy.stats.trim_mean(table, 0.25, axis=None))
    assert float(interquartile_mean(table + shift)) == pytest.approx(got + shift, abs=1e-9)
    assert float(interquartile_mean(table[::-1, ::-1])) == pytest.approx(got)


def test_the_interquartile_mean_pools_the_axes_it_is_given() -> None:
    block = stream().normal(size=(6, 5, 4))
    np.testing.assert_allclose(
        interquartile_mean(block, axis=(0, 2)),
        [scipy.stats.trim_mean(block[:, j], 0.25, axis=None) for j in range(5)],
    )
    np.testing.assert_allclose(interquartile_mean(block, axis=-1), scipy.stats.trim_mean(block, 0.25, axis=2))


def test_the_interval_of_the_interquartile_mean_widens_with_drawn_tasks() -> None:
    table = stream(1).normal(size=(20, 6)) * 0.05 + np.linspace(0, 1, 6)
    seeds_only = bootstrap_interquartile_mean(table, stream(2))
    tasks_too = bootstrap_interquartile_mean(table, stream(2), resample_tasks=True)
    assert seeds_only.low < seeds_only.estimate < seeds_only.high
    assert tasks_too.estimate == interquartile_mean(table)
    assert float(tasks_too.high - tasks_too.low) > 2 * float(seeds_only.high - seeds_only.low)


def test_paired_improvement_compares_seed_with_seed() -> None:
    x = [[1.0], [2.0], [3.0], [4.0]]
    y = [[0.5], [2.0], [3.5], [3.0]]
    assert probability_of_improvement(x, y) == pytest.approx((1 + 0.5 + 0 + 1) / 4)


@given(tables, tables)
def test_unpaired_improvement_equals_mann_whitney_and_mirrors(x: np.ndarray, y: np.ndarray) -> None:
    tasks = min(x.shape[1], y.shape[1])
    x, y = x[:, :tasks], y[:, :tasks]
    wanted = np.mean(
        [scipy.stats.mannwhitneyu(x[:, t], y[:, t]).statistic / (len(x) * len(y)) for t in range(tasks)]
    )
    got = probability_of_improvement(x, y, paired=False)
    assert got == pytest.approx(wanted)
    assert got + probability_of_improvement(y, x, paired=False) == pytest.approx(1.0)


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_an_improvement_holds_the_estimate(paired: bool) -> None:
    x, y = stream(3).normal(0.3, size=(25, 4)), stream(4).normal(size=(25, 4))
    got = bootstrap_probability_of_improvement(x, y, stream(5), paired=paired)
    assert got.estimate == pytest.approx(probability_of_improvement(x, y, paired=paired))
    assert 0.4 < got.low < got.estimate < got.high < 0.9
    wider = bootstrap_probability_of_improvement(x, y, stream(5), paired=paired, level=0.999)
    assert wider.low < got.low
    assert wider.high > got.high


def test_the_unpaired_interval_equals_resampling_by_hand() -> None:
    x, y = stream(6).normal(0.5, size=(7, 1)), stream(7).normal(size=(9, 1))
    got = bootstrap_probability_of_improvement(x, y, stream(8), paired=False, resamples=20_000)
    rng = stream(9)
    by_hand = [(rng.choice(x[:, 0], 7)[:, None] > rng.choice(y[:, 0], 9)).mean() for _ in range(20_000)]
    np.testing.assert_allclose([got.low, got.high], np.quantile(by_hand, [0.025, 0.975]), atol=0.02)


def test_a_profile_is_the_share_of_runs_above_each_threshold() -> None:
    table = np.array([[0.1, 0.5], [0.3, 0.7]])
    got = performance_profile(table, [0.0, 0.1, 0.4, 0.7], stream())
    np.testing.assert_allclose(got.estimate, [1.0, 0.75, 0.5, 0.0])
    np.testing.assert_allclose([got.low[0], got.high[0], got.low[-1], got.high[-1]], [1, 1, 0, 0])


@given(tables)
def test_a_profile_falls_from_one_to_zero_and_its_interval_holds_it(table: np.ndarray) -> None:
    got = performance_profile(table, np.linspace(-0.1, 1.0, 12), stream(), resamples=50)
    assert (np.diff(got.estimate) <= 1e-12).all()
    assert got.estimate[0] == pytest.approx(1.0)
    assert got.estimate[-1] == 0.0
    if len(table) > 1:
        assert ((got.low >= -1e-12) & (got.low <= got.high + 1e-12) & (got.high <= 1 + 1e-12)).all()


def test_a_profile_with_drawn_tasks_is_wider() -> None:
    table = np.tile([0.0, 0.0, 1.0, 1.0], (10, 1))
    fixed = performance_profile(table, [0.5], stream(10))
    drawn = performance_profile(table, [0.5], stream(10), resample_tasks=True)
    assert fixed.low[0] == fixed.high[0] == 0.5
    assert drawn.low[0] < 0.25
    assert drawn.high[0] > 0.75


def test_normalised_scores_put_random_at_zero_and_full_data_at_one() -> None:
    got = normalise_scores([[0.6, 0.3], [0.9, 0.2]], low=[0.6, 0.1], high=[0.9, 0.5])
    np.testing.assert_allclose(got, [[0.0, 0.5], [1.0, 0.25]])
    with pytest.raises(ReActError, match="high above low"):
        normalise_scores([[0.5, 0.5]], low=[0.1, 0.9], high=[0.9, 0.9])


def test_the_export_holds_runs_by_tasks_in_alphabetical_order() -> None:
    got = to_rliable({"margin": {"b": [3, 4], "a": [1, 2]}, "random": {"a": [5, 6], "b": [7, 8]}})
    assert list(got) == ["margin", "random"]
    np.testing.assert_array_equal(got["margin"], [[1, 3], [2, 4]])
    np.testing.assert_array_equal(got["random"], [[5, 7], [6, 8]])
    assert got["margin"].dtype == np.float64


def test_an_export_with_missing_tasks_or_seeds_is_refused() -> None:
    with pytest.raises(ReActError, match="'random' has the tasks"):
        to_rliable({"margin": {"a": [1.0]}, "random": {"b": [1.0]}})
    with pytest.raises(ReActError, match="'random' has 1 seeds on task 'a', others 2"):
        to_rliable({"margin": {"a": [1.0, 2.0]}, "random": {"a": [1.0]}})


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ReActError, match="the same seeds and tasks"):
        probability_of_improvement(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ReActError, match="the same tasks"):
        probability_of_improvement(np.ones((3, 2)), np.ones((4, 3)), paired=False)
    with pytest.raises(ReActError, match="hold no values"):
        interquartile_mean([])
