"""Paired tests equal scipy's, published worked examples and counts by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics import (
    holm,
    pairwise_wilcoxon,
    penalty_checkpoints,
    penalty_matrix,
    significant_win_tie_loss,
    wilcoxon_signed_rank,
    win_tie_loss,
)
from react_rl.metrics.significance import Alternative, Zeros

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater", "less")
SCIPY_ZEROS = {"discard": "wilcox", "split": "zsplit"}

# Demsar 2006, table 2: area under the ROC curve of C4.5 and C4.5+m on fourteen data sets.
C45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
C45_M = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]

quarters = st.integers(-6, 6).map(lambda value: value / 4)


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("pairs", [1, 2, 5, 12, 30, 50])
def test_the_exact_test_equals_scipys(pairs: int, alternative: Alternative) -> None:
    x, y = stream(pairs).normal(0.2, size=pairs), stream(pairs + 1).normal(size=pairs)
    wanted = scipy.stats.wilcoxon(x, y, alternative=alternative, method="exact")
    got = wilcoxon_signed_rank(x, y, alternative)
    assert got.p_value == pytest.approx(wanted.pvalue, abs=1e-9)
    if alternative == "two-sided":
        assert got.statistic == wanted.statistic
    assert got.rank_sum_positive + got.rank_sum_negative == pairs * (pairs + 1) / 2


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", ["discard", "split"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("pairs", [20, 51, 200])
def test_the_normal_test_equals_scipys_asymptotic_one(
    pairs: int, ties: bool, zeros: Zeros, alternative: Alternative
) -> None:
    x, y = stream(pairs).normal(0.1, size=pairs), stream(pairs + 1).normal(size=pairs)
    if ties:
        x, y = np.round(2 * x), np.round(2 * y)
        assert (x == y).any()
    wanted = scipy.stats.wilcoxon(
        x, y, alternative=alternative, method="asymptotic", correction=True, zero_method=SCIPY_ZEROS[zeros]
    )
    got = wilcoxon_signed_rank(x, y, alternative, method="normal", zeros=zeros)
    assert got.p_value == pytest.approx(wanted.pvalue, abs=1e-9)


@pytest.mark.parametrize("zeros", ["discard", "split"])
@settings(max_examples=40, deadline=None)
@given(differences=st.lists(quarters, min_size=1, max_size=7))
def test_with_ties_the_exact_test_enumerates_all_signs(differences: list[float], zeros: Zeros) -> None:
    d = np.array(differences)
    got = wilcoxon_signed_rank(d, np.zeros_like(d), method="exact", zeros=zeros)
    kept = d[d != 0] if zeros == "discard" else d
    if not kept.any():
        assert got.p_value == 1.0
        return
    ranks = scipy.stats.rankdata(np.abs(kept))

    def positive(signs: np.ndarray) -> float:
        return float(ranks[signs > 0].sum() + ranks[signs == 0].sum() / 2)

    observed = positive(np.sign(kept))
    null = np.array([positive(np.sign(np.abs(kept)) * flips) for flips in product((-1, 1), repeat=kept.size)])
    wanted = min(1.0, 2 * min((null <= observed).mean(), (null >= observed).mean()))
    assert got.p_value == pytest.approx(wanted, abs=1e-12)
    assert got.rank_sum_positive == observed


def test_with_ties_the_automatic_choice_equals_scipys_permutation_test() -> None:
    x = np.array([3.0, 1.0, 2.0, 2.0, 5.0, 4.0, 4.0, 1.0, 0.0, 6.0])
    y = np.array([1.0, 2.0, 2.0, 1.0, 3.0, 3.0, 5.0, 0.0, 1.0, 2.0])
    wanted = scipy.stats.wilcoxon(x, y).pvalue
    assert wilcoxon_signed_rank(x, y).p_value == pytest.approx(wanted, abs=1e-9)


def test_beyond_fifty_pairs_the_automatic_choice_is_the_normal_one() -> None:
    x, y = stream(5).normal(size=(2, 51))
    assert wilcoxon_signed_rank(x, y) == wilcoxon_signed_rank(x, y, method="normal")
    assert wilcoxon_signed_rank(x[:50], y[:50]) == wilcoxon_signed_rank(x[:50], y[:50], method="exact")


def test_demsars_example_has_the_rank_sums_93_and_12() -> None:
    got = wilcoxon_signed_rank(C45_M, C45, zeros="split")
    assert (got.rank_sum_positive, got.rank_sum_negative, got.statistic) == (93.0, 12.0, 12.0)
    assert got.p_value < 0.05


def test_differences_that_are_equal_but_for_rounding_are_ties() -> None:
    x, y = np.array([0.8, 0.6, 0.5]), np.array([0.7, 0.7, 0.8])
    assert x[0] - y[0] != y[1] - x[1]
    got = wilcoxon_signed_rank(x, y)
    assert (got.rank_sum_positive, got.rank_sum_negative) == (1.5, 4.5)
    assert wilcoxon_signed_rank([0.1 + 0.2], [0.3]).pairs == 0


@settings(deadline=None)
@given(st.lists(st.tuples(quarters, quarters), min_size=1, max_size=15))
def test_swapping_the_strategies_swaps_the_rank_sums(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    forward, backward = wilcoxon_signed_rank(x, y), wilcoxon_signed_rank(y, x)
    assert forward.p_value == pytest.approx(backward.p_value, abs=1e-12)
    assert forward.rank_sum_positive == backward.rank_sum_negative
    assert 0 < forward.p_value <= 1
    moved = wilcoxon_signed_rank(x + 8, y + 8)
    assert moved.p_value == pytest.approx(forward.p_value, abs=1e-12)


def test_the_same_scores_have_a_p_value_of_one() -> None:
    assert wilcoxon_signed_rank([0.5, 0.6], [0.5, 0.6]).p_value == 1.0
    assert wilcoxon_signed_rank([0.0, 0.0], [0.0, 0.0], zeros="split").p_value == 1.0


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ReActError, match="equally long"):
        wilcoxon_signed_rank([1.0, 2.0], [1.0])
    with pytest.raises(ReActError, match="NaN"):
        wilcoxon_signed_rank([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ReActError, match="method 'fast'"):
        wilcoxon_signed_rank([1.0], [2.0], method="fast")  # type: ignore[arg-type]


def test_holm_of_a_hand_worked_case() -> None:
    # Sorted: .01 x 4, .02 x 3, .03 x 2, .04 x 1, made monotone.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])


def test_holm_leaves_tests_that_were_not_made_out_of_the_count() -> None:
    got = holm([[0.01, np.nan], [np.nan, 0.04]])
    np.testing.assert_allclose(got, [[0.02, np.nan], [np.nan, 0.04]])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values: list[float]) -> None:
    raw, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * raw.size)).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()
    np.testing.assert_array_equal(holm(raw[::-1]), adjusted[::-1])


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ReActError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_pairwise_tests_are_symmetric_and_corrected_over_the_pairs() -> None:
    scores = stream(6).normal(size=(3, 15)) + np.array([[0.0], [0.5], [2.0]])
    got = pairwise_wilcoxon(scores)
    np.testing.assert_array_equal(got.p_values, got.p_values.T)
    np.testing.assert_array_equal(np.diag(got.adjusted), 1.0)
    np.testing.assert_allclose(got.differences, -got.differences.T)
    assert got.differences[2, 0] == pytest.approx(scores[2].mean() - scores[0].mean())
    assert got.p_values[0, 1] == pytest.approx(scipy.stats.wilcoxon(scores[0], scores[1]).pvalue)
    pairs = np.triu_indices(3, k=1)
    np.testing.assert_allclose(got.adjusted[pairs], holm(got.p_values[pairs]))


def test_wins_ties_and_losses_are_counted_per_result() -> None:
    got = win_tie_loss([[0.5, 0.6, 0.7], [0.5, 0.5, 0.9]])
    np.testing.assert_array_equal(got.wins, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(got.ties, [[3, 1], [1, 3]])
    np.testing.assert_array_equal(got.losses, got.wins.T)
    loose = win_tie_loss([[0.5, 0.6, 0.7], [0.5, 0.5, 0.9]], tolerance=0.15)
    np.testing.assert_array_equal(loose.wins, [[0, 0], [1, 0]])


def test_significant_wins_need_seeds_that_agree() -> None:
    rng = stream(7)
    same = rng.normal(size=12)
    first = np.stack([same + 1 + 0.1 * rng.normal(size=12), rng.normal(size=12), same - 1])
    second = np.stack([same, rng.normal(size=12), same])
    got = significant_win_tie_loss(np.stack([first, second]))
    np.testing.assert_array_equal(got.wins, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(got.ties, [[3, 1], [1, 3]])
    np.testing.assert_array_equal(got.losses, [[0, 1], [1, 0]])


def test_five_seeds_cannot_win_significantly_and_six_can() -> None:
    clear = np.stack([np.arange(6.0) + 1, np.zeros(6)])[:, None]
    assert significant_win_tie_loss(clear[..., :5]).wins[0, 1] == 0
    assert significant_win_tie_loss(clear).wins[0, 1] == 1


def test_a_mean_against_the_ranks_is_a_tie() -> None:
    # Nearly all seeds are up a little, one is down a lot.
    gaps = np.array([0.1 + 0.001 * step for step in range(19)] + [-50.0])
    scores = np.stack([gaps, np.zeros(20)])
    assert pairwise_wilcoxon(scores).adjusted[0, 1] < 0.05
    assert significant_win_tie_loss(scores[:, None]).ties[0, 1] == 1


def test_checkpoints_double_until_random_has_all_but_arrived() -> None:
    rising = np.linspace(0.5, 1.0, 41)
    # Rounds 0, 1, 2, 4, 8, 16, 32 lie below .99; with a share of .7 round 16 is the first above.
    np.testing.assert_array_equal(penalty_checkpoints(rising), [0, 1, 2, 4, 8, 16, 32])
    np.testing.assert_array_equal(penalty_checkpoints(rising, 0.69), [0, 1, 2, 4, 8])
    np.testing.assert_array_equal(penalty_checkpoints([0.9, 0.9, 0.9]), [0])
    np.testing.assert_array_equal(penalty_checkpoints([0.5, 0.75, 1.0], 0.75), [0, 1])
    np.testing.assert_array_equal(penalty_checkpoints([rising, rising]), penalty_checkpoints(rising))
    with pytest.raises(ReActError, match="positive at the end"):
        penalty_checkpoints([-2.0, -1.0])


def test_the_penalty_matrix_adds_a_share_for_each_checkpoint_won() -> None:
    noise = np.array([0.0, 0.01, -0.01, 0.02, -0.02])
    # Checkpoint 0: all level. Checkpoint 1: A beats B and C. Checkpoint 2: A and B beat C.
    setting = np.zeros((3, 5, 3))
    setting[0, :, 1] = 0.5 + noise
    setting[0, :, 2] = 0.5 + noise
    setting[1, :, 2] = 0.5 - noise
    wanted = np.array([[0, 1 / 3, 2 / 3], [0, 0, 1 / 3], [0, 0, 0]])
    np.testing.assert_allclose(penalty_matrix([setting]), wanted)
    last_alone = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(penalty_matrix([setting, setting[:, :, 2:]]), wanted + last_alone)


def test_the_penalty_matrix_decides_as_scipys_paired_t_test() -> None:
    setting = stream(8).normal(size=(4, 5, 60)) + np.array([0.0, 0.5, 1.0, 2.0])[:, None, None]
    wanted = np.zeros((4, 4))
    for i, j, c in np.ndindex(4, 4, 60):
        if i != j:
            test = scipy.stats.ttest_rel(setting[i, :, c], setting[j, :, c])
            wanted[i, j] += (test.statistic > 0 and test.pvalue < 0.05) / 60
    np.testing.assert_allclose(penalty_matrix([setting]), wanted, atol=1e-12)
    assert wanted[3, 0] > 0.3


def test_a_gap_equal_on_every_seed_is_a_win_and_no_gap_is_none() -> None:
    base = stream(9).uniform(size=5)
    setting = np.stack([base + 0.1, base, base])[:, :, None]
    np.testing.assert_array_equal(penalty_matrix([setting]), [[0, 1, 1], [0, 0, 0], [0, 0, 0]])


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ReActError, match="at least one setting"):
        penalty_matrix([])
    with pytest.raises(ReActError, match=r"\(2, 1, 3\)"):
        penalty_matrix([np.zeros((2, 1, 3))])
    with pytest.raises(ReActError, match=r"\(3, 5, 2\)"):
        penalty_matrix([np.zeros((2, 5, 2)), np.zeros((3, 5, 2))])
    with pytest.raises(ReActError, match="at least 2 strategies"):
        win_tie_loss([[0.5, 0.6]])
    with pytest.raises(ReActError, match="strategies, corpora, seeds"):
        significant_win_tie_loss(np.zeros((2, 5)))
