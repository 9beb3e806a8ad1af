"""Seconds of a fine-tuning round on tagging: our learner against a loop of ``transformers.Trainer``.

``python -m react_rl.experiments.benchmarks.finetune.tagging_rounds --corpus data/conll2003 --out DIR`` trains
on the same sentences with the same recipe, predicts the unlabelled rows of the pool and chooses by MNLP, each
contestant in turn, several times over. Processor seconds are given beside wall seconds: on a busy machine
they are what can be compared.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import transformers

from react_rl.acquisition import make_strategy
from react_rl.data.corpus import Corpus
from react_rl.data.registry import load_corpus
from react_rl.encoders.checkpoints import locate
from react_rl.experiments.benchmarks.device_rounds import describe_device
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.finetune import FineTuneSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.tasks.tagging import Tagging, TokenScores

_Ids = npt.NDArray[np.int64]

OURS: Final[dict[str, dict[str, Any]]] = {
    "ours, the same training": {"method": "full"},
    "ours, top 2 layers on cached states": {"method": "full", "layers": 2},
}
"""What is trained, by name."""

TRAINER: Final = "Trainer"


@dataclass(frozen=True)
class TaggingScene:
    """What every contestant is given.

    Args:
        corpus: Tagged sentences.
        labelled: Row ids that are trained on.
        unlabelled: Row ids that are predicted and chosen from.
        test: Row ids that the result is measured on.
        settings: Recipe, the method left open.
        query: Sentences chosen.
    """

    corpus: Corpus
    labelled: _Ids
    unlabelled: _Ids
    test: _Ids
    settings: FineTuneSettings
    query: int


class TrainerTagger:
    """The loop that a user of transformers writes: tokenise, pad each batch, ``train``, ``predict``."""

    def __init__(self, scene: TaggingScene, folder: str) -> None:
        from transformers import AutoTokenizer

        self._scene, self._folder = scene, folder
        self._model = str(locate(scene.settings.model))
        self._tokenizer = AutoTokenizer.from_pretrained(self._model)
        self._trainer: Any = None

    def round(self) -> _Ids:
        """Train a fresh model, predict the unlabelled rows, choose."""
        from transformers import (
            AutoModelForTokenClassification,
            DataCollatorForTokenClassification,
            PrinterCallback,
            Trainer,
        )

        scene = self._scene
        model = AutoModelForTokenClassification.from_pretrained(
            self._model, num_labels=scene.corpus.n_classes
        )
        self._trainer = Trainer(
            model=model,
            args=self._arguments(),
            train_dataset=self._read(scene.labelled),
            data_collator=DataCollatorForTokenClassification(self._tokenizer),
        )
        self._trainer.remove_callback(PrinterCallback)
        self._trainer.train()
        best = [float(own.max(1).mean()) for own in self._log_probabilities(scene.unlabelled)]
        chosen: _Ids = scene.unlabelled[np.argsort(best, kind="stable")[: scene.query]]
        return chosen

    def predicted(self, rows: _Ids) -> list[_Ids]:
        """Tags of the words of rows."""
        return [own.argmax(1) for own in self._log_probabilities(rows)]

    def _log_probabilities(self, rows: _Ids) -> list[npt.NDArray[np.float64]]:
        found = self._trainer.predict(self._read(rows))
        logits = found.predictions.astype(np.float64)
        logits -= logits.max(2, keepdims=True)
        logits -= np.log(np.exp(logits).sum(2, keepdims=True))
        return [own[tags != -100] for own, tags in zip(logits, found.label_ids, strict=True)]

    def _read(self, rows: _Ids) -> list[dict[str, Any]]:
        tokens, settings = self._scene.corpus.tokens, self._scene.settings
        assert tokens is not None
        encoded = self._tokenizer(
            [list(tokens[row]) for row in rows.tolist()], is_split_into_words=True, truncation=True,
            max_length=settings.max_length,
        )  # fmt: skip
        examples = []
        for line, row in enumerate(rows.tolist()):
            words = encoded.word_ids(line)
            firsts = [word is not None and word != before for word, before in zip(words, [None, *words])]  # noqa: B905
            tags = [
                int(self._scene.corpus.targets[row][w]) if f else -100
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

    def _arguments(self) -> Any:
        from transformers import TrainingArguments

        settings = self._scene.settings
        steps = settings.epochs * math.ceil(len(self._scene.labelled) / settings.batch_size)
        return TrainingArguments(
            self._folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=16,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=int(settings.warmup * steps),
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.clip,
            save_strategy="no",
            logging_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
        )


class OurTagger:
    """An engine whose initial labelled set is the scene's.

    Args:
        scene: The scene.
        vectors: Any embeddings of the corpus; MNLP does not look at them.
        method: What is trained.
    """

    def __init__(self, scene: TaggingScene, vectors: npt.NDArray[np.float32], method: dict[str, Any]) -> None:
        settings = FineTuneSettings.model_validate({**scene.settings.model_dump(), **method})
        corpus = EncodedCorpus.build(scene.corpus, vectors)
        self._scene = scene
        self.engine = LabelingEngine([corpus], options_of(scene), 1, ["entity_f1"], settings)

    def round(self) -> _Ids:
        """Train from the pretrained weights, predict the unlabelled rows, choose."""
        self.engine.reset([Streams(0)])
        with torch.inference_mode():
            chosen: _Ids = make_strategy("mnlp").select(self.engine.view, self._scene.query)[0].numpy()
        return chosen

    def predicted(self, rows: _Ids) -> list[_Ids]:
        """Tags of the words of rows."""
        scores: TokenScores = self.engine.scores(rows)
        tags, column = scores.logits[0].argmax(0).numpy(), scores.column[0].numpy()
        return [tags[column == place] for place in range(len(rows))]


def options_of(scene: TaggingScene) -> EpisodeOptions:
    """Episodes of the scene's sizes; the dev set is as small as can be, for the Trainer measures none."""
    labelled, pool = len(scene.labelled), len(scene.labelled) + len(scene.unlabelled)
    return EpisodeOptions(
        pool_size=pool,
        dev_size=2,
        initial_size=labelled,
        budget=float(len(scene.unlabelled)),
        batch_size=scene.query,
    )


def f1(scene: TaggingScene, predicted: Sequence[_Ids]) -> float:
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


def timed(play: Callable[[], _Ids]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, own = time.perf_counter(), time.process_time()
    play()
    return time.perf_counter() - wall, time.process_time() - own


def measure(corpus: Corpus, given: argparse.Namespace) -> dict[str, Any]:
    """Play the contestants in turn."""
    settings = FineTuneSettings(
        epochs=given.epochs, batch_size=16, learning_rate=given.rate, max_length=given.max_length,
    )  # fmt: skip
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    test = corpus.ids("test")[: given.test]
    sizes = TaggingScene(
        corpus,
        np.zeros(given.labels, np.int64),
        np.zeros(given.pool - given.labels, np.int64),
        test,
        settings,
        20,
    )
    ours = {name: OurTagger(sizes, vectors, method) for name, method in OURS.items()}
    first = next(iter(ours.values()))
    first.engine.reset([Streams(0)])
    draw = first.engine.draw_of(0)
    scene = TaggingScene(corpus, draw.initial, np.setdiff1d(draw.pool, draw.initial), test, settings, 20)
    with tempfile.TemporaryDirectory() as folder:
        peer = TrainerTagger(scene, folder)
        contestants: dict[str, TrainerTagger | OurTagger] = {TRAINER: peer, **ours}
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(given.repeats + 1):  # the first one warms up
            for name, contestant in contestants.items():
                seconds[name].append(timed(contestant.round))
        scores = {name: f1(scene, contestant.predicted(test)) for name, contestant in contestants.items()}
    words = int(sum(len(corpus.targets[row]) for row in scene.labelled))
    lines: list[dict[str, Any]] = []
    for name, all_times in seconds.items():
        wall, own = (float(np.median([times[kind] for times in all_times[1:]])) for kind in range(2))
        lines.append(
            {
                "contestant": name,
                "wall": round(wall, 2),
                "processor": round(own, 2),
                "f1": round(scores[name], 4),
            }
        )
    peer_line = lines[0]
    for line in lines:
        line["ratio"] = round(peer_line["processor"] / line["processor"], 2)
    return {
        "corpus": corpus.name, "labelled sentences": given.labels, "labelled words": words,
        "pool": given.pool,
        "epochs": given.epochs, "repeats": given.repeats, "machine": describe_device(torch.device("cpu")),
        "lines": lines,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="name or folder of tagged sentences")
    parser.add_argument("--max-rows", type=int, default=3000)
    parser.add_argument("--labels", type=int, default=100, help="labelled sentences")
    parser.add_argument("--pool", type=int, default=500)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for tagging-rounds-CORPUS.json")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    corpus = load_corpus(given.corpus, max_rows=given.max_rows)
    found = measure(corpus, given)
    write_atomically(given.out / f"tagging-rounds-{corpus.name}.json", canonical_json(found, indent=1) + "\n")
    for line in found["lines"]:
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
