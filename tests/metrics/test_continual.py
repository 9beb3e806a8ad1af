"""Numbers of accuracy matrices, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.errors import ReActError
from react_rl.metrics import phase_numbers

MATRIX = [
    [0.90, 0.30, 0.20],
    [0.60, 0.80, 0.40],
    [0.70, 0.50, 0.70],
]


def test_the_numbers_of_a_matrix_made_by_hand() -> None:
    found = phase_numbers(MATRIX, untrained=0.25)
    assert found.average == pytest.approx((0.7 + 0.5 + 0.7) / 3)
    assert found.learned == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    # The best before the last phase: .9 on the first, .8 on the second.
    assert found.forgetting == pytest.approx(((0.9 - 0.7) + (0.8 - 0.5)) / 2)
    assert found.backward == pytest.approx(((0.7 - 0.9) + (0.5 - 0.8)) / 2)
    assert found.forward == pytest.approx(((0.3 - 0.25) + (0.4 - 0.25)) / 2)


def test_forgetting_counts_from_the_best_model_and_not_from_the_first() -> None:
    found = phase_numbers([[0.5, 0.0, 0.0], [0.8, 0.5, 0.0], [0.6, 0.5, 0.5]])
    assert found.forgetting == pytest.approx((0.2 + 0.0) / 2)
    assert found.backward == pytest.approx((0.1 + 0.0) / 2), "better than when the phase ended"


def test_a_loss_is_forgotten_where_it_rises() -> None:
    found = phase_numbers([[0.2, 1.0], [0.6, 0.3]], untrained=1.1, sign=-1.0)
    assert found.forgetting == pytest.approx(0.4)
    assert found.backward == pytest.approx(-0.4)
    assert found.forward == pytest.approx(0.1)


def test_without_an_untrained_model_nothing_is_said_of_what_went_forward() -> None:
    assert np.isnan(phase_numbers(MATRIX).forward)


@pytest.mark.parametrize("matrix", [[[0.5]], [[0.5, 0.4]], [[0.5, np.nan], [0.5, 0.5]]])
def test_what_is_no_matrix_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ReActError):
        phase_numbers(matrix)
