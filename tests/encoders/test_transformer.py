"""The encoder gives what a naive loop over single texts gives, in any order, and names what it depends on."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from react_rl.encoders import checkpoints
from react_rl.encoders.batches import batches, tokenise
from react_rl.encoders.transformer import (
    EncoderSettings,
    Pooling,
    TextEncoder,
    resolve_device,
)
from react_rl.errors import ReActError

WORDS = ["good", "bad", "film", "plot", "the", "a", "was", "very"]
SHORT = [
    "good film",
    "the plot was bad",
    "a very very very bad film",
    "good",
    "the film was very good",
    "good",
]


def sentences(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    words = [
        "market",
        "shares",
        "fell",
        "rose",
        "after",
        "the",
        "minister",
        "said",
        "that",
        "film",
        "music",
        "phone",
        "football",
        "won",
        "lost",
        "a",
    ]
    return [" ".join(generator.choice(words, size=generator.integers(1, 60))) for _ in range(count)]


def one_by_one(folder: Path, texts: list[str], pooling: str, max_length: int) -> npt.NDArray[np.float32]:
    """What the encoder promises, without batches, padding or low precision."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    rows = []
    for text in texts:
        with torch.inference_mode():
            ids = torch.tensor([tokenizer(text, truncation=True, max_length=max_length)["input_ids"]])
            hidden = model(input_ids=ids).last_hidden_state[0]
        row = {"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.max(0).values}[pooling]
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


@pytest.fixture(scope="module")
def minilm_rows() -> npt.NDArray[np.float32]:
    return one_by_one(checkpoints.locate("minilm"), sentences(40), "mean", 32)


def test_embedded_minilm_in_fp32_equals_the_naive_loop(minilm_rows: npt.NDArray[np.float32]) -> None:
    encoder = TextEncoder(EncoderSettings(max_length=32, precision="fp32", device="cpu", batch_tokens=200))
    found = encoder.encode(sentences(40))
    assert found.dtype == np.float32
    assert found.shape == (40, 384) == (40, encoder.dimension)
    np.testing.assert_allclose(found, minilm_rows, atol=2e-6)
    assert 0 < encoder.padding_share < 0.3


def test_embedded_minilm_in_bf16_points_the_same_way(minilm_rows: npt.NDArray[np.float32]) -> None:
    found = TextEncoder(EncoderSettings(max_length=32, precision="bf16", device="cpu")).encode(sentences(40))
    cosine = (found * minilm_rows).sum(1)
    assert cosine.min() > 0.999
    assert not np.array_equal(found, minilm_rows)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_order_of_the_texts_changes_no_bit(tiny_bert: Path, precision: Any) -> None:
    encoder = TextEncoder(
        EncoderSettings(str(tiny_bert), max_length=8, precision=precision, device="cpu", batch_tokens=16)
    )
    forward = encoder.encode(SHORT)
    np.testing.assert_array_equal(encoder.encode(SHORT[::-1]), forward[::-1])
    np.testing.assert_array_equal(forward[3], forward[5])
    assert not np.allclose(forward[3], forward[0])


def test_the_company_of_other_texts_changes_rounding_only(tiny_bert: Path) -> None:
    encoder = TextEncoder(EncoderSettings(str(tiny_bert), max_length=24, precision="fp32", device="cpu"))
    alone = np.concatenate([encoder.encode([text]) for text in SHORT])
    np.testing.assert_allclose(encoder.encode(SHORT), alone, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("max_length", [4, 24])
def test_every_pooling_equals_the_naive_loop(tiny_bert: Path, pooling: Pooling, max_length: int) -> None:
    settings = EncoderSettings(str(tiny_bert), pooling, max_length, precision="fp32", device="cpu")
    expected = one_by_one(tiny_bert, SHORT, pooling, max_length)
    np.testing.assert_allclose(TextEncoder(settings).encode(SHORT), expected, atol=1e-6)


def test_normalising_can_be_left_out(tiny_bert: Path) -> None:
    settings = EncoderSettings(str(tiny_bert), max_length=24, precision="fp32", device="cpu")
    raw = TextEncoder(replace(settings, normalise=False)).encode(SHORT)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert abs(lengths - 1).max() > 0.1
    np.testing.assert_allclose(raw / lengths, TextEncoder(settings).encode(SHORT), atol=1e-6)


def test_a_prefix_is_put_before_each_text(tiny_bert: Path) -> None:
    settings = EncoderSettings(str(tiny_bert), max_length=24, precision="fp32", device="cpu")
    prefixed = TextEncoder(replace(settings, prefix="very ")).encode(SHORT)
    expected = TextEncoder(settings).encode(["very " + text for text in SHORT])
    np.testing.assert_array_equal(prefixed, expected)


def test_no_texts_give_no_rows(tiny_bert: Path) -> None:
    assert TextEncoder(EncoderSettings(str(tiny_bert), max_length=8)).encode([]).shape == (0, 16)


def test_the_table_of_tokens_does_not_depend_on_the_order_of_the_texts(tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert, local_files_only=True)
    texts = [f"{one} {other}" for one in WORDS for other in WORDS]
    table = tokenise(tokenizer, texts, max_length=24)
    backwards = tokenise(tokenizer, texts[::-1], max_length=24)
    assert len(table.distinct) == len(texts)
    assert list(table.distinct) == sorted(table.distinct) == list(backwards.distinct)
    np.testing.assert_array_equal(table.row_of, backwards.row_of[::-1])


def test_batches_hold_every_text_once_within_their_bound(tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert, local_files_only=True)
    table = tokenise(tokenizer, SHORT * 3, max_length=24)
    assert len(table.distinct) == 5
    seen: list[int] = []
    for batch in batches(table, batch_tokens=13, pad_id=0):
        assert batch.ids.size <= 13
        seen.extend(batch.rows)
        for row, ids, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            assert ids[mask].astype(np.int32).tobytes() == table.distinct[row]
            assert not ids[~mask].any()
    assert seen == list(range(5))
    wide = list(batches(table, batch_tokens=2, pad_id=0))
    assert [len(batch.rows) for batch in wide] == [1] * 5


def test_loading_leaves_the_global_random_state_alone(tiny_bert: Path) -> None:
    weights = {name: tensor for name, tensor in load_file(tiny_bert / "model.safetensors").items()}
    without_pooler = {name: tensor for name, tensor in weights.items() if "pooler" not in name}
    assert len(without_pooler) < len(weights)
    save_file(without_pooler, tiny_bert / "model.safetensors", metadata={"format": "pt"})
    before = torch.random.get_rng_state()
    TextEncoder(EncoderSettings(str(tiny_bert), max_length=8)).encode(SHORT)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_fingerprint_changes_with_everything_that_changes_the_result(tiny_bert: Path) -> None:
    settings = EncoderSettings(str(tiny_bert), max_length=8, precision="fp32", device="cpu")
    original = TextEncoder(settings).fingerprint()
    assert original == TextEncoder(settings).fingerprint()
    assert all(isinstance(value, str) for value in original.values())
    others = [
        replace(settings, pooling="max"),
        replace(settings, max_length=9),
        replace(settings, normalise=False),
        replace(settings, precision="bf16"),
        replace(settings, prefix="good "),
        replace(settings, batch_tokens=64),
    ]
    fingerprints = [TextEncoder(other).fingerprint() for other in others]
    assert all(fingerprint != original for fingerprint in fingerprints)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        copy = shutil.copytree(tiny_bert, tiny_bert.parent / name)
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
        changed = TextEncoder(replace(settings, model=str(copy))).fingerprint()
        assert sum(changed[part] != original[part] for part in original) == 1


def test_the_same_files_elsewhere_have_the_same_fingerprint(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "elsewhere")
    one, other = (TextEncoder(EncoderSettings(str(folder), max_length=8)) for folder in (tiny_bert, copy))
    assert one.fingerprint() == other.fingerprint()


def test_the_fingerprint_loads_no_weights(tiny_bert: Path) -> None:
    (tiny_bert / "model.safetensors").write_bytes(b"not weights")
    encoder = TextEncoder(EncoderSettings(str(tiny_bert), max_length=8))
    assert len(encoder.fingerprint()["weights"]) == 64
    with pytest.raises(ReActError, match="cannot be loaded"):
        encoder.encode(SHORT)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(minilm_rows: npt.NDArray[np.float32]) -> None:
    for precision, least in (("fp32", 0.9999), ("bf16", 0.999), ("fp16", 0.999)):
        settings = EncoderSettings(max_length=32, precision=precision, device="cuda")  # type: ignore[arg-type]
        assert (TextEncoder(settings).encode(sentences(40)) * minilm_rows).sum(1).min() > least


# Bad input: one sentence each.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "means"}, "Unknown pooling 'means'. Did you mean 'mean'?"),
        ({"precision": "bf61"}, "Unknown precision 'bf61'. Did you mean 'bf16'?"),
        ({"max_length": 0}, "max_length is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
    ],
)
def test_wrong_settings_fail_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError) as caught:
        EncoderSettings(**change)
    assert message in str(caught.value)


def test_unknown_and_absent_devices_fail_before_anything_is_read() -> None:
    with pytest.raises(ReActError, match=r"Unknown device 'cudda'. Did you mean 'cuda'\?"):
        TextEncoder(EncoderSettings(model="./nowhere", device="cudda"))
    with pytest.raises(ReActError, match=r"Device 'cuda:99' is not here"):
        resolve_device("cuda:99")
    with pytest.raises(ReActError, match="'fp16' needs a GPU"):
        TextEncoder(EncoderSettings(precision="fp16", device="cpu"))


@pytest.mark.parametrize(("max_length", "message"), [(25, "reads 24 at most"), (2, "itself adds 2")])
def test_a_length_the_model_cannot_have_is_refused(tiny_bert: Path, max_length: int, message: str) -> None:
    with pytest.raises(ReActError, match=message):
        TextEncoder(EncoderSettings(str(tiny_bert), max_length=max_length)).encode(SHORT)


def test_what_is_not_text_is_named_by_its_row(tiny_bert: Path) -> None:
    encoder = TextEncoder(EncoderSettings(str(tiny_bert), max_length=8))
    bad: Any = ["good", None]
    with pytest.raises(ReActError, match="Text 1 is None"):
        encoder.encode(bad)
    with pytest.raises(ReActError, match="Text 1 holds half a surrogate pair"):
        encoder.encode(["good", "b\ud800d"])
    with pytest.raises(ReActError, match="single string"):
        encoder.encode("good")


def test_a_checkpoint_without_all_encoder_weights_is_refused(tiny_bert: Path) -> None:
    weights = load_file(tiny_bert / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tiny_bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReActError, match=r"lacks 1 weights of its encoder, e.g. 'encoder.layer.1"):
        TextEncoder(EncoderSettings(str(tiny_bert), max_length=8)).encode(SHORT)


def test_a_model_that_brings_its_own_code_is_refused(tiny_bert: Path) -> None:
    config = json.loads((tiny_bert / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "c.C", "AutoModel": "c.M"}}
    (tiny_bert / "config.json").write_text(json.dumps(config))
    (tiny_bert / "c.py").write_text("raise SystemExit('executed')")
    with pytest.raises(ReActError, match="cannot be loaded"):
        TextEncoder(EncoderSettings(str(tiny_bert), max_length=8)).encode(SHORT)


def test_the_embedded_package_is_not_executed() -> None:
    checkpoints.locate("minilm")
    assert checkpoints.MINILM_PACKAGE not in sys.modules
