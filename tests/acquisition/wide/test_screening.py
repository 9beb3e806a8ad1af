"""Rough scores lead to the rows that exact scores lead to."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.acquisition import make_strategy
from react_rl.acquisition.committees import dropout_committee
from react_rl.acquisition.wide import screening
from react_rl.acquisition.wide.screening import leaders, rounded_products, rounds_quickly
from react_rl.data.synthetic import synthetic_corpus
from react_rl.encoders.processor import rounds_products
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

CPU = torch.device("cpu")


class Exact:
    """Scores by column; counts what is asked for."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores
        self.asked = 0

    def __call__(self, columns: torch.Tensor) -> torch.Tensor:
        self.asked = len(columns)
        return self.scores[columns]


@given(
    width=st.integers(1, 300), n=st.integers(1, 40), levels=st.sampled_from([3, 20, 10**6]),
    error=st.sampled_from([0.0, 0.02, 0.2, 5.0]), free=st.floats(0, 1), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_the_best_rows_and_ties_are_the_exact_ones(
    width: int, n: int, levels: int, error: float, free: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    true = torch.from_numpy(draw.integers(levels, size=width) / levels).float()
    # No row is off by more than twice what any other is off by.
    off = draw.choice([-1.0, 1.0], size=width) * draw.choice([0.5001, 0.7, 1.0], size=width)
    rough = true + error * torch.from_numpy(off).float()
    available = torch.from_numpy(draw.random(width) < free)
    rough = torch.where(available, rough, -torch.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "_FEWEST", 8)
        found = leaders(rough, n, Exact(true))
    true = torch.where(available, true, -torch.inf)
    assert torch.equal(found.topk(min(n + 1, width)).values, true.topk(min(n + 1, width)).values)
    edge = true.topk(min(n, width)).values[-1]
    assert torch.equal(found[true >= edge], true[true >= edge])
    assert not (found[~available] > -torch.inf).any()


def test_what_is_no_number_does_not_end_the_search_early() -> None:
    draw = torch.Generator().manual_seed(0)
    true = torch.rand(5000, generator=draw)
    rough = true + 0.6 * (torch.rand(5000, generator=draw) - 0.5)
    rough[7] = torch.nan
    assert torch.equal(leaders(rough, 20, Exact(true)).topk(20).indices, true.topk(20).indices)


def test_few_rows_are_computed_exactly_where_errors_are_small() -> None:
    true = torch.from_numpy(np.random.default_rng(0).random(50_000)).float()
    near = Exact(true)
    leaders(true + 1e-4, 20, near)
    assert near.asked == 1024
    far = Exact(true)
    leaders(true + 0.02 * torch.rand(50_000, generator=torch.Generator().manual_seed(0)), 20, far)
    assert 1024 < far.asked < 20_000


def test_rounding_ends_with_its_context_and_only_where_it_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not rounds_quickly(torch.device("cuda"))
    switch: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(switch, "fp32_precision"):
        pytest.skip("this torch has no switch")
    before = switch.fp32_precision
    monkeypatch.setattr(screening, "rounding_pays", lambda: False)
    with rounded_products(CPU):
        assert switch.fp32_precision == before
    monkeypatch.setattr(screening, "rounding_pays", lambda: True)
    with contextlib.suppress(KeyError), rounded_products(CPU):
        assert switch.fp32_precision == "bf16"
        raise KeyError
    assert switch.fp32_precision == before


@pytest.mark.parametrize("name", ["bald", "bald-dropout", "qbc-kl", "mean-std", "variation-ratio"])
def test_committees_choose_the_same_rows_of_a_wide_pool_by_rounded_products(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EpisodeOptions(pool_size=1500, dev_size=30, initial_size=12, budget=60, batch_size=20)
    # Products of fewer dimensions are not rounded.
    corpus = synthetic_corpus(n_rows=4000, n_classes=4, seed=0)
    vectors = np.random.default_rng(0).standard_normal((4000, 128)) + 2.0 * np.eye(128)[corpus.targets]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = LabelingEngine([EncodedCorpus.build(corpus, vectors.astype(np.float32))], options, 2)
    # Rounded wherever that can be had, whether it is quick here or not.
    monkeypatch.setattr(screening, "rounding_pays", lambda: True)
    if rounds_products():
        made.reset([Streams(seed) for seed in range(2)])
        heads = dropout_committee(made.view)
        exact = heads.logits(slice(0, 64))
        with rounded_products(CPU):
            rough = heads.logits(slice(0, 64), torch.empty(exact.numel()))
        # Products of few columns may be left exact even where larger ones are rounded.
        assert (rough - exact).abs().max() < 1.0
    picks = []
    for quick in (False, True):
        for module in ("strategies.committee", "wide.chunks", "batching.selection"):
            monkeypatch.setattr(f"react_rl.acquisition.{module}.WIDE", 1)
        monkeypatch.setattr(
            "react_rl.acquisition.strategies.committee.rounds_quickly", lambda _, quick=quick: quick
        )
        monkeypatch.setattr(screening, "_FEWEST", 64)
        made.reset([Streams(seed) for seed in range(2)])
        picks.append(make_strategy(name).select(made.view, 20))
    assert torch.equal(*picks)


def test_episodes_that_have_ended_get_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("strategies.committee", "wide.chunks", "batching.selection"):
        monkeypatch.setattr(f"react_rl.acquisition.{module}.WIDE", 1)
    monkeypatch.setattr("react_rl.acquisition.strategies.committee.rounds_quickly", lambda _: True)
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=12, budget=40, batch_size=20)
    made = LabelingEngine([synthetic_encoded(800, 4)], options, 2)
    made.reset([Streams(seed) for seed in range(2)])
    made.stop(np.array([True, False]))
    ids = make_strategy("bald").select(made.view, 20)
    assert (ids[0] == -1).all()
    assert (ids[1] >= 0).all()
