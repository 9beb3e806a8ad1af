"""Frozen lower layers: their states are computed once, kept in a file, and give what running them gives."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from react_rl.errors import ReActError
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.training.store import TextStore

TEXTS = ["ba de fi", "go", "lu ma ne pi ro su", "ta ve zi", "ba de fi", "zu zo za ze"]
HALF = 2.0**-10  # relative rounding of fp16, with a little room


def drawn(network: Network, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of one episode, all of them away from zero."""
    generator = torch.Generator().manual_seed(seed)
    begin = network.begin(torch.tensor([seed]))
    return {n: a + 0.2 * torch.randn(a.shape, generator=generator) for n, a in begin.items()}


def raised(name: str, by: int) -> str:
    """The name that an array of a cut model has in the whole one."""
    return re.sub(r"\b(\d+)\.", lambda found: f"{int(found[1]) + by}.", name, count=1)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_a_cut_model_gives_what_the_whole_one_gives(
    architecture: str, method: str, layers: int, finetuning: Callable[..., Any], tmp_path: Path
) -> None:
    whole = Network(finetuning(architecture, method=method), 3)
    cut = Network(finetuning(architecture, method=method, layers=layers), 3)
    assert cut.lower is not None
    top = drawn(cut)
    weights = whole.begin(torch.tensor([0]))
    if whole.words is not None:
        words = whole.pretrained(whole.words)
        assert words is not None
        weights[whole.words] = words[None]
    assert {raised(name, 3 - layers) for name in top} < set(weights)
    weights |= {raised(name, 3 - layers): array for name, array in top.items()}
    whole_store, cut_store = (TextStore(TEXTS, network, tmp_path) for network in (whole, cut))
    rows = torch.arange(len(TEXTS))
    plain, cached = whole_store.rectangle(rows), cut_store.rectangle(rows)
    assert plain.hidden is None
    assert cached.ids is None
    with whole.mount(weights):
        expected = whole.features(plain)
    with cut.mount(top):
        exact = cut.lower(input_ids=plain.ids, attention_mask=plain.mask.long()).last_hidden_state
        torch.testing.assert_close(
            cut.features(Texts(plain.mask, hidden=exact)), expected, rtol=1e-4, atol=1e-4
        )
        from_file = cut.features(cached)
    assert cached.hidden is not None
    np.testing.assert_allclose(cached.hidden[plain.mask], exact[plain.mask], rtol=HALF, atol=1e-4)
    torch.testing.assert_close(from_file, expected, rtol=0, atol=0.02 * float(expected.abs().max()))
    spread = expected.std(0).mean()
    assert spread > 0.1


@pytest.mark.parametrize("method", ["lora", "full", "bitfit", "head"])
def test_training_on_kept_states_equals_running_the_frozen_layers_each_time(
    method: str,
    classroom: Any,
    tiny_corpus: Callable[..., Any],
    finetuning: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = finetuning(method=method, layers=None if method == "head" else 2, epochs=3)

    def learned() -> torch.Tensor:
        room = classroom(settings, [tiny_corpus()], [0, 0], [1, 2])
        room.teach([0, 1], [[0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8]])
        scores: torch.Tensor = room.logits()
        return scores

    kept = learned()
    served = TextStore.rectangle

    def afresh(store: Any, rows: torch.Tensor) -> Texts:
        given = served(store, rows)
        assert given.hidden is not None
        hidden, store._hidden = store._hidden, None
        plain = served(store, rows)
        store._hidden = hidden
        with torch.no_grad():
            ran = store._network.lower(
                input_ids=plain.ids, attention_mask=plain.mask.long()
            ).last_hidden_state
        return Texts(given.mask, hidden=torch.where(plain.mask[..., None], ran, given.hidden))

    monkeypatch.setattr(TextStore, "rectangle", afresh)
    uncached = learned()
    assert not torch.equal(kept, uncached)
    torch.testing.assert_close(kept, uncached, rtol=0, atol=0.02 * float(uncached.abs().max()))


def store_of(settings: Any, folder: Path) -> TextStore:
    return TextStore(TEXTS, Network(settings, 3), folder)


def states(store: TextStore) -> torch.Tensor:
    hidden = store.rectangle(torch.arange(len(TEXTS))).hidden
    assert hidden is not None
    return hidden


def test_states_are_computed_once(
    finetuning: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = states(store_of(finetuning(layers=1), tmp_path))
    (file,) = tmp_path.glob("*.npy")
    kept = np.load(file)
    assert kept.dtype == np.float16
    assert kept.shape == (sum(len(text.split()) + 2 for text in set(TEXTS)), 32)

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(TextStore, "_compute", never)
    assert torch.equal(states(store_of(finetuning(layers=1), tmp_path)), first)
    assert torch.equal(states(store_of(finetuning(layers=1, method="bitfit"), tmp_path)), first)
    with pytest.raises(AssertionError, match="computed again"):
        store_of(finetuning(layers=2), tmp_path)


def damage_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "one bit": damage_one_byte,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "empty": lambda path: path.write_bytes(b""),
    "other bytes": lambda path: path.write_bytes(b"PK\x03\x04 no array"),
    "no digest": lambda path: path.with_suffix(".sha256").unlink(),
    "another digest": lambda path: path.with_suffix(".sha256").write_text("0" * 64),
    "a digest that is no text": lambda path: path.with_suffix(".sha256").write_bytes(b"\xff\xfe\xfd"),
}


@pytest.mark.parametrize("kind", list(DAMAGES))
def test_a_damaged_file_is_computed_again(kind: str, finetuning: Callable[..., Any], tmp_path: Path) -> None:
    first = states(store_of(finetuning(layers=1), tmp_path)).clone()
    (file,) = tmp_path.glob("*.npy")
    whole = file.read_bytes()
    DAMAGES[kind](file)
    assert torch.equal(states(store_of(finetuning(layers=1), tmp_path)), first)
    assert file.read_bytes() == whole


def test_the_file_hangs_on_all_that_changes_the_states(
    finetuning: Callable[..., Any], tmp_path: Path
) -> None:
    base = finetuning(layers=1)
    folder = tmp_path / "states"
    store_of(base, folder)
    others = [
        base.model_copy(update=change) for change in ({"layers": 2}, {"max_length": 5}, {"precision": "bf16"})
    ]
    copy = Path(shutil.copytree(base.model, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    others.append(base.model_copy(update={"model": str(copy)}))
    for number, other in enumerate(others, 2):
        store_of(other, folder)
        assert len(list(folder.glob("*.npy"))) == number
    TextStore(TEXTS[:2], Network(base, 3), folder)
    assert len(list(folder.glob("*.npy"))) == len(others) + 2
    store_of(finetuning(layers=1, pooling="cls", rank=4, dropout=0.3), folder)
    assert len(list(folder.glob("*.npy"))) == len(others) + 2


def test_states_beyond_fp16_are_refused(finetuning: Callable[..., Any], tmp_path: Path) -> None:
    settings = finetuning(layers=1)
    copy = Path(shutil.copytree(settings.model, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.weight"] *= 1e6
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReActError, match="do not fit into fp16; leave 'layers' out"):
        store_of(settings.model_copy(update={"model": str(copy)}), tmp_path)


def test_a_disk_that_takes_nothing_costs_memory_only(
    finetuning: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = states(store_of(finetuning(layers=1), tmp_path / "there"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("react_rl.learners.finetune.training.store.write_atomically", full)
    assert torch.equal(states(store_of(finetuning(layers=1), tmp_path / "full")), expected)


def test_the_share_of_padding_is_counted(finetuning: Callable[..., Any], tmp_path: Path) -> None:
    store = store_of(finetuning(), tmp_path)
    assert store.padding_share == 0.0
    store.rectangle(torch.tensor([0, 1]))  # 5 and 3 tokens
    assert store.padding_share == pytest.approx(1 - 8 / 10)
    store.rectangle(torch.tensor([0, 4]))
    assert store.padding_share == pytest.approx(1 - 18 / 20)
