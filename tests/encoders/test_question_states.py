"""States of contexts read with their questions: the words' own pieces, windows where they are long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.data.passages import Passages
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.question_states import encode_questions
from react_rl.encoders.token_states import TokenStates
from react_rl.encoders.transformer import EncoderSettings, TextEncoder, load_checkpoint

WORDS = ("red", "green", "warm", "cold", "day", "night")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, save_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    return save_bert(tmp_path_factory.mktemp("model") / "bert", WORDS)


def encode(
    model: Path,
    questions: Sequence[str],
    about: Passages,
    max_length: int = 24,
    cache: ArrayCache | None = None,
) -> tuple[TokenStates, npt.NDArray[np.float32]]:
    encoder = TextEncoder(EncoderSettings(model=str(model), max_length=max_length, precision="fp32"))
    return encode_questions("some", questions, about, encoder, cache, progress=False)


def hidden(model: Path, question: str, context: str) -> torch.Tensor:
    """Unit-norm states of the pair, as the model gives them."""
    net, tokenizer = load_checkpoint("some", model, 24)
    ids = torch.tensor([tokenizer(question)["input_ids"] + tokenizer(context)["input_ids"][1:]])
    with torch.inference_mode():
        return torch.nn.functional.normalize(net(input_ids=ids).last_hidden_state[0], dim=1)


def test_a_word_has_the_state_of_its_piece_beside_the_question(model: Path) -> None:
    about = Passages(("green day", "cold night"), np.array([0, 1, 0]), (("day",),) * 3)
    questions = ["warm day", "red", "green"]
    found, asked = encode(model, questions, about)
    assert found.starts.tolist() == [0, 3, 6, 9]
    assert found.windowed == 0
    for row, question in enumerate(questions):
        whole = hidden(model, question, about.texts[about.of[row]])
        pieces = len(question.split())
        first = 2 + pieces  # marks before and between
        places = [0, first, first + 1]
        np.testing.assert_allclose(found.of(row), whole[places], atol=2e-3)
        assert np.linalg.norm(asked[row]) == pytest.approx(1.0, abs=1e-5)
    # The mean of the question's own pieces.
    net, tokenizer = load_checkpoint("some", model, 24)
    with torch.inference_mode():
        ids = torch.tensor([tokenizer("red")["input_ids"] + tokenizer("cold night")["input_ids"][1:]])
        plain = net(ids).last_hidden_state[0, 1]
    np.testing.assert_allclose(asked[1], torch.nn.functional.normalize(plain, dim=0), atol=1e-4)


def test_long_contexts_are_read_in_windows_with_the_question_in_front(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "react_rl")
    text = " ".join(["red", "day", "cold"] * 12)
    about = Passages((text, "warm"), np.array([0, 1]), (("day",),) * 2)
    found, _ = encode(model, ["green night", "red"], about)
    assert found.windowed == 1
    assert "1 questions with their contexts are longer than the 24 pieces" in caplog.text
    assert found.starts.tolist() == [0, 37, 39]
    assert (np.linalg.norm(found.states.astype(np.float32), axis=1) > 0.99).all()
    # The first words are from the first window: 24 pieces, 3 marks, 2 of the question.
    whole = hidden(model, "green night", " ".join(text.split()[:19]))
    np.testing.assert_allclose(found.of(0)[:10], whole[[0, *range(4, 13)]], atol=2e-3)


def test_questions_that_fill_the_window_are_cut_with_a_warning(model: Path) -> None:
    about = Passages(("cold night",), np.array([0]), (("cold",),))
    with pytest.warns(UserWarning, match="1 questions of corpus 'some' have more than 10 pieces"):
        found, _ = encode(model, ["red day " * 12], about)
    assert found.states.shape[0] == 3


def test_states_come_from_the_cache(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = Passages(("green day",), np.array([0]), (("day",),))
    first = encode(model, ["warm"], about, cache=ArrayCache(tmp_path / "cache"))
    monkeypatch.setattr(TextEncoder, "hidden_states", lambda *_: pytest.fail("computed again"))
    again = encode(model, ["warm"], about, cache=ArrayCache(tmp_path / "cache"))
    assert (again[0].states == first[0].states).all()
    assert (again[1] == first[1]).all()
