"""The Trainer's reader of the benchmark reads questions as transformers' example for SQuAD does."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.experiments.benchmarks.finetune.question_rounds import TrainerReader, _spans
from react_rl.experiments.benchmarks.finetune.trainer_rounds import RoundScene
from react_rl.learners.finetune import FineTuneSettings


@pytest.mark.parametrize("max_length", [256, 96])
def test_windows_are_taught_the_answer_where_it_is_and_their_mark_elsewhere(max_length: int) -> None:
    corpus = synthetic_questions(60)
    rows = np.arange(6)
    scene = RoundScene(corpus, rows, rows, rows, FineTuneSettings(max_length=max_length))
    reader = TrainerReader(scene, "nowhere")
    taught, cut = reader.taught(rows), reader._cut(rows)
    passages = corpus.passages
    assert passages is not None
    found = dict.fromkeys(rows.tolist(), 0)
    for feature, place, offsets in zip(taught, cut.row, cut.offsets, strict=True):
        assert len(feature["input_ids"]) <= max_length
        if feature["start_positions"] == 0:
            assert feature["end_positions"] == 0
            continue
        start, end = np.zeros((2, len(offsets)), np.float32)
        start[feature["start_positions"]] = end[feature["end_positions"]] = 5.0
        (_, begin, finish), *_ = sorted(_spans(start, end, offsets), reverse=True)
        text = passages.texts[passages.of[rows[place]]][begin:finish]
        assert text == passages.answers[rows[place]][0]
        found[place] += 1
    assert all(count >= 1 for count in found.values())
