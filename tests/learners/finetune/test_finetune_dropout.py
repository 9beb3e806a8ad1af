"""Dropout masks are a function of key, site and place: the right share, nothing in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.learners.finetune.backbone import dropout
from react_rl.learners.finetune.backbone.dropout import (
    EpisodeDropout,
    keep_factors,
    step_keys,
    token_numbers,
    token_places,
)
from react_rl.learners.finetune.backbone.episodic import Mounted

KEYS = step_keys(torch.tensor([3, 4, 2**61 + 17]), 0)


def rectangle(
    keys: torch.Tensor, rows: int, width: int, features: int, site: int, rate: float, first: int = 0
) -> torch.Tensor:
    """The mask (R, rows, width, features) of a rectangle."""
    tokens = token_numbers(keys, token_places(rows, width, first, keys.device))
    return keep_factors(tokens, features, site, rate).view(-1, rows, width, features) > 0


def mask_of(key: int, site: int = 1, rows: int = 16, width: int = 12, features: int = 96) -> torch.Tensor:
    return rectangle(torch.tensor([key], dtype=torch.int32), rows, width, features, site, 0.5)[0]


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(np.corrcoef(one.flatten().float(), other.flatten().float())[0, 1])


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_the_right_share_is_dropped_in_every_row_token_and_unit(rate: float) -> None:
    rows, width, features = 32, 16, 384
    keep = rectangle(KEYS, rows, width, features, 5, rate).float()
    assert keep.shape == (3, rows, width, features)
    # Each mean of n fair draws lies within 5.5 standard errors; there are some thousand of them.
    for axes in [(0, 1, 2, 3), (1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2), (3,)]:
        mean = keep.mean(axes)
        n = keep.numel() / mean.numel()
        error = (mean - (1 - rate)).abs().max() / math.sqrt(rate * (1 - rate) / n)
        assert error < 5.5, axes


def test_nothing_is_dropped_at_rate_zero() -> None:
    assert rectangle(KEYS, 4, 4, 32, 1, 0.0).all()


def test_masks_of_other_keys_sites_rows_tokens_and_units_have_nothing_in_common() -> None:
    base = mask_of(int(KEYS[0]))
    pairs = [(base, mask_of(int(key))) for key in KEYS[1:]]
    pairs += [(base, mask_of(int(KEYS[0]), site)) for site in (0, 2, 3, 17)]
    pairs += [(base, mask_of(int(key))) for key in (KEYS[0] + 1, KEYS[0] ^ 2**30)]
    steps = [step_keys(torch.tensor([3]), step) for step in range(4)]
    pairs += [(mask_of(int(steps[0])), mask_of(int(step))) for step in steps[1:]]
    for shift in (1, 2, 3):
        pairs.append((base[shift:], base[:-shift]))
        pairs.append((base[:, shift:], base[:, :-shift]))
        pairs.append((base[..., shift:], base[..., :-shift]))
    for one, other in pairs:
        assert abs(correlation(one, other)) < 5 / math.sqrt(one.numel())


def test_pairs_of_units_fall_together_no_more_often_than_by_chance() -> None:
    keep = rectangle(KEYS, 64, 32, 64, 2, 0.5).reshape(-1, 64).float() * 2 - 1  # (6144, 64)
    together = (keep.T @ keep) / len(keep)
    together.fill_diagonal_(0)
    assert together.abs().max() < 5.5 / math.sqrt(len(keep))
    tokens = rectangle(KEYS, 8, 8, 4096, 2, 0.5).reshape(-1, 4096).float() * 2 - 1  # (192, 4096)
    alike = (tokens @ tokens.T) / 4096
    alike.fill_diagonal_(0)
    assert alike.abs().max() < 5.5 / math.sqrt(4096)


@given(
    rows=st.integers(1, 6), width=st.integers(1, 6), features=st.integers(1, 9), first=st.integers(0, 5),
    site=st.integers(0, 40), seed=st.integers(0, 2**62 - 1),
)  # fmt: skip
def test_a_mask_depends_neither_on_company_nor_on_padding_nor_on_pieces(
    rows: int, width: int, features: int, first: int, site: int, seed: int
) -> None:
    keys = step_keys(torch.tensor([5, seed, 7]), 2, 9)
    whole = rectangle(keys, first + rows + 2, width + 3, features + 2, site, 0.4)
    alone = rectangle(keys[1:2], rows, width, features, site, 0.4, first)
    assert torch.equal(whole[1:2, first : first + rows, :width, :features], alone)


def test_keys_name_episode_round_and_step() -> None:
    seeds = torch.from_numpy(np.random.default_rng(0).integers(2**62, size=5))
    keys = torch.stack([step_keys(seeds, round_, step) for round_ in range(20) for step in range(50)])
    assert keys.dtype == torch.int32
    assert len(set(keys.flatten().tolist())) >= keys.numel() - 2
    assert torch.equal(step_keys(seeds[1:2], 3, 4), step_keys(seeds, 3, 4)[1:2])
    assert not torch.equal(step_keys(seeds, 3, 4), step_keys(seeds, 4, 3))


def mounted(texts: int, keys: torch.Tensor | None = KEYS) -> Mounted:
    return Mounted(episodes=3, texts=texts, keys=keys)


def test_the_mean_of_what_passes_is_kept() -> None:
    layer = EpisodeDropout(0.3, 4, mounted(24))
    x = torch.full((24, 20, 256), 2.0)
    dropped = layer(x)
    # The nearest of 8,192 steps to .3 is 2458.
    torch.testing.assert_close(torch.unique(dropped), torch.tensor([0.0, 2 * 8192 / (8192 - 2458)]))
    assert float(dropped.mean()) == pytest.approx(2.0, abs=0.02)
    flat = EpisodeDropout(0.3, 4, mounted(24))(torch.full((24, 4096), 2.0))
    assert float(flat.mean()) == pytest.approx(2.0, abs=0.03)


def test_gradients_pass_where_values_pass() -> None:
    x = torch.ones(6, 5, 8, requires_grad=True)
    out = EpisodeDropout(0.5, 1, mounted(6))(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())
    assert set(x.grad.flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patterns_lie_row_by_row(dtype: torch.dtype) -> None:
    # Laid out by column a look-up would take six times as long.
    assert dropout._patterns(0.1, dtype, torch.device("cpu")).is_contiguous()


@pytest.mark.parametrize("rate", [6e-5, 0.1, 0.9999, 0.99999])
def test_the_mean_is_kept_at_any_rate(rate: float) -> None:
    patterns = dropout._patterns(rate, torch.float32, torch.device("cpu"))
    torch.testing.assert_close(patterns.double().mean(0), torch.ones(64, dtype=torch.float64))
    assert float((patterns == 0).double().mean()) == pytest.approx(rate, abs=1.3e-4)


def test_a_compiled_pass_is_in_one_piece() -> None:
    layers = [EpisodeDropout(0.2, site, mounted(6)) for site in (1, 2)]
    for layer in layers:
        layer.prepare(torch.device("cpu"), torch.float32)
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), layers[0], torch.nn.ReLU(), layers[1])
    x = torch.randn(6, 5, 64, generator=torch.Generator().manual_seed(0))
    assert torch._dynamo.explain(net)(x).graph_break_count == 0
    torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    assert EpisodeDropout(0.5, 1, mounted(6))(torch.ones(6, 5, 8, dtype=dtype)).dtype == dtype


def test_nothing_is_dropped_without_keys_in_attention_or_in_what_no_text_owns() -> None:
    for x in (torch.ones(6, 2, 4, 4), torch.ones(1, 4, 8)):
        assert EpisodeDropout(0.9, 1, mounted(6))(x) is x
    x = torch.ones(6, 4, 8)
    assert EpisodeDropout(0.9, 1, mounted(6, None))(x) is x
    assert EpisodeDropout(0.0, 1, mounted(6))(x) is x
    assert EpisodeDropout(0.9, 1, mounted(6))(x) is not x
