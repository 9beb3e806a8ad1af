"""Paraphrases replace whole words by the likeliest other ones, and leave everything else as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM

from react_rl.encoders import EncoderSettings, TextEncoder
from react_rl.encoders.paraphrase import paraphrases
from react_rl.errors import ReActError

TEXTS = ["The film was  good, very good!", "bad", "42 !", "A plot: good film"]


def encoder(folder: Path, max_length: int = 20) -> TextEncoder:
    return TextEncoder(EncoderSettings(str(folder), max_length=max_length, precision="fp32", device="cpu"))


@pytest.fixture
def masked_lm(tmp_path: Path, save_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    """A tiny BERT with a random masked-LM head, and a mask."""
    words = ["[MASK]", "the", "film", "was", "good", "very", "bad", "plot", "fine", "##ing", "7"]
    folder = save_bert(tmp_path / "masked", words)
    AutoTokenizer.from_pretrained(folder, mask_token="[MASK]").save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertForMaskedLM(BertConfig.from_pretrained(folder)).eval().save_pretrained(folder)
    return folder


def test_a_single_word_becomes_the_likeliest_other_word(masked_lm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked_lm)
    model = AutoModelForMaskedLM.from_pretrained(masked_lm).eval()
    ids = tokenizer("[MASK]", return_tensors="pt")
    with torch.inference_mode():
        order = model(**ids).logits[0, 1].argsort(descending=True)[:20].tolist()
    words = [word for word in tokenizer.convert_ids_to_tokens(order) if re.fullmatch("[a-z]{2,}", word)]
    (expected, *_) = [word for word in words if word != "bad"]
    assert paraphrases(["bad", "Bad"], encoder(masked_lm), 0.5) == [expected, expected.capitalize()]


def test_blanks_numbers_and_punctuation_stay(masked_lm: Path) -> None:
    found = paraphrases(TEXTS, encoder(masked_lm), 0.5)
    assert found == paraphrases(TEXTS, encoder(masked_lm), 0.5)
    assert found[2] == TEXTS[2], "there is no word to replace"
    for text, other in zip(TEXTS, found, strict=True):
        assert re.split(r"[^\W\d_]+", other) == re.split(r"[^\W\d_]+", text)
    assert all(text != other for text, other in zip(TEXTS[:2], found[:2], strict=True))
    assert paraphrases([], encoder(masked_lm), 0.5) == []


def test_texts_are_replaced_alike_alone_and_together(masked_lm: Path) -> None:
    together = paraphrases(TEXTS, encoder(masked_lm), 0.3, seed=2)
    assert together == [paraphrases([text], encoder(masked_lm), 0.3, seed=2)[0] for text in TEXTS]


def test_words_beyond_the_longest_text_stay(masked_lm: Path) -> None:
    text = "good " * 12
    found = paraphrases([text], encoder(masked_lm, max_length=6), 1.0)[0]
    assert found.split()[6:] == ["good"] * 6


def test_a_tokenizer_without_a_mask_is_refused(tiny_bert: Path) -> None:
    BertForMaskedLM(BertConfig.from_pretrained(tiny_bert)).save_pretrained(tiny_bert)
    with pytest.raises(ReActError, match="has no mask"):
        paraphrases(TEXTS, encoder(tiny_bert), 0.5)


def test_a_checkpoint_without_the_head_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ReActError, match=r"no masked-LM head .* and a paraphrase needs one"):
        paraphrases(TEXTS, encoder(tiny_bert), 0.5)
