"""Seconds of a fine-tuning round on questions: our learner against a loop of ``transformers.Trainer``.

``python -m react_rl.experiments.benchmarks.finetune.question_rounds --corpus data/squad_v1/dev.jsonl.gz --out
DIR`` chooses by the margin between the two best answers; how it is measured is in ``trainer_rounds``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.experiments.benchmarks.finetune.trainer_rounds import (
    Contest,
    Ids,
    TrainerRound,
    run,
)
from react_rl.metrics.answers import answer_scores

STRIDE: Final = 64
"""Tokens that neighbouring windows of a context share."""
_N_BEST, _LONGEST = 20, 30


@dataclass(frozen=True)
class _Windows:
    """Windows of the contexts of some rows, as a tokenizer cuts them.

    Args:
        features: What the model reads.
        row: Place of each window's row among the rows.
        offsets: Characters of each token of a window, None where it is not of the context.
    """

    features: list[dict[str, Any]]
    row: list[int]
    offsets: list[list[tuple[int, int] | None]]


class TrainerReader(TrainerRound):
    """The loop of transformers' example for SQuAD: cut windows, pad each batch, ``train``, ``predict``.

    Answers are found as in its ``postprocess_qa_predictions``: the 20 best starts and ends of each window,
    answers of 30 tokens at most.
    """

    head = "AutoModelForQuestionAnswering"

    def collator(self) -> Any:
        """Pads tokens."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)

    def sureness(self, rows: Ids) -> npt.NDArray[np.float64]:
        """How much likelier the best answer is than the second best."""
        return np.array([margin for _, margin in self._answers(rows)])

    def f1(self) -> float:
        """F1 of the answers to the test questions."""
        passages = self.scene.corpus.passages
        assert passages is not None
        answers = [text for text, _ in self._answers(self.scene.test)]
        given = [passages.answers[row] for row in self.scene.test.tolist()]
        return answer_scores(answers, given, passages.pieces).f1

    def _cut(self, rows: Ids) -> _Windows:
        corpus = self.scene.corpus
        assert corpus.passages is not None
        contexts = [corpus.passages.texts[corpus.passages.of[row]] for row in rows.tolist()]
        encoded = self.tokenizer(
            [corpus.texts[row] for row in rows.tolist()],
            contexts,
            truncation="only_second",
            max_length=self.scene.settings.max_length,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        features, offsets = [], []
        for window in range(len(encoded["input_ids"])):
            names = ("input_ids", "attention_mask", "token_type_ids")
            features.append({name: encoded[name][window] for name in names if name in encoded})
            of = encoded.sequence_ids(window)
            pairs = zip(encoded["offset_mapping"][window], of, strict=True)
            offsets.append([tuple(span) if side == 1 else None for span, side in pairs])
        return _Windows(features, encoded["overflow_to_sample_mapping"], offsets)

    def taught(self, rows: Ids) -> list[dict[str, Any]]:
        """Windows with the tokens that begin and end the answer; those of the mark where it is not there."""
        corpus, cut = self.scene.corpus, self._cut(rows)
        assert corpus.passages is not None
        for feature, place, offsets in zip(cut.features, cut.row, cut.offsets, strict=True):
            row = int(rows[place])
            borders = corpus.passages.borders[corpus.passages.of[row]]
            first, last = corpus.targets[row].tolist()
            begin, end = int(borders[first - 1, 0]), int(borders[last - 1, 1])
            own = [token for token, span in enumerate(offsets) if span is not None]
            inside = [
                token
                for token in own
                if (span := offsets[token]) is not None and span[0] < end and span[1] > begin
            ]
            low, high = offsets[own[0]], offsets[own[-1]]
            assert low is not None
            assert high is not None
            whole = first > 0 and low[0] <= begin and high[1] >= end and inside
            feature["start_positions"] = inside[0] if whole else 0
            feature["end_positions"] = inside[-1] if whole else 0
        return cut.features

    def _answers(self, rows: Ids) -> list[tuple[str, float]]:
        """The best answer to each question, and how much more likely it is than the second best one."""
        corpus, cut = self.scene.corpus, self._cut(rows)
        assert corpus.passages is not None
        start, end = self.trainer.predict(cut.features).predictions
        found: list[list[tuple[float, int, int]]] = [[] for _ in rows]
        for window, (place, offsets) in enumerate(zip(cut.row, cut.offsets, strict=True)):
            found[place] += _spans(start[window], end[window], offsets)
        answers = []
        for row, spans in zip(rows.tolist(), found, strict=True):
            best = sorted(spans, reverse=True)[:_N_BEST]
            if not best:
                answers.append(("", 0.0))
                continue
            scores = np.exp(np.array([score for score, _, _ in best]) - best[0][0])
            chances = scores / scores.sum()
            text = corpus.passages.texts[corpus.passages.of[row]][best[0][1] : best[0][2]]
            answers.append((text, float(chances[0] - chances[1]) if len(best) > 1 else 1.0))
        return answers


def _spans(
    start: npt.NDArray[np.float32], end: npt.NDArray[np.float32], offsets: list[tuple[int, int] | None]
) -> list[tuple[float, int, int]]:
    """Scores and characters of the best answers of a window."""
    found = []
    for first in np.argsort(start)[-1 : -_N_BEST - 1 : -1].tolist():
        for last in np.argsort(end)[-1 : -_N_BEST - 1 : -1].tolist():
            if first >= len(offsets) or last >= len(offsets) or last < first or last - first >= _LONGEST:
                continue
            begins, ends = offsets[first], offsets[last]
            if begins is not None and ends is not None:
                found.append((float(start[first] + end[last]), begins[0], ends[1]))
    return found


CONTEST: Final = Contest(
    "question-answering",
    "answer_f1",
    "span-margin",
    TrainerReader,
    {
        "ours, the same training": {"method": "full"},
        "ours, top 2 layers on cached states": {"method": "full", "layers": 2},
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    return run(CONTEST, "question_rounds", arguments, __doc__, batch_size=8, max_length=256)


if __name__ == "__main__":
    raise SystemExit(main())
