"""Copies are found by content: exactly, on every processor."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.encoders.copies import copy_groups, copy_members, first_copies, row_keys


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.data())
def test_first_copies_are_those_of_a_slow_search(kinds: list[int], data: st.DataObject) -> None:
    table = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    mask = data.draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    found = first_copies(row_keys(torch.from_numpy(table[kinds]))[None], torch.tensor([mask]))[0].tolist()
    for place, kind in enumerate(kinds):
        same = [p for p, other in enumerate(kinds) if mask[p] and other == kind]
        assert found[place] == (same[0] if mask[place] else place)


def test_the_last_bit_tells_rows_apart_and_minus_zero_is_zero() -> None:
    row = torch.tensor([0.1, 0.0, 0.3])
    next_ = row.clone()
    next_[2] = torch.nextafter(row[2], torch.tensor(1.0))
    negative = torch.tensor([0.1, -0.0, 0.3])
    keys = row_keys(torch.stack([row, next_, negative])).tolist()
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_a_hundred_thousand_random_rows_have_as_many_keys() -> None:
    rows = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (100_000, 40)).astype(np.float32))
    distinct = len({row.tobytes() for row in rows.numpy()})
    assert torch.unique(row_keys(rows)).numel() == distinct


@given(st.lists(st.lists(st.integers(-1, 4), min_size=6, max_size=6), min_size=1, max_size=3))
def test_members_and_groups_of_several_episodes_are_those_of_a_slow_search(numbers: list[list[int]]) -> None:
    members = copy_members(torch.tensor(numbers))
    groups = copy_groups(members, len(numbers), 6).tolist()
    listed = {(episode, column): number for episode, column, number in members.T.tolist()}
    for episode, own in enumerate(numbers):
        for column, kind in enumerate(own):
            same = [p for p, other in enumerate(own) if other == kind and kind >= 0]
            assert ((episode, column) in listed) == (len(same) > 1)
            assert groups[episode][column] == (same[0] if same else column)
            assert len({listed[episode, p] for p in same if len(same) > 1}) <= 1
    assert sorted(set(listed.values())) == list(range(len(set(listed.values()))))
