"""Bootstrap intervals: exact small cases, scipy's bootstrap, coverage, and properties."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics import bootstrap_mean, paired_difference, stratified_bootstrap

values = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_three_seeds_equals_full_enumeration() -> None:
    data = np.array([1.0, 4.0, 10.0])
    means = [np.mean(draw) for draw in product(data, repeat=3)]
    got = bootstrap_mean(data, stream(), level=0.8, resamples=40_000)
    assert got.estimate == 5.0
    np.testing.assert_allclose([got.low, got.high], np.quantile(means, [0.1, 0.9]))


def test_the_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    data = stream(1).normal(size=25)
    got = bootstrap_mean(data, stream(2), resamples=40_000)
    wanted = scipy.stats.bootstrap(
        (data,), np.mean, n_resamples=40_000, method="percentile", rng=stream(3)
    ).confidence_interval
    np.testing.assert_allclose([got.low, got.high], [wanted.low, wanted.high], atol=0.02)


def test_a_curve_gets_the_interval_of_each_of_its_columns() -> None:
    data = stream(4).normal(size=(8, 3, 2))
    whole = bootstrap_mean(data, stream(5), resamples=500)
    assert whole.low.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        alone = bootstrap_mean(data[:, i, j], stream(5), resamples=500)
        np.testing.assert_allclose(
            [whole.estimate[i, j], whole.low[i, j], whole.high[i, j]],
            [alone.estimate, alone.low, alone.high],
        )


def test_columns_beyond_one_chunk_are_treated_alike() -> None:
    column = stream(6).normal(size=(5, 1))
    got = bootstrap_mean(np.repeat(column, 900, axis=1), stream(7), resamples=10_000)
    assert got.low.shape == (900,)
    np.testing.assert_allclose(got.low, got.low[0])


def test_a_nan_spoils_only_its_own_column() -> None:
    data = stream(8).normal(size=(6, 2))
    data[2, 0] = np.nan
    got = bootstrap_mean(data, stream(9), resamples=200)
    assert np.isnan([got.estimate[0], got.low[0], got.high[0]]).all()
    assert got.low[1] < got.estimate[1] < got.high[1]


def test_a_single_seed_has_an_estimate_but_no_interval() -> None:
    got = bootstrap_mean([0.7], stream())
    assert got.estimate == 0.7
    assert math.isnan(float(got.low))
    assert math.isnan(float(got.high))


@settings(deadline=None)
@given(values, st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_the_interval_shifts_with_the_values_and_stays_within_them(
    data: list[float], shift: float, seed: int
) -> None:
    array = np.array(data)
    got = bootstrap_mean(array, stream(seed), resamples=200)
    moved = bootstrap_mean(array + shift, stream(seed), resamples=200)
    np.testing.assert_allclose(moved.low, got.low + shift, atol=1e-9)
    np.testing.assert_allclose(moved.high, got.high + shift, atol=1e-9)
    assert array.min() - 1e-9 <= got.low <= got.high <= array.max() + 1e-9


@settings(deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_the_estimate_does_not_depend_on_the_order_of_seeds(data: list[float], random: object) -> None:
    shuffled = list(data)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = bootstrap_mean(data, stream(), resamples=10)
    np.testing.assert_allclose(bootstrap_mean(shuffled, stream(), resamples=10).estimate, first.estimate)


def test_the_same_stream_gives_the_same_interval_to_the_last_bit() -> None:
    data = stream(10).normal(size=(20, 4))
    first, second = (bootstrap_mean(data, stream(11)) for _ in range(2))
    assert first.low.tobytes() == second.low.tobytes()
    assert (first.low != bootstrap_mean(data, stream(12)).low).all()


def test_pairing_removes_the_noise_that_seeds_share() -> None:
    common = stream(13).normal(size=30)
    x, y = common + 0.1 + 0.01 * stream(14).normal(size=30), common
    got = paired_difference(x, y, stream(15))
    assert 0.09 < got.low < got.estimate < got.high < 0.11
    unpaired = paired_difference(x, stream(16).permutation(y), stream(15))
    assert float(unpaired.high - unpaired.low) > 10 * float(got.high - got.low)


def test_swapping_a_pair_mirrors_its_interval() -> None:
    x, y = stream(17).normal(size=(2, 12))
    forward, backward = paired_difference(x, y, stream(18)), paired_difference(y, x, stream(18))
    np.testing.assert_allclose([-backward.high, -backward.low], [forward.low, forward.high])


def test_a_stratified_bootstrap_resamples_seeds_within_each_task() -> None:
    # Tasks differ and seeds do not: then there is nothing to resample unless tasks are drawn too.
    table = np.tile([0.1, 0.5, 0.9], (10, 1))

    def mean(scores: np.ndarray) -> np.ndarray:
        return np.asarray(scores.mean(axis=(1, 2)))

    fixed = stratified_bootstrap(table, mean, stream(), resamples=500)
    np.testing.assert_allclose([fixed.low, fixed.high], 0.5)
    drawn = stratified_bootstrap(table, mean, stream(), resamples=500, resample_tasks=True)
    assert drawn.low < 0.3
    assert drawn.high > 0.7
    by_task = stratified_bootstrap(table, lambda scores: scores.mean(axis=1), stream(), resamples=50)
    np.testing.assert_allclose(by_task.low, [0.1, 0.5, 0.9])


def test_a_stratified_bootstrap_draws_seeds_apart_for_each_task() -> None:
    # The mean of two equal columns drawn apart has a standard error smaller by the square root of two.
    column = stream(19).normal(size=(40, 1))

    def mean(scores: np.ndarray) -> np.ndarray:
        return np.asarray(scores.mean(axis=(1, 2)))

    one = stratified_bootstrap(column, mean, stream(20), resamples=4_000)
    two = stratified_bootstrap(np.repeat(column, 2, axis=1), mean, stream(21), resamples=4_000)
    ratio = float((one.high - one.low) / (two.high - two.low))
    assert ratio == pytest.approx(math.sqrt(2), rel=0.06)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "at least one seed"),
        ([1.0, 2.0], {"level": 1.0}, "level 1"),
        ([1.0, 2.0], {"resamples": 0}, "0 resamples"),
    ],
)
def test_what_cannot_be_bootstrapped_is_refused(
    data: list[float], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ReActError, match=message):
        bootstrap_mean(data, stream(), **options)  # type: ignore[arg-type]


def test_unpaired_shapes_are_refused() -> None:
    with pytest.raises(ReActError, match=r"\(3,\) and \(2,\)"):
        paired_difference([1, 2, 3], [1, 2], stream())
    with pytest.raises(ReActError, match="not a table"):
        stratified_bootstrap([1.0, 2.0], lambda scores: scores, stream())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "lowest", "highest"), [(10, 0.87, 0.93), (30, 0.915, 0.955), (100, 0.93, 0.965)]
)
def test_intervals_cover_the_true_mean_about_as_often_as_they_promise(
    seeds: int, lowest: float, highest: float
) -> None:
    rng = stream(22)
    # Each column is one experiment; the columns share resamples, which leaves the coverage as it is.
    covered = []
    for _ in range(20):
        got = bootstrap_mean(rng.normal(size=(seeds, 150)), rng, resamples=1_000)
        covered.append(((got.low <= 0) & (got.high >= 0)).mean())
    assert lowest < np.mean(covered) < highest
