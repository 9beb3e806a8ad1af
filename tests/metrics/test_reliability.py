"""Calibration bins and their error, by hand and against the metric on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.errors import ReActError
from react_rl.metrics.classification import calibration_error
from react_rl.metrics.reliability import reliability


def test_the_error_of_four_rows_by_hand() -> None:
    """Two bins: (.5, .4 | one right) and (.9, .7 | both right): |1 - .9| and |2 - 1.6| over four rows."""
    bins = reliability([0.5, 0.4, 0.9, 0.7], [True, False, True, True], bins=2)
    assert bins.rows.tolist() == [2.0, 2.0]
    assert bins.confidence == pytest.approx([0.9, 1.6])
    assert bins.correct.tolist() == [1.0, 2.0]
    assert bins.error == pytest.approx((0.1 + 0.4) / 4)


def test_an_edge_belongs_to_the_bin_that_it_closes() -> None:
    bins = reliability([0.0, 0.25, 0.5, 0.51, 1.0], [True] * 5, bins=4)
    assert bins.rows.tolist() == [2.0, 1.0, 1.0, 1.0]


def test_bins_of_several_models_add_up() -> None:
    one, other = reliability([0.5, 0.9], [True, False]), reliability([0.95], [True])
    both = reliability([0.5, 0.9, 0.95], [True, False, True])
    assert (one + other).rows.tolist() == both.rows.tolist()
    assert (one + other).error == pytest.approx(both.error)


def test_it_is_the_metric_on_tensors() -> None:
    rng = np.random.default_rng(0)
    sure, right = rng.random(400), rng.random(400) < 0.6
    found = calibration_error(
        torch.tensor(sure)[None], torch.tensor(right)[None], torch.ones(1, 400, dtype=torch.bool)
    )
    assert reliability(sure, right).error == pytest.approx(float(found[0]), abs=1e-6)


def test_no_rows_have_no_error() -> None:
    assert np.isnan(reliability([], []).error)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.5, 0.5], [True]), "do not fit"),
        (([1.5], [True]), "outside"),
        (([0.5], [True], 0), "at least 1"),
    ],
)
def test_what_cannot_be_binned_is_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(ReActError, match=words):
        reliability(*arguments)  # type: ignore[arg-type]
