"""What may be bought is checked in short arrays: each row once, and an unlabelled one of the pool."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.errors import ReActError
from react_rl.simulation.purchases import all_of, any_of, as_ids, check_ids

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


@pytest.mark.parametrize(
    "given",
    [
        [[5, -1], [7, 8]],
        ((5, -1), (7, 8)),
        np.array([[5, -1], [7, 8]], np.int32),
        [np.array([5, -1]), [7, 8]],
    ],
)
def test_row_ids_are_given_as_lists_and_arrays_as_well(given: npt.ArrayLike) -> None:
    wanted = torch.tensor([[5, -1], [7, 8]])
    found = as_ids(given, 2, torch.device("cpu"))
    assert found.dtype == torch.int64
    assert torch.equal(found, wanted)
    assert as_ids(wanted, 2, torch.device("cpu")) is wanted
    assert as_ids([[], []], 2, torch.device("cpu")).shape == (2, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [5, 7],
            r"have shape \(2,\), but the engine plays 2 episodes; give one line of ids for each, \(2, b\)",
        ),
        (torch.tensor([[5, 7]]), r"have shape \(1, 2\), but the engine plays 2 episodes"),
        ([[0.5], [7.0]], "whole numbers, not float64"),
        ([[True], [False]], "whole numbers, not bool"),
        ([[5, 7], [8]], "list that make no table of numbers; give as many for each episode"),
        ([["a"], ["b"]], "make no table of numbers"),
    ],
)
def test_what_are_no_row_ids_is_said(given: npt.ArrayLike, message: str) -> None:
    with pytest.raises(ReActError, match=message):
        as_ids(given, 2, torch.device("cpu"))
