"""Task metrics equal scikit-learn's row by row, whatever the padding holds."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics import (
    CLASS_METRICS,
    accuracy,
    calibration_error,
    expected_calibration_error,
    log_loss,
    macro_f1,
    metric_named,
)
from react_rl.metrics.classification import predicted_class

INVALID = -1e30


def episodes(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three episodes with 4, 2 and 3 classes and 40, 25 and 1 rows; the padding holds NaN."""
    rng = np.random.default_rng(seed)
    classes, rows = (4, 2, 3), (40, 25, 1)
    logits = torch.from_numpy(rng.normal(scale=2.0, size=(3, 4, 40))).float()
    labels = torch.full((3, 40), -1)
    mask = torch.zeros(3, 4, dtype=torch.bool)
    for episode, (c, n) in enumerate(zip(classes, rows, strict=True)):
        logits[episode, c:] = INVALID
        logits[episode, :, n:] = float("nan")
        labels[episode, :n] = torch.from_numpy(rng.integers(c, size=n))
        mask[episode, :c] = True
    return logits, labels, mask


def rows_of(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, episode: int
) -> tuple[np.ndarray, np.ndarray]:
    valid = labels[episode] >= 0
    probabilities = torch.softmax(logits[episode, mask[episode]][:, valid].double(), dim=0).T
    return probabilities.numpy(), labels[episode, valid].numpy()


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_and_log_loss_equal_scikit_learn(seed: int) -> None:
    logits, labels, mask = episodes(seed)
    for episode in range(3):
        probabilities, truth = rows_of(logits, labels, mask, episode)
        wanted = sklearn.metrics.accuracy_score(truth, probabilities.argmax(axis=1))
        assert accuracy(logits, labels)[episode].item() == pytest.approx(wanted, abs=1e-6)
        wanted = sklearn.metrics.log_loss(truth, probabilities, labels=range(probabilities.shape[1]))
        assert log_loss(logits, labels)[episode].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_equals_scikit_learn_over_the_classes_among_the_labels(seed: int) -> None:
    logits, labels, mask = episodes(seed)
    got = macro_f1(logits, labels, mask)
    for episode in range(3):
        probabilities, truth = rows_of(logits, labels, mask, episode)
        wanted = sklearn.metrics.f1_score(
            truth, probabilities.argmax(axis=1), labels=np.unique(truth), average="macro", zero_division=0
        )
        assert got[episode].item() == pytest.approx(wanted, abs=1e-6)


def test_macro_f1_leaves_out_a_class_without_labels_but_counts_the_misses_it_causes() -> None:
    # Rows of class 0, 0, 1; the second is taken for class 2, which no label names.
    predicted = torch.tensor([[0, 2, 1]])
    logits = torch.nn.functional.one_hot(predicted, 3).transpose(1, 2).float()
    labels = torch.tensor([[0, 0, 1]])
    assert macro_f1(logits, labels).item() == pytest.approx((2 / 3 + 1.0) / 2)


def test_macro_f1_leaves_out_classes_outside_the_mask() -> None:
    predicted = torch.tensor([[0, 1, 1, 1]])
    logits = torch.nn.functional.one_hot(predicted, 2).transpose(1, 2).float()
    labels = torch.tensor([[0, 0, 1, 1]])
    only_first = torch.tensor([[True, False]])
    assert macro_f1(logits, labels, only_first).item() == pytest.approx(2 / 3)
    assert macro_f1(logits, labels).item() == pytest.approx((2 / 3 + 0.8) / 2)


def test_log_loss_of_equal_logits_is_the_log_of_the_number_of_valid_classes() -> None:
    logits = torch.zeros(1, 5, 7)
    logits[:, 3:] = INVALID
    assert log_loss(logits, torch.zeros(1, 7, dtype=torch.int64)).item() == pytest.approx(math.log(3))


def test_equal_logits_count_for_the_first_class_only() -> None:
    labels = torch.tensor([[0, 1, 2, 0]])
    assert accuracy(torch.zeros(1, 3, 4), labels).item() == 0.5
    assert macro_f1(torch.zeros(1, 3, 4), labels).item() == pytest.approx(2 / 3 / 3)


def test_calibration_error_of_a_hand_worked_case() -> None:
    # Two bins. Low: confidences .2 and .4, one right: |.5 - .3|. High: .6, .8, 1, two right: |2/3 - .8|.
    confidence = torch.tensor([[0.2, 0.4, 0.6, 0.8, 1.0]])
    correct = torch.tensor([[True, False, True, True, False]])
    wanted = 2 / 5 * 0.2 + 3 / 5 * (0.8 - 2 / 3)
    got = calibration_error(confidence, correct, torch.ones(1, 5, dtype=torch.bool), bins=2)
    assert got.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "correct", "wanted"),
    [(0.0, True, 1.0), (0.0, False, 0.0), (1.0, False, 1.0), (1.0, True, 0.0)],
)
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_counts_confidences_of_exactly_zero_and_one(
    confidence: float, correct: bool, wanted: float, bins: int
) -> None:
    rows = torch.full((1, 3), confidence)
    valid = torch.ones(1, 3, dtype=torch.bool)
    assert calibration_error(rows, torch.full((1, 3), correct), valid, bins).item() == wanted


def test_a_confidence_on_an_edge_belongs_to_the_bin_that_it_closes() -> None:
    # At .5 and .4 in one bin the errors cancel; were .5 in the upper bin they would add up.
    confidence, correct = torch.tensor([[0.5, 0.4]]), torch.tensor([[False, True]])
    got = calibration_error(confidence, correct, torch.ones(1, 2, dtype=torch.bool), bins=2)
    assert got.item() == pytest.approx(0.05)


def test_expected_calibration_error_reads_the_largest_softmax_probability() -> None:
    logits, labels, mask = episodes(4)
    got = expected_calibration_error(logits, labels, mask, bins=10)
    for episode in range(3):
        probabilities, truth = rows_of(logits, labels, mask, episode)
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
        wanted = 0.0
        for b in range(10):
            inside = (confidence > b / 10) & (confidence <= (b + 1) / 10)
            if inside.any():
                wanted += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert got[episode].item() == pytest.approx(wanted, abs=1e-5)


def test_a_sure_and_wrong_learner_has_a_calibration_error_of_one() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[:, 0] = 200.0
    assert expected_calibration_error(logits, torch.ones(1, 4, dtype=torch.int64)).item() == 1.0


@pytest.mark.parametrize("name", sorted(CLASS_METRICS))
def test_an_episode_without_rows_is_nan_and_leaves_the_others_alone(name: str) -> None:
    logits, labels, mask = episodes()
    function = CLASS_METRICS[name].function
    before = function(logits, labels, mask)
    labels = labels.clone()
    labels[1] = -1
    after = function(logits, labels, mask)
    assert after.shape == (3,)
    assert after.dtype == torch.float32
    assert torch.isnan(after[1])
    assert torch.equal(after[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize("name", sorted(CLASS_METRICS))
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_metrics_do_not_depend_on_the_order_of_rows_and_stay_in_bounds(name: str, seed: int) -> None:
    logits, labels, mask = episodes(seed)
    function = CLASS_METRICS[name].function
    order = torch.from_numpy(np.random.default_rng(seed).permutation(labels.shape[1]))
    got = function(logits, labels, mask)
    torch.testing.assert_close(function(logits[:, :, order], labels[:, order], mask), got)
    assert (got >= 0).all()
    assert name == "log_loss" or (got <= 1 + 1e-6).all()


def test_every_registered_metric_says_in_which_direction_it_improves() -> None:
    logits, labels = torch.full((1, 2, 6), -20.0), torch.tensor([[0, 1, 0, 1, 0, 0]])
    right = logits.scatter(1, labels.unsqueeze(1), 20.0)
    wrong = logits.scatter(1, 1 - labels.unsqueeze(1), 20.0)
    for metric in CLASS_METRICS.values():
        better, worse = metric.function(right, labels), metric.function(wrong, labels)
        assert (better > worse).item() == metric.higher_is_better


def test_an_unknown_metric_names_the_nearest_one() -> None:
    with pytest.raises(ReActError, match=r"Unknown metric 'acuracy'\. Did you mean 'accuracy'\?"):
        metric_named("acuracy")


def test_shapes_that_do_not_fit_are_one_sentence() -> None:
    with pytest.raises(ReActError, match=r"\(2, 3, 5\) do not fit labels of shape \(2, 3\)"):
        accuracy(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ReActError, match="0 bins"):
        expected_calibration_error(torch.zeros(1, 2, 1), torch.zeros(1, 1, dtype=torch.int64), bins=0)


def test_metrics_raise_no_warning_on_padded_input() -> None:
    logits, labels, mask = episodes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in CLASS_METRICS.values():
            assert torch.isfinite(metric.function(logits, labels, mask)).all()


@pytest.mark.parametrize("n_classes", [1, 2, 5, 16, 17])
def test_the_predicted_class_is_the_first_of_the_largest_however_many_rows_there_are(n_classes: int) -> None:
    logits = torch.randn(40, n_classes, 900, generator=torch.Generator().manual_seed(n_classes))
    logits = logits.mul_(2.0).round_()[:, :, 100:]  # many are equal, and rows are part of a wider array
    first = torch.from_numpy(logits.numpy().argmax(1))
    assert torch.equal(predicted_class(logits), first)
    assert torch.equal(predicted_class(logits[:1, :, :7]), first[:1, :7])
