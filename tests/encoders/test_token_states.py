"""States of words: the first piece's, whole sentences, windows where they are long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.token_states import TokenStates, encode_tokens, windows_of
from react_rl.encoders.transformer import EncoderSettings, TextEncoder, load_checkpoint

WORDS = ("red", "green", "warm", "cold", "day", "night")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, save_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    return save_bert(tmp_path_factory.mktemp("model") / "bert", WORDS)


def states(model: Path, sentences: Sequence[Sequence[str]], max_length: int = 24) -> TokenStates:
    encoder = TextEncoder(EncoderSettings(model=str(model), max_length=max_length, precision="fp32"))
    return encode_tokens("some", sentences, encoder, progress=False)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(4, 12))
def test_windows_hold_whole_words_and_every_word_takes_its_state_from_one(
    sizes: list[int], room: int
) -> None:
    heads = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    total = sum(sizes)
    windows = windows_of(heads, total, room)
    assert windows[0][2] == 0
    assert windows[-1][3] == len(sizes)
    assert all(own[3] == other[2] for own, other in pairwise(windows))
    for low, high, first, last in windows:
        assert 0 < high - low <= room
        assert first < last
        for word in range(first, last):  # whole words, and their beginnings, lie inside
            assert low <= heads[word]
            assert heads[word] + min(sizes[word], room) <= high
    if total <= room:
        assert windows == [(0, total, 0, len(sizes))]


def test_a_word_has_the_models_state_of_its_first_piece(model: Path) -> None:
    sentences = [["red", "day"], ["warm"], ["red", "day"], ["cold", "night", "green"]]
    found = states(model, sentences)
    assert found.starts.tolist() == [0, 2, 3, 5, 8]
    assert found.windowed == 0
    net, tokenizer = load_checkpoint("some", model, 24)
    for row, words in enumerate(sentences):
        ids = torch.tensor([tokenizer(" ".join(words))["input_ids"]])
        with torch.inference_mode():
            hidden = net(input_ids=ids).last_hidden_state[0, 1:-1]
        expected = torch.nn.functional.normalize(hidden, dim=1).numpy()
        np.testing.assert_allclose(found.of(row).astype(np.float32), expected, atol=2e-3)


def test_a_long_sentence_loses_no_word_and_short_ones_do_not_change(model: Path) -> None:
    rng = np.random.default_rng(0)
    long = [WORDS[k] for k in rng.integers(0, 6, 50)]
    found = states(model, [["red", "day"], long], max_length=12)
    assert found.windowed == 1
    assert found.of(1).shape[0] == 50
    assert (np.linalg.norm(found.states.astype(np.float32), axis=1) > 0.99).all()
    np.testing.assert_allclose(found.of(0), states(model, [["red", "day"]], max_length=12).of(0), atol=2e-3)


def test_words_that_the_tokeniser_drops_get_the_unknown_piece(model: Path) -> None:
    found = states(model, [["red", "\u200b", "day"], ["red", "neverseen", "day"]])
    np.testing.assert_allclose(found.of(0), found.of(1), atol=2e-3)


def test_states_come_from_the_cache_when_nothing_changed(model: Path, tmp_path: Path) -> None:
    encoder = TextEncoder(EncoderSettings(model=str(model), max_length=24, precision="fp32"))
    cache = ArrayCache(tmp_path)
    first = encode_tokens("some", [["red", "day"]], encoder, cache, progress=False)
    again = encode_tokens("some", [["red", "day"]], encoder, cache, progress=False)
    assert (first.states == again.states).all()
    assert len(cache.entries()) == 1
    encode_tokens("some", [["red day"]], encoder, cache, progress=False)  # one word with a blank in it
    assert len(cache.entries()) == 2
