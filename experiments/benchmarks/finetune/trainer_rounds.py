"""A fine-tuning round of ours against a loop of ``transformers.Trainer``: scene, contestants, timing.

Everyone trains on the same rows with the same recipe, predicts the unlabelled rows of the pool and chooses,
in turn, several times over, in one process. Processor seconds are given beside wall seconds: on a busy
machine they are what can be compared. The loop for a task is in ``tagging_rounds`` and ``question_rounds``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
import transformers

from react_rl.acquisition import make_strategy
from react_rl.data.corpus import Corpus
from react_rl.data.registry import load_corpus
from react_rl.experiments.benchmarks.device_rounds import describe_device
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.finetune import FineTuneSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.draw import check_fit, draw_episode
from react_rl.simulation.held_out import HeldOut

Ids = npt.NDArray[np.int64]

TRAINER: Final = "Trainer"
QUERY: Final = 20
"""Rows that are chosen."""


@dataclass(frozen=True)
class RoundScene:
    """What every contestant is given.

    Args:
        corpus: The corpus.
        labelled: Row ids that are trained on.
        unlabelled: Row ids that are predicted and chosen from.
        test: Row ids that the result is measured on.
        settings: Recipe, the method left open.
    """

    corpus: Corpus
    labelled: Ids
    unlabelled: Ids
    test: Ids
    settings: FineTuneSettings


class RoundPlayer(Protocol):
    """Someone who can play a round."""

    def round(self) -> Ids:
        """Train on the labelled rows, predict the unlabelled ones, choose."""
        ...

    def f1(self) -> float:
        """What the model of the last round reaches on the test rows."""
        ...


@dataclass(frozen=True)
class Contest:
    """What is particular about a task.

    Args:
        metric: Of the task.
        strategy: OurRound, which chooses as the peer does.
        peer: Makes the loop of ``transformers.Trainer`` from a scene and a folder for its files.
        ours: What else is changed in the recipe, by contestant.
    """

    metric: str
    strategy: str
    peer: Callable[[RoundScene, str], RoundPlayer]
    ours: Mapping[str, Mapping[str, Any]]


class OurRound:
    """An engine whose initial labelled set is the scene's.

    Args:
        scene: The scene.
        contest: The task.
        changes: What else is changed in the recipe.
    """

    def __init__(self, scene: RoundScene, contest: Contest, changes: Mapping[str, Any]) -> None:
        settings = FineTuneSettings.model_validate({**scene.settings.model_dump(), **changes})
        self._scene, self._contest = scene, contest
        self.engine = LabelingEngine(
            [encoded(scene.corpus)], options_of(scene), 1, [contest.metric], settings
        )

    def round(self) -> Ids:
        """Train from the pretrained weights, predict the unlabelled rows, choose."""
        self.engine.reset([Streams(0)])
        with torch.inference_mode():
            strategy = make_strategy(self._contest.strategy)
            chosen: Ids = strategy.select(self.engine.view, QUERY)[0].numpy()
        return chosen

    def f1(self) -> float:
        """F1 on the test rows."""
        name = self._contest.metric
        return float(HeldOut(self._scene.test).measure(self.engine, [name])[name][0])


def options_of(scene: RoundScene) -> EpisodeOptions:
    """Episodes of the scene's sizes; the dev set is as small as can be, for the Trainer measures none."""
    labelled, pool = len(scene.labelled), len(scene.labelled) + len(scene.unlabelled)
    return EpisodeOptions(
        pool_size=pool,
        dev_size=2,
        initial_size=labelled,
        budget=float(len(scene.unlabelled)),
        batch_size=QUERY,
    )


def trainer_arguments(scene: RoundScene, folder: str) -> Any:
    """The recipe in the words of transformers."""
    from transformers import TrainingArguments

    settings = scene.settings
    steps = settings.epochs * math.ceil(len(scene.labelled) / settings.batch_size)
    return TrainingArguments(
        folder,
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


def drawn_scene(corpus: Corpus, given: argparse.Namespace) -> RoundScene:
    """The rows that our engine draws with seed 0."""
    settings = FineTuneSettings(
        method="full",
        epochs=given.epochs,
        batch_size=given.batch_size,
        learning_rate=given.rate,
        max_length=given.max_length,
    )
    labelled, unlabelled = np.zeros(given.labels, np.int64), np.zeros(given.pool - given.labels, np.int64)
    sizes = RoundScene(corpus, labelled, unlabelled, corpus.ids("test")[: given.test], settings)
    check_fit(corpus, options_of(sizes))
    draw = draw_episode([encoded(corpus)], options_of(sizes), Streams(0), 0)
    return replace(sizes, labelled=draw.initial, unlabelled=np.setdiff1d(draw.pool, draw.initial))


def encoded(corpus: Corpus) -> EncodedCorpus:
    """A corpus with embeddings made up: nobody here looks at any."""
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    return EncodedCorpus.build(corpus, vectors)


def timed(play: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, own = time.perf_counter(), time.process_time()
    play()
    return time.perf_counter() - wall, time.process_time() - own


def measure(scene: RoundScene, contest: Contest, repeats: int) -> list[dict[str, Any]]:
    """Play the contestants in turn; a line for each, the Trainer's first."""
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, RoundPlayer] = {TRAINER: contest.peer(scene, folder)}
        contestants |= {name: OurRound(scene, contest, changes) for name, changes in contest.ours.items()}
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(repeats + 1):  # the first one warms up
            for name, contestant in contestants.items():
                seconds[name].append(timed(contestant.round))
        scores = {name: contestant.f1() for name, contestant in contestants.items()}
    lines: list[dict[str, Any]] = []
    for name, times in seconds.items():
        wall, own = np.median(np.array(times[1:]), axis=0).tolist()
        peer = lines[0]["processor"] if lines else own
        lines.append(
            {
                "contestant": name,
                "f1": round(scores[name], 4),
                "processor": round(own, 2),
                "ratio": round(peer / own, 2),
                "wall": round(wall, 2),
            }
        )
    return lines


def run(
    contest: Contest, prefix: str, arguments: Sequence[str] | None, description: str | None, **usual: Any
) -> int:
    """Measure a contest; returns the exit status.

    Args:
        contest: The task.
        prefix: The result goes to ``PREFIX-CORPUS.json``.
        arguments: Of the command; None takes the process's.
        description: Of the program.
        usual: Defaults of the arguments.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--corpus", required=True, help="name, file or folder")
    sizes = {"max-rows": 3000, "labels": 100, "pool": 500, "test": 500, "epochs": 10, "batch-size": 16}
    sizes |= {"max-length": 128, "repeats": 3, "threads": 1}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {prefix}-CORPUS.json")
    parser.set_defaults(**usual)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    corpus = load_corpus(given.corpus, max_rows=given.max_rows)
    scene = drawn_scene(corpus, given)
    lines = measure(scene, contest, given.repeats)
    found = {
        "corpus": corpus.name, "labelled": given.labels, "pool": given.pool, "test": given.test,
        "epochs": given.epochs, "batch size": given.batch_size, "learning rate": given.rate,
        "max length": given.max_length, "repeats": given.repeats,
        "machine": describe_device(torch.device("cpu")), "lines": lines,
    }  # fmt: skip
    write_atomically(given.out / f"{prefix}-{corpus.name}.json", canonical_json(found, indent=1) + "\n")
    for line in lines:
        print(line)
    return 0
