"""A fine-tuning round of ours against a loop of ``transformers.Trainer``: scene, contestants, timing.

Everyone trains on the same rows with the same recipe, predicts the unlabelled rows of the pool and chooses,
in turn, several times over, in one process. Processor seconds are given beside wall seconds: on a busy
machine they are what can be compared. The loop for a task is in ``tagging_rounds`` and ``question_rounds``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
import transformers

from react_rl.acquisition import make_strategy
from react_rl.data.corpus import Corpus
from react_rl.data.registry import load_corpus
from react_rl.encoders.checkpoints import locate
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.finetune.trainer_loop import TrainerRecipe, trained
from react_rl.experiments.benchmarks.harness import (
    MeasuredLines,
    Seconds,
    benchmark_parser,
    in_turns,
    run_benchmark,
    timed,
)
from react_rl.experiments.benchmarks.machine import describe_device
from react_rl.learners.finetune import FineTuneSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.draw import check_fit, draw_episode
from react_rl.simulation.held_out import HeldOut

Ids = npt.NDArray[np.int64]

TRAINER: Final = "Trainer"
QUERY: Final = 20
"""Rows that are chosen."""
_FEW: Final = 16
"""Labelled rows of a round that warms up."""


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
        task: Of the corpora.
        metric: Of the task.
        strategy: OurRound, which chooses as the peer does.
        peer: Makes the loop of ``transformers.Trainer`` from a scene and a folder for its files.
        ours: What else is changed in the recipe, by contestant.
    """

    task: str
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


class TrainerRound(ABC):
    """A round as a loop of ``transformers.Trainer`` plays it: a fresh model, ``train``, ``predict``, choose.

    Args:
        scene: The scene.
        folder: For files of the Trainer.
    """

    head: str
    """Class of transformers that makes the model."""

    def __init__(self, scene: RoundScene, folder: str) -> None:
        from transformers import AutoTokenizer

        self.scene, self._folder = scene, folder
        self._model = str(locate(scene.settings.model))
        self.tokenizer = AutoTokenizer.from_pretrained(self._model)
        self.trainer: Any = None

    def round(self) -> Ids:
        """Train a fresh model, predict the unlabelled rows, choose those with the smallest worth."""
        scene, settings = self.scene, self.scene.settings
        steps = settings.epochs * math.ceil(len(scene.labelled) / settings.batch_size)
        recipe = TrainerRecipe(
            settings.epochs, settings.batch_size, settings.learning_rate, int(settings.warmup * steps),
            settings.weight_decay, settings.clip,
        )  # fmt: skip
        model = getattr(transformers, self.head).from_pretrained(self._model, **self.sizes())
        self.trainer = trained(model, self.taught(scene.labelled), self.collator(), recipe, self._folder)
        best = np.argsort(self.sureness(scene.unlabelled), kind="stable")[:QUERY]
        chosen: Ids = scene.unlabelled[best]
        return chosen

    def sizes(self) -> dict[str, int]:
        """Sizes of the head, as transformers calls them."""
        return {}

    @abstractmethod
    def collator(self) -> Any:
        """What pads a batch."""

    @abstractmethod
    def taught(self, rows: Ids) -> list[dict[str, Any]]:
        """Rows with their targets, as the model reads them."""

    @abstractmethod
    def sureness(self, rows: Ids) -> npt.NDArray[np.float64]:
        """How sure the model is of each row; the least sure are chosen."""

    @abstractmethod
    def f1(self) -> float:
        """What the model of the last round reaches on the test rows."""


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


def seconds_of(warming: Callable[[], object], play: Callable[[], object], turn: int) -> Seconds:
    """Seconds of a round; turn 0 warms up."""
    return timed(play if turn else warming)[1]


def contestants_of(scene: RoundScene, contest: Contest, folder: str) -> dict[str, RoundPlayer]:
    """All by name, the Trainer first."""
    found: dict[str, RoundPlayer] = {TRAINER: contest.peer(scene, folder)}
    return found | {name: OurRound(scene, contest, changes) for name, changes in contest.ours.items()}


def measure(scene: RoundScene, contest: Contest, repeats: int) -> list[dict[str, Any]]:
    """Play the contestants in turn; a line for each, the Trainer's first. They warm up on a few rows."""
    few = replace(scene, labelled=scene.labelled[:_FEW], unlabelled=scene.unlabelled[: _FEW + QUERY])
    with tempfile.TemporaryDirectory() as folder:
        warming = contestants_of(few, contest, folder)
        contestants = contestants_of(scene, contest, folder)
        plays = {
            name: partial(seconds_of, warming[name].round, one.round) for name, one in contestants.items()
        }
        seconds = in_turns(plays, repeats)
        scores = {name: contestant.f1() for name, contestant in contestants.items()}
    lines: list[dict[str, Any]] = []
    for name, times in seconds.items():
        wall, own = np.median(np.array(times), axis=0).tolist()
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
    contest: Contest, name: str, arguments: Sequence[str] | None, description: str | None, **usual: Any
) -> int:
    """Measure a contest; returns the exit status.

    Args:
        contest: The task.
        name: Of the program; the result goes to ``NAME-CORPUS.json`` with hyphens.
        arguments: Of the command; None takes the process's.
        description: Of the program.
        usual: Defaults of the arguments.
    """
    parser = benchmark_parser(description, name, files=f"folder for {name.replace('_', '-')}-CORPUS.json")
    parser.add_argument("--corpus", required=True, help="name, file or folder")
    sizes = {"max-rows": 3000, "labels": 100, "pool": 500, "test": 500, "epochs": 10, "batch-size": 16}
    for option, value in (sizes | {"max-length": 128, "repeats": 3}).items():
        parser.add_argument(f"--{option}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate")
    parser.add_argument("--top-rate", type=float, help="of the top layers alone; --rate without it")
    parser.set_defaults(**usual)
    return run_benchmark(parser, arguments, lambda asked: benchmark(contest, name, asked))


def benchmark(contest: Contest, name: str, asked: argparse.Namespace) -> str:
    """Play the contest and write its file."""
    transformers.logging.set_verbosity_error()
    corpus = load_corpus(asked.corpus, max_rows=asked.max_rows)
    if corpus.task != contest.task:
        raise ReActError(f"{asked.corpus} is a corpus of {corpus.task}; name one of {contest.task}.")
    about = {
        "corpus": corpus.name, "labelled": asked.labels, "pool": asked.pool, "test": asked.test,
        "epochs": asked.epochs, "batch size": asked.batch_size, "learning rate": asked.rate,
        "learning rate of the top layers": asked.top_rate or asked.rate,
        "max length": asked.max_length, "repeats": asked.repeats,
        "machine": describe_device(torch.device("cpu")),
    }  # fmt: skip
    if asked.top_rate is not None:
        tops = {"learning_rate": asked.top_rate}
        ours = {name: {**one, **(tops if "layers" in one else {})} for name, one in contest.ours.items()}
        contest = replace(contest, ours=ours)
    lines = MeasuredLines(asked.out / f"{name.replace('_', '-')}-{corpus.name}.json", about)
    for line in measure(drawn_scene(corpus, asked), contest, asked.repeats):
        lines.add(line)
    return ""
