"""What happened to single texts at each stage, from the filled template to the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import CONTENT_FREE, PromptSettings
from react_rl.learners.prompts.templates import MASK
from react_rl.learners.prompts.verbaliser import Verbaliser


@dataclass(frozen=True)
class Trace:
    """One text on its way through the stages.

    Args:
        text: The text.
        filled: build, fill: what the model reads, for each template.
        expected: infer: the words that the model expects most in the gap, with their probabilities.
        said: parse: mean score of each class's words, by class.
        adjusted: adjust: the scores after calibration and scaling.
        prediction: evaluate: the class with the highest score.
    """

    text: str
    filled: tuple[str, ...]
    expected: tuple[tuple[str, float], ...]
    said: dict[str, float]
    adjusted: dict[str, float]
    prediction: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "text": self.text,
            "filled": list(self.filled),
            "expected": [[word, round(p, 6)] for word, p in self.expected],
            "said": {name: round(score, 6) for name, score in self.said.items()},
            "adjusted": {name: round(score, 6) for name, score in self.adjusted.items()},
            "prediction": self.prediction,
        }


@torch.inference_mode()
def trace(
    settings: PromptSettings,
    texts: Sequence[str],
    label_names: Sequence[str],
    pool: Sequence[str] | None = None,
    expected: int = 5,
) -> list[Trace]:
    """Run the stages on texts and keep what each of them gave; nothing is trained.

    Args:
        settings: Model, templates, words and calibration.
        texts: The texts.
        label_names: Names of the classes.
        pool: Unlabelled texts that calibration and strength go by; None takes the texts themselves.
        expected: How many expected words are kept.

    Raises:
        ReActError: The model cannot be had, or words do not fit.
    """
    reader = GapReader(settings)
    verbaliser = Verbaliser.of(label_names, settings.words, "the texts")
    words = WordScores(*verbaliser.head(reader.head, reader.tokenizer, "the texts"))
    gaps = torch.from_numpy(reader.vectors(texts))
    others = gaps if pool is None else torch.from_numpy(reader.vectors(pool))
    mask = str(reader.tokenizer.mask_token)
    empty = torch.from_numpy(reader.vectors([text.replace(MASK, mask) for text in CONTENT_FREE]))
    even = words.adjusted(settings.calibration, settings.strength, empty, others)
    likely = torch.softmax(reader.head.scores(gaps), 1).topk(expected, 1)
    filled = [
        [_read(reader, key) for key in _keys(template.fill(texts).table)] for template in reader.templates
    ]
    found = []
    for row, text in enumerate(texts):
        said, adjusted = words.raw(gaps[row]).tolist(), even.raw(gaps[row]).tolist()
        tokens = reader.tokenizer.convert_ids_to_tokens(likely.indices[row].tolist())
        found.append(
            Trace(
                text,
                tuple(one[row] for one in filled),
                tuple(zip(tokens, likely.values[row].tolist(), strict=True)),
                dict(zip(label_names, said, strict=True)),
                dict(zip(label_names, adjusted, strict=True)),
                label_names[int(np.argmax(adjusted))],
            )
        )
    return found


def _keys(table: Any) -> list[bytes]:
    return [table.distinct[row] for row in table.row_of]


def _read(reader: GapReader, key: bytes) -> str:
    return str(reader.tokenizer.decode(np.frombuffer(key, np.int32)))
