"""Masked-LM steps before the loop: whole words, train texts alone, made once, byte for byte the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.data.corpus import Corpus
from react_rl.encoders import masked_pretraining
from react_rl.encoders.masked_pretraining import PretrainingSettings, WordPieces, adapted, masked
from react_rl.errors import ReActError
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.finetune import adaptation
from react_rl.learners.finetune.settings import FineTuneSettings

FEW = PretrainingSettings(steps=4, batch_size=4, learning_rate=1e-2)
TEXTS = ["ba be bi bo", "da de di", "ga ge gi go gu", "ka ke ki"]


def test_words_are_masked_whole_and_only_they_are_asked_for() -> None:
    pieces = WordPieces(np.array([2, 10, 11, 12, 13, 14, 15, 3]), np.array([-1, 0, 0, 1, 2, 2, 3, -1]))
    seen: list[float] = []
    for seed in range(200):
        read, said = masked(pieces, 0.5, 99, np.arange(20, 40), np.random.default_rng(seed))
        asked = said != -100
        assert (said[asked] == pieces.ids[asked]).all()
        assert len(set(pieces.words[asked])) == 2, "half of four words"
        for word in range(4):
            assert asked[pieces.words == word].all() or not asked[pieces.words == word].any()
        assert not asked[[0, -1]].any()
        assert (read[~asked] == pieces.ids[~asked]).all()
        seen += (read[asked] == 99).tolist()
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)
    assert (
        masked(WordPieces(np.array([5]), np.array([0])), 0.1, 99, np.array([7]), np.random.default_rng(0))[1]
        == 5
    ).all()


def test_a_checkpoint_is_made_once_and_again_only_where_something_differs(
    masked_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    first = adapted(str(masked_checkpoint), [*TEXTS, TEXTS[0]], FEW, 16, "cpu", tmp_path)
    assert torch.equal(before, torch.get_rng_state()), "torch's own stream stays"
    again = adapted(str(masked_checkpoint), TEXTS, FEW, 16, "cpu", tmp_path / "other")
    assert first.name == again.name, "equal texts count once"
    weights = (first / "model.safetensors").read_bytes()
    assert weights == (again / "model.safetensors").read_bytes()
    assert weights != (masked_checkpoint / "model.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(masked_pretraining, "_train", None)
        assert adapted(str(masked_checkpoint), TEXTS, FEW, 16, "cpu", tmp_path) == first
    (first / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert adapted(str(masked_checkpoint), TEXTS, FEW, 16, "cpu", tmp_path) == first
    assert (first / "model.safetensors").read_bytes() == weights, "what was damaged is made again"
    assert adapted(str(masked_checkpoint), TEXTS[:3], FEW, 16, "cpu", tmp_path) != first
    assert len(list(tmp_path.iterdir())) == 3, "no half checkpoint is left"


def test_fine_tuning_begins_with_the_model_that_has_read_the_train_texts(
    classroom: Any,
    finetuning: Callable[..., FineTuneSettings],
    tiny_corpus: Callable[..., Corpus],
    masked_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def noted(model: str, texts: Sequence[str], *rest: Any) -> Path:
        read.extend(texts)
        return adapted(model, texts, *rest)

    monkeypatch.setattr(adaptation, "adapted", noted)
    corpus = tiny_corpus()
    plain = finetuning(model=str(masked_checkpoint), steps=2)
    rooms = [
        classroom(plain.model_copy(update={"pretraining": how}), [corpus], [0], [1]) for how in (None, FEW)
    ]
    assert read == [corpus.texts[row] for row in corpus.ids("train")]
    for room in rooms:
        room.teach([0], np.arange(5)[None])
    assert not torch.equal(rooms[0].logits(), rooms[1].logits())
    assert rooms[1].learner.settings.model == str(masked_checkpoint), "what results are filed under"


def test_a_model_without_a_masked_head_cannot_be_pretrained(
    finetuning: Callable[..., FineTuneSettings], tmp_path: Path
) -> None:
    with pytest.raises(ReActError, match="no masked-LM head"):
        adapted(finetuning().model, TEXTS, FEW, 16, "cpu", tmp_path)
    assert not any(tmp_path.iterdir())


def test_pretraining_from_yaml() -> None:
    config = learner_config({"kind": "finetune", "finetune": {"pretraining": {"steps": 7}}})
    assert config.identity()["pretraining"]["steps"] == 7
    assert "pretraining" not in learner_config({"kind": "finetune"}).identity()
