"""Texts read without their padding give what their rectangle gives: scores, gradients, dropped units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from react_rl.learners.finetune.backbone import packing as packing_module
from react_rl.learners.finetune.backbone.dropout import token_places
from react_rl.learners.finetune.backbone.packing import Packing, worth_packing
from react_rl.learners.finetune.methods.network import Network, Texts

LENGTHS = torch.tensor([9, 3, 2, 4, 1, 1])
MASK = torch.arange(9) < LENGTHS[:, None]
IDS = torch.where(MASK, torch.randint(4, 140, (6, 9), generator=torch.Generator().manual_seed(0)), 0)
KEYS = torch.tensor([3, 4], dtype=torch.int32)
PACKED = ("bert", "roberta", "electra")


@pytest.fixture(params=[1, 4, 32])
def step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number to whose multiples tokens are filled up."""
    monkeypatch.setattr(packing_module, "_STEP", request.param)
    return int(request.param)


@given(
    lengths=st.lists(st.integers(1, 7), min_size=6, max_size=6), episodes=st.sampled_from([1, 2, 3]),
    first=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_token_is_kept_once_and_comes_back_to_its_place(
    step: int, lengths: list[int], episodes: int, first: int
) -> None:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    packing = Packing(mask, episodes, first)
    slots = torch.arange(mask.numel()).view(mask.shape)
    kept = packing.pack(slots)[0]
    assert len(set(kept.tolist())) == len(kept)
    assert set(slots[mask].tolist()) <= set(kept.tolist())
    most = max(sum(lengths[i : i + 6 // episodes]) for i in range(0, 6, 6 // episodes))
    each = min(-(-most // step) * step, mask.numel() // episodes)
    assert kept.shape == (episodes * each,)
    owner = kept.view(episodes, each) // (mask.numel() // episodes)
    assert torch.equal(owner, torch.arange(episodes)[:, None].expand(-1, each))
    x = torch.randn(*mask.shape, 3)
    assert torch.equal(packing.spread(packing.pack(x))[mask], x[mask])
    heads = torch.randn(1, len(kept), 2, 3)
    apart = packing.to_heads(heads)
    rectangle = apart.view(6, 2, -1, 3).transpose(1, 2).flatten(2)
    assert torch.equal(rectangle[mask], packing.spread(heads.flatten(2))[mask])
    assert torch.equal(packing.from_heads(apart, 2), heads)
    assert torch.equal(packing.positions[0], kept % mask.shape[1])
    places = token_places(6 // episodes, mask.shape[1], first, mask.device).expand(episodes, -1).flatten()
    assert torch.equal(packing.places.flatten(), places[kept])


def test_gradients_of_moving_tokens_are_right(step: int) -> None:
    packing = Packing(MASK, 2)
    rows = torch.randn(1, len(packing.kept), 2, dtype=torch.float64, requires_grad=True)
    # What stands in slots that are not kept is not defined: nobody reads it.
    known = torch.zeros(MASK.numel(), 1, dtype=torch.float64)
    known[packing.kept] = 1.0
    assert torch.autograd.gradcheck(lambda x: packing.spread(x) * known.view(*MASK.shape, 1), (rows,))
    heads = torch.randn(1, len(packing.kept), 3, 2, dtype=torch.float64, requires_grad=True)
    kept = packing.rows_of(3)[1]
    asked = torch.zeros(MASK.numel() * 3, 1, dtype=torch.float64).index_fill_(0, kept, 1.0)
    assert torch.autograd.gradcheck(lambda x: packing.to_heads(x).flatten(0, 1) * asked, (heads,))
    apart = torch.randn(len(MASK) * 3, MASK.shape[1], 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: packing.from_heads(x, 3), (apart,))


def test_little_padding_is_left_where_it_is() -> None:
    assert worth_packing(MASK)
    assert not worth_packing(torch.ones(4, 8, dtype=torch.bool))
    mask = torch.ones(4, 8, dtype=torch.bool)
    mask[0, -1] = False
    assert not worth_packing(mask)
    mask[0, -2] = False
    assert worth_packing(mask)


class Reading:
    """Two episodes' texts through a network, with what flows back to the weights."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.weights = network.begin(torch.tensor([1, 2]))
        if network.words is not None:
            table = network.pretrained(network.words)
            assert table is not None
            self.weights[network.words] = table.expand(2, -1, -1).clone()
        self.rows: list[int] = []
        for module in network.model.modules():
            if isinstance(module, torch.nn.LayerNorm) or type(module).__name__ == "EpisodeNorm":
                module.register_forward_hook(lambda _, given, __: self.rows.append(given[0][..., 0].numel()))

    def read(
        self, keys: Tensor | None = None, first: int = 0, words: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {name: array.clone().requires_grad_() for name, array in self.weights.items()}
        self.rows.clear()
        texts = Texts(MASK, ids=IDS, words=words)
        if self.network.lower is not None:
            with torch.no_grad():
                states = self.network.lower(input_ids=IDS, attention_mask=MASK.long()).last_hidden_state
            texts = Texts(MASK, hidden=states, words=words)
        with self.network.mount(weights, None, keys):
            features = self.network.features(texts, first)
            scores = self.network.classify(features, torch.ones(2, 3, dtype=torch.bool))
            if words is not None:
                scores = scores[(words >= 0).view(2, -1)]
            objective = (scores * torch.arange(1, 1 + scores.numel()).view(scores.shape)).sum()
            objective.backward()  # type: ignore[no-untyped-call]
        return features.detach(), {n: a.grad for n, a in weights.items() if a.grad is not None}


@pytest.mark.parametrize("architecture", PACKED)
@pytest.mark.parametrize(
    "method",
    [{"method": "full"}, {"method": "lora"}, {"method": "bitfit"}, {"method": "full", "layers": 2}],
    ids=["full", "lora", "bitfit", "two layers"],
)
def test_packed_texts_give_the_scores_and_gradients_of_their_rectangle(
    architecture: str, method: dict[str, Any], step: int, finetuning: Callable[..., Any]
) -> None:
    if architecture == "electra" and "layers" in method:
        pytest.skip("its layers cannot be run apart")
    network = Network(finetuning(architecture, **method, dropout=0.3), 3)
    reading = Reading(network)
    assert network._first_position is not None
    for keys, first in ((None, 0), (KEYS, 0), (KEYS, 5)):
        place, network._first_position = network._first_position, None
        wanted, wanted_gradients = reading.read(keys, first)
        assert set(reading.rows) == {MASK.numel()}
        network._first_position = place
        found, gradients = reading.read(keys, first)
        # The first episode has 14 tokens, the second 6: both keep 14 of 27 slots, or a multiple of the step.
        assert set(reading.rows) == {2 * min(-(-14 // step) * step, 27)}
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        assert gradients.keys() == wanted_gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, wanted_gradients[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", PACKED)
@pytest.mark.parametrize("method", [{"method": "full"}, {"method": "lora"}], ids=["full", "lora"])
def test_above_the_last_attention_only_scored_words_are_computed(
    architecture: str, method: dict[str, Any], step: int, finetuning: Callable[..., Any]
) -> None:
    words = torch.tensor(
        [[1, 2, 5, 8], [0, 2, -1, -1], [1, -1, -1, -1], [3, 0, -1, -1], [0, -1, -1, -1], [0, -1, -1, -1]]
    )
    reading = Reading(Network(finetuning(architecture, **method, dropout=0.3), 3))
    for keys, first in ((None, 0), (KEYS, 5)):
        place, reading.network._first_position = reading.network._first_position, None
        wanted, wanted_gradients = reading.read(keys, first, words)
        reading.network._first_position = place
        found, gradients = reading.read(keys, first, words)
        # The first episode has 7 words, the second 4: both keep 7, or a multiple of the step.
        below = 2 * min(-(-14 // step) * step, 27)
        above = 2 * min(-(-7 // step) * step, below // 2)
        narrowed = reading.rows.count(above) if above < below else 0
        assert reading.rows == [below] * (len(reading.rows) - narrowed) + [above] * narrowed
        assert 0 < narrowed < len(reading.rows) / 2 or above == below
        there = words >= 0
        torch.testing.assert_close(found[there], wanted[there], rtol=1e-4, atol=1e-5)
        assert gradients.keys() == wanted_gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, wanted_gradients[name], rtol=1e-3, atol=1e-4)
        texts, _ = reading.read()
        assert reading.rows[-1] == below, "texts are scored as a whole again"
        assert texts.shape == (6, texts.shape[1])


@pytest.mark.parametrize(
    "architecture", ["distilbert", "gpt2", "llama", "mpnet", "deberta", "modernbert", "opt"]
)
def test_architectures_that_bend_attention_keep_their_rectangles(
    architecture: str, finetuning: Callable[..., Any]
) -> None:
    assert Network(finetuning(architecture, method="lora"), 3)._first_position is None


def test_a_table_of_positions_that_begins_elsewhere_keeps_its_rectangles(
    monkeypatch: pytest.MonkeyPatch, finetuning: Callable[..., Any]
) -> None:
    monkeypatch.setattr("react_rl.learners.finetune.methods.network.first_position", lambda config: 2)
    assert Network(finetuning("bert", method="lora"), 3)._first_position is None
