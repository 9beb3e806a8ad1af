"""The pool of the selection benchmark: clustered unit vectors made from a seed, as large as wanted.

Made once, written to a folder, and read by every contestant, ours and the peers'.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.data.corpus import DEV, TRAIN, Corpus
from react_rl.encoders.neighbours import nearest_neighbours
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation.draw import draw_episode
from react_rl.simulation.encoded import DENSITY_NEIGHBOURS, EncodedCorpus
from react_rl.simulation.options import EpisodeOptions

DEV_ROWS: Final = 500
_BLOCK: Final = 1 << 14
EXACT_DENSITY: Final = 200_000
"""Rows up to which the density is exact; it is quadratic, and of larger pools it is taken from a sample."""

_SAMPLE: Final = 5_000


@dataclass(frozen=True)
class PoolPlan:
    """What the pool looks like.

    Args:
        rows: Rows of the pool, the labelled ones included.
        dimensions: Length of an embedding.
        classes: Classes.
        labelled: Rows labelled before the selection.
        batch: Rows to select.
        round: Which round's selection is measured; those before buy by the same strategy, a batch each.
        seed: Makes the vectors and draws the labelled rows.
    """

    rows: int = 100_000
    dimensions: int = 384
    classes: int = 10
    labelled: int = 150
    batch: int = 100
    round: int = 1
    seed: int = 0

    @property
    def options(self) -> EpisodeOptions:
        """The episode one of whose batches is selected."""
        return EpisodeOptions(
            pool_size=self.rows,
            dev_size=DEV_ROWS,
            initial="stratified",
            initial_size=self.labelled,
            budget=float(self.batch * self.round),
            batch_size=self.batch,
        )

    @property
    def streams(self) -> Streams:
        """Streams of the one episode."""
        return Streams(entropy_of(self.seed, "selection benchmark"))


def make_vectors(plan: PoolPlan, rows: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Make unit vectors ``(rows, D)`` and their classes ``(rows,)``.

    A row is a common direction (sentence embeddings share one), its class, its topic (20 for each class,
    of sizes that fall like 1 / rank) and noise whose variance falls along the coordinates.
    """
    rng = np.random.default_rng(entropy_of(plan.seed, "selection vectors"))
    dimensions, topics = plan.dimensions, 20 * plan.classes
    size = (1.0 + np.arange(dimensions) / 40.0) ** -0.5
    size /= np.sqrt(np.square(size).sum())
    common, classes, subjects = (
        rng.standard_normal((k, dimensions)) * size for k in (1, plan.classes, topics)
    )
    share = 1.0 / (1.0 + np.arange(topics) % 20)
    topic = rng.choice(topics, size=rows, p=share / share.sum())
    target = (topic // 20).astype(np.int64)
    centre = (0.6 * common + 0.45 * classes[np.arange(topics) // 20] + 0.6 * subjects).astype(np.float32)
    vectors = np.empty((rows, dimensions), dtype=np.float32)
    for start in range(0, rows, _BLOCK):
        part = slice(start, min(start + _BLOCK, rows))
        noise = rng.standard_normal((part.stop - part.start, dimensions), dtype=np.float32)
        vectors[part] = centre[topic[part]] + noise * size.astype(np.float32)
        vectors[part] /= np.linalg.norm(vectors[part], axis=1, keepdims=True)
    return vectors, target


def write_pool(plan: PoolPlan, folder: Path) -> None:
    """Write vectors, classes, density and the ids of the draw into ``folder``."""
    rows = plan.rows + DEV_ROWS
    vectors, targets = make_vectors(plan, rows)
    corpus = corpus_of(plan, targets)
    train = corpus.ids("train")
    neighbours = min(DENSITY_NEIGHBOURS, train.size - 1)
    density = np.zeros(rows, dtype=np.float32)
    if plan.rows <= EXACT_DENSITY:
        density[train] = nearest_neighbours(vectors, neighbours, rows=train, device="cpu").density
    else:
        density[train] = _sampled_density(vectors[: plan.rows], neighbours)
    # Only ids are drawn, so that nothing else of the engine is needed here.
    bare = EncodedCorpus(corpus, torch.empty(0, plan.dimensions), *(torch.empty(0),) * 2)
    draw = draw_episode([bare], plan.options, plan.streams, 0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[Any]] = {
        "vectors": vectors,
        "targets": targets,
        "density": density,
        "initial": draw.initial,
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "plan.json").write_text(json.dumps(asdict(plan)))


def read_plan(folder: Path) -> PoolPlan:
    """Read what the pool in ``folder`` was made from."""
    return PoolPlan(**json.loads((folder / "plan.json").read_text()))


def _sampled_density(vectors: npt.NDArray[np.float32], neighbours: int) -> npt.NDArray[np.float32]:
    """Mean similarity of each row to its nearest rows of an evenly spaced sample."""
    sample = torch.from_numpy(vectors[:: max(1, len(vectors) // _SAMPLE)])
    parts = [
        (torch.from_numpy(vectors[start : start + _BLOCK]) @ sample.T).topk(neighbours, dim=1).values.mean(1)
        for start in range(0, len(vectors), _BLOCK)
    ]
    return torch.cat(parts).numpy()


def corpus_of(plan: PoolPlan, targets: npt.NDArray[np.int64]) -> Corpus:
    """A corpus whose train rows are the pool and whose last rows are the dev set."""
    rows = targets.size
    split = np.full(rows, TRAIN, dtype=np.uint8)
    split[plan.rows :] = DEV
    return Corpus(
        name="made",
        task="classification",
        texts=tuple(map(str, range(rows))),
        targets=targets,
        label_names=tuple(map(str, range(plan.classes))),
        split=split,
        cost=np.ones(rows),
    )


def read_corpus(plan: PoolPlan, folder: Path) -> EncodedCorpus:
    """Read what ``write_pool`` wrote as an encoded corpus, without making the density again."""
    vectors, targets, density = (np.load(folder / f"{n}.npy") for n in ("vectors", "targets", "density"))
    corpus = corpus_of(plan, targets)
    return EncodedCorpus(
        corpus,
        torch.from_numpy(vectors),
        torch.from_numpy(density),
        torch.ones(targets.size, dtype=torch.float64),
    )
