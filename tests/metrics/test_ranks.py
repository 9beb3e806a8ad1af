"""Friedman and Nemenyi: Demsar's worked example and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from react_rl.errors import ReActError
from react_rl.metrics import critical_difference, friedman, nemenyi, rank_strategies

# Demsar 2006, table 6: area under the ROC curve of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf. The table prints
# 0.975 twice for the data set voting but ranks the third column ahead, hence 0.9751.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)

tables = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 10), st.integers(3, 6)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)


def test_demsars_example_of_friedmans_test() -> None:
    got = friedman(DEMSAR, correct_ties=False)
    np.testing.assert_allclose(got.mean_ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert got.chi_square == pytest.approx(9.28, abs=0.005)
    assert got.f == pytest.approx(3.69, abs=0.005)
    assert got.f_p_value < 0.05


def test_demsars_example_of_nemenyis_test() -> None:
    at_05, at_10 = nemenyi(DEMSAR), nemenyi(DEMSAR, alpha=0.10)
    assert at_05.critical_difference == pytest.approx(1.25, abs=0.005)
    assert at_10.critical_difference == pytest.approx(1.12, abs=0.005)
    # At .05 nothing is significant; at .10 C4.5 differs from both variants with m, by 1.143 and 1.179.
    assert at_05.groups == ((3, 1, 2, 0),)
    assert at_10.groups == ((3, 1, 2), (2, 0))


@given(tables)
def test_friedman_equals_scipy_with_ties(scores: np.ndarray) -> None:
    got = friedman(scores)
    if (scores == scores[:, :1]).all():
        assert (got.chi_square, got.p_value) == (0.0, 1.0)
        return
    wanted = scipy.stats.friedmanchisquare(*scores.T)
    assert got.chi_square == pytest.approx(wanted.statistic, abs=1e-9)
    assert got.p_value == pytest.approx(wanted.pvalue, abs=1e-9)


@given(tables)
def test_ranks_give_one_to_the_best_and_sum_to_a_constant(scores: np.ndarray) -> None:
    got = rank_strategies(scores)
    np.testing.assert_allclose(got, scipy.stats.rankdata(-scores, axis=1))
    count = scores.shape[1]
    np.testing.assert_allclose(got.sum(axis=1), count * (count + 1) / 2)
    np.testing.assert_array_equal(rank_strategies(scores + 3.0), got)
    np.testing.assert_array_equal(rank_strategies(scores[:, ::-1]), got[:, ::-1])


def test_corpora_that_all_agree_leave_no_doubt() -> None:
    got = friedman(np.tile([3.0, 2.0, 1.0], (6, 1)))
    assert got.chi_square == pytest.approx(12.0)
    assert got.f == math.inf
    assert got.f_p_value == 0.0


@pytest.mark.parametrize(("strategies", "corpora"), [(2, 5), (4, 14), (11, 30)])
def test_the_critical_difference_equals_scipys_studentised_range(strategies: int, corpora: int) -> None:
    quantile = scipy.stats.studentized_range.ppf(0.95, strategies, np.inf) / math.sqrt(2)
    wanted = quantile * math.sqrt(strategies * (strategies + 1) / (6 * corpora))
    assert critical_difference(strategies, corpora) == pytest.approx(wanted, rel=1e-6)


def test_nemenyis_p_values_say_the_same_as_its_difference() -> None:
    rng = np.random.default_rng(0)
    got = nemenyi(rng.normal(size=(25, 5)) + np.arange(5) * 0.4)
    apart = np.abs(got.mean_ranks[:, None] - got.mean_ranks) > got.critical_difference
    np.testing.assert_array_equal(got.p_values < 0.05, apart)
    assert apart.any()
    assert not apart.all()
    np.testing.assert_array_equal(got.p_values, got.p_values.T)


def test_groups_are_largest_and_singletons_are_none() -> None:
    # 40 corpora with one order of three strategies: mean ranks 1, 2, 3, far beyond the difference.
    got = nemenyi(np.tile([3.0, 2.0, 1.0], (40, 1)))
    assert got.groups == ()
    np.testing.assert_array_equal(got.mean_ranks, [1, 2, 3])


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ReActError, match=r"\(1, 4\) cannot be ranked"):
        friedman(DEMSAR[:1])
    with pytest.raises(ReActError, match="NaN"):
        rank_strategies([[0.1, np.nan], [0.1, 0.2]])
    with pytest.raises(ReActError, match="over 0 corpora"):
        critical_difference(3, 0)
