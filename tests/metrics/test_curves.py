"""Learning-curve numbers: hand-worked curves, scikit-learn's area, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics import (
    area_to_budget,
    area_under_curve,
    final_metric,
    gap_closed,
    interpolate_curves,
    label_saving,
    labels_to_fractions,
    labels_to_target,
)

X = [10.0, 20.0, 40.0, 50.0]
Y = [0.5, 0.7, 0.6, 0.9]

steps = st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 1)), min_size=1, max_size=20)


def curve(points: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([step for step, _ in points]), np.array([value for _, value in points])


def test_area_under_an_uneven_curve_is_its_trapezoid_over_the_span() -> None:
    by_hand = (10 * 0.6 + 20 * 0.65 + 10 * 0.75) / 40
    assert area_under_curve(X, Y) == pytest.approx(by_hand)
    assert area_under_curve(X, Y) == pytest.approx(sklearn.metrics.auc(X, Y) / 40)


def test_area_of_a_single_point_is_its_value() -> None:
    assert area_under_curve([7], [0.3]) == 0.3
    assert area_under_curve([7, 7], [0.3, 0.4]) == 0.4


@given(steps, st.floats(-5, 5))
def test_area_shifts_with_the_curve_and_stays_within_it(
    points: list[tuple[float, float]], shift: float
) -> None:
    x, y = curve(points)
    area = area_under_curve(x, y)
    assert y.min() - 1e-9 <= area <= y.max() + 1e-9
    assert area_under_curve(x, y + shift) == pytest.approx(area + shift, abs=1e-9)
    assert area_under_curve(3 * x + 7, y) == pytest.approx(area, abs=1e-9)


@given(steps)
def test_area_to_the_last_checkpoint_is_the_area_under_the_curve(points: list[tuple[float, float]]) -> None:
    x, y = curve(points)
    assert area_to_budget(x, y, x[-1]) == pytest.approx(area_under_curve(x, y), abs=1e-9)


def test_a_curve_that_stops_early_keeps_its_last_value_until_the_budget() -> None:
    stopped = area_to_budget([0, 10], [0.4, 0.8], 20)
    assert stopped == pytest.approx((10 * 0.6 + 10 * 0.8) / 20)
    assert stopped == pytest.approx(area_under_curve([0, 10, 20], [0.4, 0.8, 0.8]))


def test_a_curve_beyond_the_budget_is_cut_at_the_budget() -> None:
    assert area_to_budget([0, 10, 30], [0.4, 0.8, 0.0], 15) == pytest.approx((10 * 0.6 + 5 * 0.7) / 15)
    assert area_to_budget([0, 10, 10], [0.4, 0.6, 0.9], 10) == pytest.approx(0.5)


def test_a_budget_at_the_start_gives_the_first_value_and_before_it_an_error() -> None:
    assert area_to_budget(X, Y, 10) == 0.5
    with pytest.raises(ReActError, match=r"budget of 9 is before the first checkpoint at 10"):
        area_to_budget(X, Y, 9)


def test_final_metric_is_the_last_one_measured_within_the_budget() -> None:
    assert final_metric(X, Y) == 0.9
    assert final_metric(X, Y, 49.9) == 0.6
    assert math.isnan(final_metric(X, Y, 9))


@pytest.mark.parametrize(
    ("target", "wanted"), [(0.4, 10), (0.5, 10), (0.6, 15), (0.7, 20), (0.8, 40 + 20 / 3), (0.9, 50)]
)
def test_labels_to_target_is_the_first_crossing(target: float, wanted: float) -> None:
    assert labels_to_target(X, Y, target) == pytest.approx(wanted)


def test_a_target_out_of_reach_is_nan() -> None:
    assert math.isnan(labels_to_target(X, Y, 0.91))


@given(steps, st.floats(0, 1))
def test_labels_to_target_lies_on_the_curve_at_the_target(
    points: list[tuple[float, float]], target: float
) -> None:
    x, y = curve(points)
    labels = labels_to_target(x, y, target)
    if math.isnan(labels):
        assert (y < target).all()
    else:
        assert (y[x < labels - 1e-9] < target).all()
        assert np.interp(labels, x, y) >= target - 1e-6


def test_labels_to_fractions_of_full_data() -> None:
    got = labels_to_fractions([0, 100], [0.0, 0.95], full=1.0, fractions=(0.19, 0.95, 0.99))
    assert got[:2] == pytest.approx([20, 100])
    assert math.isnan(got[2])
    with pytest.raises(ReActError, match="full-data metric of 0"):
        labels_to_fractions(X, Y, full=0.0)


def test_label_saving_compares_with_what_random_needs() -> None:
    x_random, y_random = [0, 100], [0.0, 0.8]
    assert label_saving([0, 50], [0.0, 0.8], x_random, y_random) == pytest.approx(0.5)
    assert label_saving([0, 50], [0.0, 0.8], x_random, y_random, target=0.4) == pytest.approx(0.5)
    assert label_saving([0, 400], [0.0, 1.6], x_random, y_random) == pytest.approx(-1.0)
    assert math.isnan(label_saving([0, 50], [0.0, 0.7], x_random, y_random))
    assert math.isnan(label_saving(X, Y, [0, 1], [0.8, 0.8]))


def test_gap_closed_is_a_ratio_of_means_over_seeds() -> None:
    assert gap_closed(0.6, 0.7, 0.8) == pytest.approx(0.5)
    assert gap_closed([0.5, 0.7], [0.6, 0.75], [0.9, 0.7]) == pytest.approx(0.075 / 0.2)
    assert gap_closed(0.6, 0.5, 0.8) == pytest.approx(-0.5)
    assert math.isnan(gap_closed(0.6, 0.7, 0.6))
    with pytest.raises(ReActError, match="at least one value"):
        gap_closed([], 0.5, 0.6)


def test_interpolated_curves_hold_their_last_value_and_are_nan_before_the_first() -> None:
    got = interpolate_curves([(X, Y), ([0, 20], [0.0, 1.0])], [5, 10, 15, 45, 60])
    np.testing.assert_allclose(got[0], [np.nan, 0.5, 0.6, 0.75, 0.9])
    np.testing.assert_allclose(got[1], [0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_jump_at_one_cost_reads_as_the_later_value() -> None:
    got = interpolate_curves([([0, 10, 10, 20], [0.0, 0.5, 0.7, 0.9])], [10, 15])
    np.testing.assert_allclose(got, [[0.7, 0.8]])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [0.5], "as many costs as metric values"),
        ([], [], "as many costs as metric values"),
        ([1, 2], [0.5, np.nan], "NaN or infinite"),
        ([2, 1], [0.5, 0.6], "falls from 2 to 1"),
    ],
)
def test_what_is_no_curve_is_refused(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(ReActError, match=message):
        area_under_curve(x, y)


def test_no_curves_to_interpolate_is_refused() -> None:
    with pytest.raises(ReActError, match="no curves"):
        interpolate_curves([], [1.0])
