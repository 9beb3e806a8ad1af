"""The two largest values of each row are those of a sort, whichever way they are found."""

from __future__ import annotations

import pytest
import torch

from react_rl.tasks.classification import top_two


@pytest.mark.parametrize(
    ("episodes", "classes", "rows"), [(1, 2, 3), (1, 2, 900), (2, 5, 40), (3, 5, 900), (2, 17, 50)]
)
def test_few_and_many_numbers_give_the_same_two(episodes: int, classes: int, rows: int) -> None:
    # Few different values, so that the largest one often comes twice.
    values = torch.randint(4, (episodes, classes, rows), generator=torch.Generator().manual_seed(0)).float()
    first, second = top_two(values)
    ordered = values.sort(1, descending=True).values
    assert torch.equal(first, ordered[:, 0])
    assert torch.equal(second, ordered[:, 1])
