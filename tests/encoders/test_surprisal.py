"""Surprisal vectors are the masked-LM losses of a sample of tokens, and need a head that can give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from react_rl.encoders import ArrayCache, EncoderSettings, TextEncoder
from react_rl.encoders.surprisal import SurprisalSettings, surprisal_vectors
from react_rl.errors import ReActError

TEXTS = ("good film", "the plot was very bad a film", "bad", "good film", "the a the a was good", "")
SPECIAL = {0, 1, 2, 3}


@dataclass(frozen=True)
class Rows:
    texts: tuple[str, ...] = TEXTS
    name: str = "tiny"


@pytest.fixture
def masked_lm(tiny_bert: Path) -> Path:
    """The tiny BERT with a random masked-LM head in place of the bare encoder."""
    config = BertConfig.from_pretrained(tiny_bert)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertForMaskedLM(config).eval().save_pretrained(tiny_bert)
    return tiny_bert


def encoder(folder: Path, **settings: int) -> TextEncoder:
    return TextEncoder(
        EncoderSettings(str(folder), max_length=20, precision="fp32", device="cpu", **settings)  # type: ignore[arg-type]
    )


def losses(folder: Path, text: str) -> tuple[list[int], list[float]]:
    """Token ids of a text and the loss of each, with all scores of all tokens computed."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        scores = model(input_ids=ids).logits[0].log_softmax(1)
    return ids[0].tolist(), [-float(scores[t, token]) for t, token in enumerate(ids[0].tolist())]


def test_entries_are_the_losses_of_the_tokens_scaled_to_length_one(masked_lm: Path) -> None:
    found = surprisal_vectors(Rows(), encoder(masked_lm), settings=SurprisalSettings(24, share=1.0))
    assert found.shape == (6, 24)
    assert found.dtype == np.float32
    for row, text in enumerate(TEXTS):
        ids, loss = losses(masked_lm, text)
        # Special tokens count only where there are no others.
        counts = [token not in SPECIAL for token in ids]
        counts = counts if any(counts) else [True] * len(ids)
        expected = np.zeros(24)
        expected[: len(ids)] = np.where(counts, loss, 0.0)
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-5)


def test_a_share_of_the_tokens_counts_and_at_least_one(masked_lm: Path) -> None:
    texts = tuple(
        " ".join(np.random.default_rng(k).choice(["good", "bad", "film", "plot"], 16)) for k in range(60)
    )
    whole = surprisal_vectors(Rows(texts), encoder(masked_lm), settings=SurprisalSettings(24, 1.0))
    part = surprisal_vectors(Rows(texts), encoder(masked_lm), settings=SurprisalSettings(24, 0.25))
    count = (part > 0).sum(1)
    assert count.min() >= 1
    assert count.mean() == pytest.approx(16 * 0.25, abs=0.8)
    # What counts has the same losses as before, up to the new length.
    kept = np.where(part > 0, whole, 0.0)
    np.testing.assert_allclose(part, kept / np.linalg.norm(kept, axis=1, keepdims=True), atol=1e-5)
    other = surprisal_vectors(Rows(texts), encoder(masked_lm), settings=SurprisalSettings(24, 0.25, seed=1))
    assert ((other > 0) != (part > 0)).any(1).mean() > 0.9


def test_a_vector_hangs_on_the_text_alone(masked_lm: Path) -> None:
    found = surprisal_vectors(Rows(), encoder(masked_lm))
    assert np.array_equal(found[0], found[3])
    backwards = surprisal_vectors(Rows(TEXTS[::-1]), encoder(masked_lm))
    assert np.array_equal(found, backwards[::-1])
    few = surprisal_vectors(Rows(TEXTS[1:3]), encoder(masked_lm, batch_tokens=8))
    np.testing.assert_allclose(few, found[1:3], atol=1e-6)
    assert surprisal_vectors(Rows(()), encoder(masked_lm)).shape == (0, 128)


def test_long_texts_are_cut_and_the_width_stays(masked_lm: Path) -> None:
    long = Rows((" ".join(["good"] * 60),))
    found = surprisal_vectors(long, encoder(masked_lm), settings=SurprisalSettings(8, 1.0))
    assert found.shape == (1, 8)
    assert (found[0] > 0).tolist() == [False] + [True] * 6 + [False]
    limited = surprisal_vectors(long, encoder(masked_lm), settings=SurprisalSettings(64, 1.0))
    assert limited.shape == (1, 64)
    assert int((limited > 0).sum()) == 18, "the encoder reads 20 tokens"


def test_what_was_computed_once_is_read_from_the_cache(
    masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ArrayCache(tmp_path / "cache")
    first = surprisal_vectors(Rows(), encoder(masked_lm), cache)
    (entry,) = cache.entries()
    assert (entry.kind, entry.meta["rows"]) == ("surprisal", "6")
    with monkeypatch.context() as patch:
        patch.setattr("react_rl.encoders.surprisal.load_masked_lm", None)
        assert np.array_equal(surprisal_vectors(Rows(), encoder(masked_lm), cache), first)
        pooled = EncoderSettings(str(masked_lm), "cls", 20, False, "fp32", "cpu", prefix="query: ")
        assert np.array_equal(surprisal_vectors(Rows(), TextEncoder(pooled), cache), first)
    surprisal_vectors(Rows(), encoder(masked_lm), cache, settings=SurprisalSettings(seed=1))
    surprisal_vectors(Rows(TEXTS[:2]), encoder(masked_lm), cache)
    assert len(cache.entries()) == 3


def test_a_model_without_the_head_is_refused_in_one_sentence(tiny_bert: Path) -> None:
    with pytest.raises(ReActError, match=r"has no masked-LM head \(it lacks cls\.predictions"):
        surprisal_vectors(Rows(), encoder(tiny_bert))
    with torch.random.fork_rng(devices=[]):
        GPT2LMHeadModel(
            GPT2Config(vocab_size=12, n_positions=24, n_embd=16, n_layer=1, n_head=2)
        ).save_pretrained(tiny_bert)
    with pytest.raises(ReActError, match=r"has no masked-LM head \(it lacks all of its weights"):
        surprisal_vectors(Rows(), encoder(tiny_bert))


def test_the_global_random_state_stays(masked_lm: Path) -> None:
    before = torch.get_rng_state()
    surprisal_vectors(Rows(), encoder(masked_lm))
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="share is 0"):
        SurprisalSettings(share=0)
    with pytest.raises(ReActError, match="max_length is 0"):
        SurprisalSettings(max_length=0)
