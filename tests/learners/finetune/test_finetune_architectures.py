"""Encoders and decoders of many kinds give what they gave before they were rebuilt, or one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from react_rl.errors import ReActError
from react_rl.learners.finetune.backbone.attention import product_attention
from react_rl.learners.finetune.methods.network import Network, Texts

IDS = torch.randint(4, 140, (6, 9), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(9) < torch.tensor([9, 5, 9, 2, 1, 7])[:, None]
SOUND = ("bert", "distilbert", "roberta", "gpt2", "llama")
FRAGILE = ("mpnet", "deberta", "gemma", "gemma2", "opt", "electra", "modernbert")
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "one layer": {"method": "full", "layers": 1},
    "lora": {"method": "lora"},
    "lora in two layers": {"method": "lora", "layers": 2},
    "bitfit": {"method": "bitfit"},
    "head": {"method": "head"},
}
REFUSED: dict[tuple[str, str], str] = {
    ("llama", "bitfit"): "finds nothing to train",
    ("gemma", "bitfit"): "finds nothing to train",
    ("gemma2", "bitfit"): "finds nothing to train",
    ("modernbert", "bitfit"): "finds nothing to train",
    ("gemma", "full"): "does not know the layer of",
    ("gemma2", "full"): "does not know the layer of",
    ("mpnet", "full"): "Method 'full' does not work with",
    ("deberta", "full"): "Method 'full' does not work with",
    ("opt", "full"): "Method 'full' does not work with",
    ("mpnet", "one layer"): "Method 'full' does not work with",
    ("deberta", "one layer"): "Method 'full' does not work with",
    **{(a, m): "cannot be run apart" for a in ("gemma", "gemma2", "opt", "electra")
       for m in ("one layer", "lora in two layers")},
}  # fmt: skip


def states(network: Network, keys: torch.Tensor | None = None) -> torch.Tensor:
    """Vectors (6, H) under the fresh weights of two episodes, three texts each."""
    weights = network.begin(torch.tensor([1, 2]))
    if network.words is not None:
        table = network.pretrained(network.words)
        assert table is not None
        weights[network.words] = table.expand(2, -1, -1).clone()
    ids = torch.where(MASK, IDS, 0)
    with torch.no_grad():
        texts = Texts(MASK, ids=ids)
        if network.lower is not None:
            texts = Texts(
                MASK, hidden=network.lower(input_ids=ids, attention_mask=MASK.long()).last_hidden_state
            )
        with network.mount({n: a.to(network.dtype) for n, a in weights.items()}, None, keys):
            return network.features(texts)


def expected(settings: Any) -> torch.Tensor:
    """The same from the library's own model, one text at a time."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(settings.model, local_files_only=True).eval()
    found = []
    with torch.no_grad():
        for ids, mask in zip(IDS, MASK, strict=True):
            own = model(input_ids=ids[mask][None]).last_hidden_state[0]
            found.append(own[-1] if settings.pooling == "last" else own.mean(0))
    return torch.stack(found)


@pytest.mark.parametrize("architecture", [*SOUND, *FRAGILE])
def test_a_rebuilt_model_gives_what_the_librarys_gives_or_is_refused(
    architecture: str, finetuning: Callable[..., Any]
) -> None:
    wanted = expected(finetuning(architecture))
    for name, method in METHODS.items():
        settings = finetuning(architecture, **method, dropout=0.4)
        reason = REFUSED.get((architecture, name))
        if reason is not None:
            with pytest.raises(ReActError, match=reason):
                Network(settings, 3)
            continue
        network = Network(settings, 3)
        torch.testing.assert_close(states(network), wanted, rtol=1e-3, atol=1e-4)
        dropped = states(network, torch.tensor([3, 4], dtype=torch.int32))
        has_dropout = architecture not in ("llama", "gemma", "gemma2", "opt") and name != "head"
        assert torch.equal(dropped, states(network)) != has_dropout, name


@pytest.mark.parametrize("architecture", SOUND)
@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_learns_on_every_architecture(
    architecture: str,
    name: str,
    classroom: Any,
    tiny_corpus: Callable[..., Any],
    finetuning: Callable[..., Any],
) -> None:
    if (architecture, name) in REFUSED:
        pytest.skip("the architecture has no biases")
    settings = finetuning(architecture, **METHODS[name], steps=20, learning_rate=2e-2, dropout=0.0)
    room = classroom(settings, [tiny_corpus()], [0, 0], [1, 2], width=12, dev=4)
    room.teach([0, 1], [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        fitted = room.learner.fitted_logits()
    truth = room.ledger.onehot[:, :, : room.ledger.slots].argmax(1)
    found = torch.nn.functional.cross_entropy(fitted, truth)
    assert float(found) < 0.95  # chance is log 3 = 1.1
    assert torch.isfinite(room.logits()).all()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("method", [{"method": "lora"}, {"method": "lora", "layers": 1}, {"method": "full"}])
def test_bf16_stays_near_fp32(
    architecture: str, method: dict[str, Any], finetuning: Callable[..., Any]
) -> None:
    exact = states(Network(finetuning(architecture, **method), 3))
    rough = states(Network(finetuning(architecture, **method, precision="bf16"), 3))
    assert rough.dtype == torch.bfloat16
    cosine = torch.nn.functional.cosine_similarity(exact, rough.float(), dim=1)
    assert cosine.min() > 0.98


@pytest.mark.parametrize("kind", ["none", "bool", "additive"])
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_products_are_the_attention_of_torch(kind: str, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, 6, 8, generator=generator)
    key, value = (torch.randn(3, groups, 6, 8, generator=generator) for _ in range(2))
    allowed = torch.rand(3, 1, 6, 6, generator=generator) < 0.5
    allowed |= torch.eye(6, dtype=torch.bool)
    added = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    mask = {"none": None, "bool": allowed, "additive": added}[kind]
    wide_key, wide_value = (array.repeat_interleave(4 // groups, 1) for array in (key, value))
    for scale in (None, 0.7):
        found, _ = product_attention(None, query, key, value, mask, scaling=scale)
        expected = torch.nn.functional.scaled_dot_product_attention(
            query, wide_key, wide_value, attn_mask=mask, scale=scale
        )
        torch.testing.assert_close(found, expected.transpose(1, 2))


def test_rotary_frequencies_are_not_rounded(finetuning: Callable[..., Any]) -> None:
    found = [
        dict(Network(finetuning("llama", precision=p), 3).model.named_buffers())["rotary_emb.inv_freq"]
        for p in ("fp32", "bf16")
    ]
    assert torch.equal(*found)


def test_settings_that_a_model_does_not_allow_end_in_one_sentence(finetuning: Callable[..., Any]) -> None:
    with pytest.raises(ReActError, match=r"layers is 4, but '.*' has 3 layers; lower it"):
        Network(finetuning(layers=4), 3)
    with pytest.raises(ReActError, match=r"'./nowhere' does not exist"):
        Network(finetuning(model="./nowhere"), 3)
    with pytest.raises(ReActError, match="max_length is 33"):
        Network(finetuning(max_length=33), 3)
    with pytest.raises(ReActError, match="Device 'cuda:99' is not here"):
        Network(finetuning(), 3, "cuda:99")


def test_loading_and_building_leave_the_global_random_states_alone(finetuning: Callable[..., Any]) -> None:
    import numpy as np

    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    for method in METHODS.values():
        states(Network(finetuning(**method), 3), torch.tensor([3, 4], dtype=torch.int32))
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # type: ignore[index] # noqa: NPY002
