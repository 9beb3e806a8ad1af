"""Tail probabilities equal scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from react_rl.errors import ReActError
from react_rl.metrics.distributions import (
    chi_square_sf,
    f_sf,
    incomplete_beta,
    normal_sf,
    student_t_critical,
    student_t_two_sided,
    studentized_range_quantile,
    studentized_range_sf,
    upper_incomplete_gamma,
)

# Demsar 2006, table 5 (a): critical values of the two-tailed Nemenyi test for 2 to 10 classifiers.
DEMSAR_05 = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
DEMSAR_10 = [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]


@pytest.mark.parametrize("z", [-9.0, -1.3, 0.0, 0.7, 4.0, 12.0])
def test_normal_tail(z: float) -> None:
    assert normal_sf(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 4, 29, 500])
@pytest.mark.parametrize("t", [-2.776, -0.1, 0.0, 0.5, 3.0, 40.0])
def test_student_t_tail(t: float, degrees: int) -> None:
    assert student_t_two_sided(t, degrees) == pytest.approx(2 * scipy.stats.t.sf(abs(t), degrees), rel=1e-9)


@pytest.mark.parametrize("degrees", [1, 4, 29])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5])
def test_student_t_critical_value(alpha: float, degrees: int) -> None:
    assert student_t_critical(alpha, degrees) == pytest.approx(
        scipy.stats.t.isf(alpha / 2, degrees), rel=1e-9
    )


def test_five_seeds_give_the_threshold_of_the_badge_paper() -> None:
    assert student_t_critical(0.05, 4) == pytest.approx(2.776, abs=5e-4)


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 1), (3, 39), (10, 200)])
@pytest.mark.parametrize("f", [0.0, 0.2, 1.0, 3.69, 60.0])
def test_f_tail(f: float, numerator: int, denominator: int) -> None:
    assert f_sf(f, numerator, denominator) == pytest.approx(
        scipy.stats.f.sf(f, numerator, denominator), rel=1e-8, abs=1e-300
    )


@pytest.mark.parametrize("degrees", [1, 3, 14, 90])
@pytest.mark.parametrize("x", [0.0, 0.3, 2.0, 9.28, 90.0, 300.0])
def test_chi_square_tail(x: float, degrees: int) -> None:
    assert chi_square_sf(x, degrees) == pytest.approx(scipy.stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-15)


def test_incomplete_functions_over_a_grid() -> None:
    for a in (0.5, 1.0, 7.5, 100.0):
        for x in np.linspace(0, 1, 11):
            for b in (0.5, 2.0, 60.0):
                assert incomplete_beta(a, b, x) == pytest.approx(
                    scipy.special.betainc(a, b, x), rel=1e-9, abs=1e-15
                )
        for x in np.linspace(0, 200, 21):
            assert upper_incomplete_gamma(a, x) == pytest.approx(
                scipy.special.gammaincc(a, x), rel=1e-9, abs=1e-14
            )


def test_infinite_statistics_have_no_tail() -> None:
    assert student_t_two_sided(math.inf, 4) == 0.0
    assert f_sf(math.inf, 3, 9) == 0.0


@pytest.mark.parametrize(("alpha", "table"), [(0.05, DEMSAR_05), (0.10, DEMSAR_10)])
def test_studentised_range_quantiles_equal_demsars_table(alpha: float, table: list[float]) -> None:
    got = [studentized_range_quantile(alpha, groups) / math.sqrt(2) for groups in range(2, 11)]
    # Some entries of the table are rounded to three digits, most are cut.
    np.testing.assert_allclose(got, table, rtol=0, atol=1e-3)


@pytest.mark.parametrize("groups", [2, 3, 8, 25])
def test_studentised_range_equals_scipy(groups: int) -> None:
    for q in (0.1, 1.0, 3.314, 6.0):
        wanted = scipy.stats.studentized_range.sf(q, groups, np.inf)
        assert studentized_range_sf(q, groups) == pytest.approx(wanted, abs=1e-9)
    wanted = scipy.stats.studentized_range.ppf(0.95, groups, np.inf)
    assert studentized_range_quantile(0.05, groups) == pytest.approx(wanted, rel=1e-6)
    assert studentized_range_sf(0.0, groups) == 1.0
    assert studentized_range_sf(100.0, groups) == pytest.approx(0.0, abs=1e-12)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ReActError, match="1 group"):
        studentized_range_sf(1.0, 1)
    with pytest.raises(ReActError, match="level of 0"):
        studentized_range_quantile(0.0, 3)
    with pytest.raises(ReActError, match=r"level of 1\.5"):
        student_t_critical(1.5, 3)
    with pytest.raises(ReActError, match="needs positive a and b"):
        incomplete_beta(0.0, 1.0, 0.5)
    with pytest.raises(ReActError, match="needs a positive a"):
        upper_incomplete_gamma(1.0, -1.0)
