"""A corpus is encoded once for each thing that changes its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.encoders import ArrayCache, EncoderSettings, TextEncoder, encode_corpus
from react_rl.errors import ReActError


@dataclass(frozen=True)
class Films:
    name: str = "films"
    texts: tuple[str, ...] = ("good film", "a bad plot", "the film was very good")


@dataclass
class Counting:
    """An encoder whose vectors are chosen by the test."""

    rows: npt.NDArray[np.float32]
    settings: EncoderSettings = field(default_factory=EncoderSettings)
    calls: int = 0

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        self.calls += 1
        return self.rows

    def fingerprint(self) -> dict[str, str]:
        return {"weights": "w"}


def test_the_second_time_nothing_is_encoded(tmp_path: Path) -> None:
    cache, encoder = ArrayCache(tmp_path), Counting(np.eye(3, dtype=np.float32))
    first, second = (encode_corpus(Films(), encoder, cache) for _ in range(2))
    assert encoder.calls == 1
    np.testing.assert_array_equal(first, second)
    (entry,) = cache.entries()
    assert entry.kind == "embeddings"
    assert entry.meta["corpus"] == "films"
    assert entry.meta["model"] == "minilm"
    encode_corpus(Films(), encoder, None)
    assert encoder.calls == 2


def test_other_texts_or_another_order_make_another_entry(tmp_path: Path) -> None:
    cache, encoder = ArrayCache(tmp_path), Counting(np.eye(3, dtype=np.float32))
    texts = Films().texts
    for variant in (texts, texts[::-1], ("good filma", " bad plot", texts[2]), (*texts[:2], "else")):
        encode_corpus(Films(texts=variant), encoder, cache)
    assert encoder.calls == len(cache.entries()) == 4
    encode_corpus(Films(name="renamed"), encoder, cache)
    assert encoder.calls == 4


@dataclass
class Lengths:
    """An encoder whose vectors are the lengths of the texts."""

    settings: EncoderSettings = field(default_factory=EncoderSettings)
    calls: int = 0

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        self.calls += 1
        return np.array([[len(text), np.nan if "broken" in text else 1] for text in texts], np.float32)

    def fingerprint(self) -> dict[str, str]:
        return {"weights": "lengths"}


@pytest.mark.parametrize("cached", [True, False])
def test_the_same_texts_in_any_order_are_one_entry_where_that_is_asked_for(
    tmp_path: Path, cached: bool
) -> None:
    texts = ("ddd", "a", "cc", "a", "bbbbb", "")
    cache, encoder = ArrayCache(tmp_path) if cached else None, Lengths()
    for order in permutations(range(6), 6):
        own = tuple(texts[row] for row in order)
        vectors = encode_corpus(Films(texts=own), encoder, cache, any_order=True)
        assert vectors[:, 0].tolist() == [len(text) for text in own]
    assert encoder.calls == (1 if cached else 720)
    encode_corpus(Films(texts=(*texts, "a")), encoder, cache, any_order=True)
    assert encoder.calls == (2 if cached else 721), "how often a text occurs counts"


def test_a_broken_embedding_is_told_by_its_own_row_in_any_order() -> None:
    texts = ("z", "broken b", "y", "broken a")
    with pytest.raises(ReActError, match=r"2 rows of corpus 'films' .* the first is row id 1;"):
        encode_corpus(Films(texts=texts), Lengths(), any_order=True)


def test_other_settings_make_another_entry(tiny_bert: Path, tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "cache")
    settings = EncoderSettings(str(tiny_bert), max_length=8, precision="fp32", device="cpu")
    mean = encode_corpus(Films(), TextEncoder(settings), cache)
    largest = encode_corpus(Films(), TextEncoder(replace(settings, pooling="max")), cache)
    assert mean.shape == largest.shape == (3, 16)
    assert not np.allclose(mean, largest)
    assert len(cache.entries()) == 2
    again = encode_corpus(Films(), TextEncoder(settings), cache)
    np.testing.assert_array_equal(mean, again)
    assert len(cache.entries()) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_named_and_never_stored(tmp_path: Path, value: float) -> None:
    rows = np.eye(3, dtype=np.float32)
    rows[1:, 2] = value
    cache = ArrayCache(tmp_path)
    with pytest.raises(ReActError, match=r"2 rows of corpus 'films' are not finite, the first is row id 1;"):
        encode_corpus(Films(), Counting(rows), cache)
    assert cache.entries() == []


def test_a_text_that_is_no_text_is_named_before_the_model_is_touched() -> None:
    with pytest.raises(ReActError, match="Text 1 holds half a surrogate pair"):
        encode_corpus(Films(texts=("good", "\udc80")), TextEncoder(EncoderSettings("./nowhere")))
