"""Encoders on a CUDA device, or a simulated one: texts and words have there what they have on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.encoders import EncoderSettings, TextEncoder
from react_rl.encoders.question_states import encode_questions
from react_rl.encoders.surprisal import surprisal_vectors
from react_rl.encoders.token_states import encode_tokens
from react_rl.simulation.encoded import encode

pytestmark = pytest.mark.gpu
QUESTIONS = synthetic_questions(40, 0.2)


@pytest.fixture
def encoders(tiny_bert: Path, cuda: str) -> list[TextEncoder]:
    """One on the CPU and one on the device, with a masked-LM head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertForMaskedLM(BertConfig.from_pretrained(tiny_bert)).eval().save_pretrained(tiny_bert)
    return [
        TextEncoder(EncoderSettings(model=str(tiny_bert), max_length=24, precision="fp32", device=device))
        for device in ("cpu", cuda)
    ]


def test_texts_words_and_questions_have_the_states_of_the_cpu(encoders: list[TextEncoder]) -> None:
    assert QUESTIONS.passages is not None
    said: list[list[Any]] = [
        [one.encode(["good film", "the plot was very bad"]) for one in encoders],
        [encode_tokens("some", [["good", "film"], ["bad"]], one, progress=False).states for one in encoders],
        [encode_questions("some", QUESTIONS.texts, QUESTIONS.passages, one)[1] for one in encoders],
        [surprisal_vectors(QUESTIONS, one, progress=False) for one in encoders],
    ]
    for ours, theirs in said:
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_corpus_encoded_there_is_there(encoders: list[TextEncoder], cuda: str) -> None:
    found = encode(QUESTIONS, encoders[1], device=cuda)
    assert found.embeddings.is_cuda
    assert found.density.is_cuda
