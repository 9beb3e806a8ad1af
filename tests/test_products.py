"""Products by convolution are products, whatever the number of rows."""

from __future__ import annotations

import pytest
import torch

from react_rl.products import row_products


@pytest.mark.parametrize("count", [1, 15, 16, 17, 160, 163])
@pytest.mark.parametrize(("length", "others"), [(24, 40), (40, 24), (0, 5)])
@pytest.mark.parametrize("episodes", [1, 3])
def test_all_rows_meet_all_others(count: int, length: int, others: int, episodes: int) -> None:
    generator = torch.Generator().manual_seed(count)
    rows = torch.randn(episodes, count, length, generator=generator)
    weights = torch.randn(episodes, others, length, generator=generator)
    exact = torch.einsum("eri,eji->erj", rows.double(), weights.double()).float()
    torch.testing.assert_close(row_products(rows, weights), exact, rtol=1e-5, atol=1e-5)
    assert row_products(rows.mT.contiguous().mT, weights).shape == (episodes, count, others)
