"""What may be bought is checked in short arrays: each row once, and an unlabelled one of the pool."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.errors import ReActError
from react_rl.simulation.purchases import all_of, any_of, check_ids

TRUE = np.ones((2, 3), dtype=np.bool_)


@pytest.mark.parametrize("mask", [TRUE, ~TRUE, np.eye(3) > 0, TRUE[:, :0], (np.eye(4) > 0)[::2, 1::2]])
def test_masks_are_judged_as_numpy_does(mask: np.ndarray) -> None:
    assert all_of(mask) == mask.all()
    assert any_of(mask) == mask.any()


def test_a_row_may_be_asked_for_once_and_nothing_as_often_as_one_likes() -> None:
    ids = np.array([[5, -1, -1], [7, 7, 8]])
    check_ids(ids, np.array([[True, False, False], [True, False, True]]), TRUE)
    with pytest.raises(ReActError, match="twice in one batch of episode 1"):
        check_ids(ids, ids >= 0, TRUE)


def test_what_is_no_unlabelled_row_is_named_unless_nothing_is_asked_for() -> None:
    ids, right = np.array([[5, 6, -1]]), np.array([[True, False, False]])
    check_ids(ids, np.array([[True, False, False]]), right)
    with pytest.raises(ReActError, match="Row id 6 is not an unlabelled row"):
        check_ids(ids, ids >= 0, right)
