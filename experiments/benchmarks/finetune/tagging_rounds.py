"""Seconds of a fine-tuning round on tagging: our learner against a loop of ``transformers.Trainer``.

``python -m react_rl.experiments.benchmarks.finetune.tagging_rounds --corpus data/conll2003 --out DIR``
chooses by
MNLP; how it is measured is in ``trainer_rounds``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.experiments.benchmarks.finetune.trainer_rounds import (
    Contest,
    Ids,
    RoundScene,
    TrainerRound,
    run,
)
from react_rl.tasks.tagging import Tagging, TokenScores


class TrainerTagger(TrainerRound):
    """The loop that a user of transformers writes: tokenise, pad each batch, ``train``, ``predict``."""

    head = "AutoModelForTokenClassification"

    def sizes(self) -> dict[str, int]:
        """One output for each tag."""
        return {"num_labels": self.scene.corpus.n_classes}

    def collator(self) -> Any:
        """Pads tokens and tags."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(self.tokenizer)

    def sureness(self, rows: Ids) -> npt.NDArray[np.float64]:
        """Mean log-probability of the likeliest tags: MNLP."""
        return np.array([float(own.max(1).mean()) for own in self._log_probabilities(rows)])

    def f1(self) -> float:
        """Entity F1 on the test rows."""
        return entity_f1(self.scene, [own.argmax(1) for own in self._log_probabilities(self.scene.test)])

    def _log_probabilities(self, rows: Ids) -> list[npt.NDArray[np.float64]]:
        found = self.trainer.predict(self.taught(rows))
        logits = found.predictions.astype(np.float64)
        logits -= logits.max(2, keepdims=True)
        logits -= np.log(np.exp(logits).sum(2, keepdims=True))
        return [own[tags != -100] for own, tags in zip(logits, found.label_ids, strict=True)]

    def taught(self, rows: Ids) -> list[dict[str, Any]]:
        """Words in pieces; the first piece of each has its tag."""
        tokens, settings = self.scene.corpus.tokens, self.scene.settings
        assert tokens is not None
        encoded = self.tokenizer(
            [list(tokens[row]) for row in rows.tolist()], is_split_into_words=True, truncation=True,
            max_length=settings.max_length,
        )  # fmt: skip
        examples = []
        for line, row in enumerate(rows.tolist()):
            words = encoded.word_ids(line)
            firsts = [word is not None and word != before for word, before in zip(words, [None, *words])]  # noqa: B905
            tags = [
                int(self.scene.corpus.targets[row][w]) if f else -100
                for w, f in zip(words, firsts, strict=True)
            ]
            examples.append(
                {
                    "input_ids": encoded["input_ids"][line],
                    "attention_mask": encoded["attention_mask"][line],
                    "labels": tags,
                }
            )
        return examples


def entity_f1(scene: RoundScene, predicted: Sequence[Ids]) -> float:
    """Entity F1 of predicted tags of the test rows; words that were cut off count as untagged."""
    task = Tagging()
    shape = task.shape([scene.corpus])
    truth = task.targets(scene.corpus, scene.test, np.arange(scene.corpus.n_classes), shape)
    lengths = [len(scene.corpus.targets[row]) for row in scene.test.tolist()]
    tags = np.zeros(sum(lengths), np.int64)
    column = np.repeat(np.arange(len(lengths)), lengths)
    place = np.concatenate([np.arange(n) for n in lengths])
    for number, own in enumerate(predicted):
        tags[np.flatnonzero(column == number)[: len(own)]] = own
    logits = torch.nn.functional.one_hot(torch.from_numpy(tags), scene.corpus.n_classes).T[None].float()
    scores = TokenScores(logits, torch.from_numpy(column)[None], torch.from_numpy(place)[None])
    mask = torch.ones(1, scene.corpus.n_classes, dtype=torch.bool)
    return float(task.judge(["entity_f1"], scores, torch.from_numpy(truth)[None], mask)["entity_f1"][0])


CONTEST: Final = Contest(
    "tagging",
    "entity_f1",
    "mnlp",
    TrainerTagger,
    {
        "ours, the same training": {"method": "full"},
        "ours, top 2 layers on cached states": {"method": "full", "layers": 2},
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    return run(CONTEST, "tagging_rounds", arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
