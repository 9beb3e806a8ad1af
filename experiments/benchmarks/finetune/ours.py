"""Our side of the fine-tuning benchmark: the learner of the labelling loop plays the peers' scenes.

``python -m react_rl.experiments.benchmarks.finetune.ours SCENE... --contestant ours-same --out DIR`` plays
scenes and writes one run for each, in the format of the peers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import TEST, TRAIN, Corpus
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.finetune.protocol import Ids, PeerTraining, ProtocolError, Scene
from react_rl.experiments.benchmarks.finetune.runs import Run, is_finished, lowest_margins, play, run_path
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.learners.finetune import FineTune, FineTuneSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.simulation.ledger import Ledger

Chooser = Callable[["Ours", int], npt.NDArray[np.int64]]
"""Picks positions of the pool."""


def same(recipe: PeerTraining) -> FineTuneSettings:
    """The recipe as it stands: every weight trained, the checkpoint's pooler in the head."""
    return FineTuneSettings(
        method="full",
        pooling="cls",
        head="dense",
        max_length=recipe.max_length,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warm_up,
        weight_decay=recipe.weight_decay,
        clip=recipe.clip_norm,
    )


def cached(recipe: PeerTraining) -> FineTuneSettings:
    """The upper half of the layers on cached hidden states, mean pooling, a linear head."""
    return same(recipe).model_copy(update={"layers": 3, "pooling": "mean", "head": "linear"})


def warm(recipe: PeerTraining) -> FineTuneSettings:
    """The upper third of the layers on cached hidden states; 16 steps on from the last round."""
    return cached(recipe).model_copy(update={"layers": 2, "restart": "warm", "steps": 16})


def own_margins(ours: Ours, n: int) -> npt.NDArray[np.int64]:
    """The rows that the fine-tuned model itself is least sure of."""
    return ours.least_sure(ours.scores(slice(0, ours.n_pool))[:, ours.unlabelled].T, n)


def frozen_margins(ours: Ours, n: int) -> npt.NDArray[np.int64]:
    """The rows that a linear head on frozen embeddings is least sure of; nothing is fine-tuned for it."""
    return ours.least_sure(ours.linear.logits_of(slice(0, ours.n_pool))[0][:, ours.unlabelled].T, n)


def at_random(ours: Ours, n: int) -> npt.NDArray[np.int64]:
    """Any rows."""
    return ours.generator.choice(ours.unlabelled, size=n, replace=False)


CONTESTANTS: Final[dict[str, tuple[Callable[[PeerTraining], FineTuneSettings], Chooser]]] = {
    "ours-same": (same, own_margins),
    "ours-cached": (cached, own_margins),
    "ours-warm": (warm, own_margins),
}


class Ours:
    """The fine-tuning learner in the loop of a scene.

    Args:
        name: Name of the contestant.
        scene: Rows and recipe.
        settings: How a round is trained.
        choose: How a batch is chosen.
        train: Whether bought rows are learned from; otherwise they are only noted.
    """

    def __init__(
        self, name: str, scene: Scene, settings: FineTuneSettings, choose: Chooser, train: bool = True
    ) -> None:
        self.name = name
        self.parts: dict[str, float] = {}
        self.settings: dict[str, Any] = settings.model_dump(mode="json")
        self._scene, self._choose, self._train = scene, choose, train
        self.n_pool, n_test = len(scene.pool.ids), len(scene.test.ids)
        width = self.n_pool + n_test
        targets = np.array(scene.pool.targets + scene.test.targets, dtype=np.int64)
        corpus = Corpus(
            name=scene.corpus,
            task="classification",
            texts=tuple(scene.pool.texts + scene.test.texts),
            targets=targets,
            label_names=tuple(scene.classes),
            split=np.array([TRAIN] * self.n_pool + [TEST] * n_test, dtype=np.uint8),
            cost=np.ones(width),
        )
        self._ledger = self._new_ledger()
        self._learner = FineTune([corpus], self._ledger, settings)
        self._learner.place(0, 0, torch.arange(width), torch.full((width,), -1))
        self._learner.start(torch.tensor([0]), torch.tensor([len(scene.classes)]), [scene.seed])
        self.unlabelled = np.arange(self.n_pool)
        self.generator = np.random.default_rng([scene.seed, 1])
        if choose is frozen_margins:
            encoder = TextEncoder(EncoderSettings(max_length=scene.recipe.max_length))
            vectors = torch.from_numpy(encoder.encode(corpus.texts, progress=False))
            self._similarity = vectors[: self.n_pool] @ vectors.T
            self._linear_ledger = self._new_ledger()
            self.linear = SoftmaxRegression(self._linear_ledger)
            self.linear.start(torch.tensor([0]), torch.tensor([len(scene.classes)]))

    def _new_ledger(self) -> Ledger:
        scene = self._scene
        return Ledger(1, len(scene.classes), self.n_pool + len(scene.test.ids), scene.sizes.labels)

    def scores(self, columns: slice) -> Tensor:
        """Class scores ``(C, columns)`` of the model as it stands."""
        found: Tensor = self._learner.logits_of(columns)[0]
        return found

    def least_sure(self, logits: Tensor, n: int) -> npt.NDArray[np.int64]:
        """Positions of the unlabelled rows with the smallest margins; ``logits`` are theirs ``(U, C)``."""
        return self.unlabelled[lowest_margins(torch.softmax(logits, 1).numpy(), n)]

    def update(self, ids: Ids, targets: Ids) -> None:
        """Buy rows and train."""
        columns = torch.from_numpy(self._scene.pool.positions(ids))[None]
        labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))[None]
        if self._choose is frozen_margins:
            similarity = self._similarity[columns[0]][None]
            self.linear.update(self._linear_ledger.append(torch.tensor([0]), columns, labels, similarity))
        self.unlabelled = np.setdiff1d(self.unlabelled, columns[0].numpy())
        if not self._train:
            return
        self._learner.update(self._ledger.append(torch.tensor([0]), columns, labels))

    def query(self, n: int) -> Ids:
        """Choose the next rows."""
        return np.array(self._scene.pool.ids, dtype=np.int64)[self._choose(self, n)]

    def predict_test(self) -> Ids:
        """Predicted classes of the test rows."""
        return np.asarray(self.scores(slice(self.n_pool, None)).argmax(0).numpy(), dtype=np.int64)


def benchmark(asked: argparse.Namespace) -> str:
    """Play the scenes that have no finished run yet."""
    try:
        for path in asked.scenes:
            scene = Scene.load(path)
            target = run_path(asked.out, scene, asked.contestant, asked.timing)
            if asked.timing or not is_finished(target, scene):
                played(scene, asked.contestant, asked.rounds, asked.threads, asked.timing).save(target)
    except ProtocolError as error:
        raise ReActError(str(error)) from None
    return ""


def played(scene: Scene, contestant: str, rounds: int | None, threads: int, timing: bool) -> Run:
    """Play one scene and print a line for every round."""
    make, choose = CONTESTANTS[contestant]
    ours, found = Ours(contestant, scene, make(scene.recipe), choose), []
    for one in play(scene, ours, rounds):
        found.append(one)
        print(
            f"{scene.corpus} {scene.seed} {ours.name}: {one.labelled} labels, {one.accuracy:.3f}", flush=True
        )
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "react-rl")}
    return Run(
        ours.name, scene.corpus, scene.seed, scene.digest, threads, timing, found, ours.parts, ours.settings,
        versions,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Play scenes; returns the exit status."""
    parser = benchmark_parser(__doc__, "ours", files="folder for the runs")
    parser.add_argument("scenes", type=Path, nargs="+", help="files that protocol.py drew")
    parser.add_argument("--contestant", choices=sorted(CONTESTANTS), required=True, help="who plays")
    parser.add_argument("--rounds", type=int, default=None, help="fewer rounds than the scene's")
    parser.add_argument("--timing", action="store_true", help="the machine is quiet: the seconds count")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
