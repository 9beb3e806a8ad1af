"""What "the same training" means for every contestant of the fine-tuning benchmark: recipe, sizes, rows.

Needs numpy alone, so that it runs in the peers' environment too. ``python protocol.py --data DIR --out DIR``
draws the scenes, one file for each corpus and seed. How a scene is played and timed lives in ``runs``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FORMAT: Final = 1
Ids = npt.NDArray[np.int64]


class ProtocolError(Exception):
    """A mistake in the input: one sentence with the value seen, what is allowed and what to do."""


@dataclass(frozen=True)
class PeerTraining:
    """The training of one round, from the pretrained weights, with every parameter free.

    AdamW (betas .9 and .999, eps 1e-8) with decoupled weight decay that spares biases and layer norms; the
    learning rate rises linearly and falls linearly to zero; rows are shuffled in each epoch and the last
    batch may be short; the loss is the mean cross-entropy of the batch; no early stopping.

    Args:
        epochs: Passes over the labelled rows.
        batch_size: Rows of a step.
        learning_rate: Peak of the schedule.
        warm_up: Share of the steps in which the learning rate rises.
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient of all parameters.
        max_length: Tokens kept of a text, special tokens included.
    """

    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 3e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_length: int = 64

    def steps(self, labelled: int) -> int:
        """Return the optimiser's steps for a number of labelled rows."""
        return math.ceil(labelled / self.batch_size) * self.epochs

    def warm_up_steps(self, labelled: int) -> int:
        """Return the steps in which the learning rate rises."""
        return math.ceil(self.steps(labelled) * self.warm_up)


@dataclass(frozen=True)
class Sizes:
    """How many rows a scene has.

    Args:
        pool: Rows drawn from the train split, the initial ones included.
        test: Rows drawn from the test split.
        initial: Pool rows labelled at the start.
        rounds: Rounds of querying after it.
        batch: Rows queried in a round.
    """

    pool: int = 600
    test: int = 500
    initial: int = 25
    rounds: int = 10
    batch: int = 25

    @property
    def labels(self) -> int:
        """Labelled rows at the end."""
        return self.initial + self.rounds * self.batch


@dataclass(frozen=True)
class SceneRows:
    """Rows of one split.

    Args:
        ids: Row ids within the split, ascending.
        texts: Their texts.
        targets: Their classes, positions in ``Scene.classes``.
    """

    ids: list[int]
    texts: list[str]
    targets: list[int]

    def positions(self, ids: Sequence[int] | Ids) -> Ids:
        """Return where row ids are in these rows.

        Raises:
            ProtocolError: A row id is not among them.
        """
        found = np.searchsorted(self.ids, ids)
        known = np.append(self.ids, -1)[found] == np.asarray(ids)
        if not known.all():
            raise ProtocolError(
                f"Row {np.asarray(ids)[~known][0]} is not among the {len(self.ids)} rows of the scene; "
                "name row ids of the split, not positions."
            )
        return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True)
class Scene:
    """One corpus and one seed: all that a contestant is given.

    Args:
        corpus: Name of the corpus.
        seed: What the draw was made from.
        classes: Names of the classes.
        pool: Rows that may be bought.
        test: Rows on which accuracy is measured.
        initial: Row ids of the pool that are labelled at the start, ascending.
        sizes: How many of each.
        recipe: How every round is trained.
    """

    corpus: str
    seed: int
    classes: list[str]
    pool: SceneRows
    test: SceneRows
    initial: list[int]
    sizes: Sizes = field(default_factory=Sizes)
    recipe: PeerTraining = field(default_factory=PeerTraining)

    @property
    def digest(self) -> str:
        """SHA-256 of everything here: runs may be compared where it is the same."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the scene as JSON."""
        write_file(path, "scene", {"digest": self.digest, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> Scene:
        """Read a scene and check that it is whole.

        Raises:
            ProtocolError: The file is missing, holds something else, or was changed.
        """
        content = read_file(path, "scene")
        digest = content.pop("digest")
        parts = {"pool": SceneRows, "test": SceneRows, "sizes": Sizes, "recipe": PeerTraining}
        scene = cls(**{key: parts[key](**value) if key in parts else value for key, value in content.items()})
        if scene.digest != digest:
            raise ProtocolError(f"The scene {str(path)!r} was changed after it was drawn; draw it again.")
        return scene


def draw_scene(data: Path, corpus: str, seed: int, sizes: Sizes, recipe: PeerTraining) -> Scene:
    """Draw pool, initial and test rows of a corpus from a seed.

    Args:
        data: Folder with ``<corpus>/train.jsonl.gz`` and ``test.jsonl.gz``, rows ``{"text", "label"}``.
        corpus: Name of the folder.
        seed: Seed of numpy's generator; nothing else decides the draw.
        sizes: How many rows.
        recipe: Kept in the scene.

    Raises:
        ProtocolError: A file is missing or has too few rows, or the sizes do not fit together.
    """
    if sizes.labels > sizes.pool:
        raise ProtocolError(
            f"{sizes.initial} initial rows and {sizes.rounds} rounds of {sizes.batch} are {sizes.labels} "
            f"labels, but the pool has {sizes.pool} rows; enlarge the pool or play fewer rounds."
        )
    train, test = (_read_split(data / corpus / f"{split}.jsonl.gz") for split in ("train", "test"))
    for split, rows, wanted in (("train", train, sizes.pool), ("test", test, sizes.test)):
        if len(rows) < wanted:
            raise ProtocolError(
                f"The {split} split of {corpus!r} has {len(rows)} rows, but {wanted} are to be drawn; "
                "ask for fewer."
            )
    classes = sorted({label for _, label in train})
    generator = np.random.default_rng(seed)
    pool_ids = np.sort(generator.choice(len(train), sizes.pool, replace=False))
    initial = np.sort(generator.choice(pool_ids, sizes.initial, replace=False))
    test_ids = np.sort(generator.choice(len(test), sizes.test, replace=False))
    return Scene(
        corpus=corpus,
        seed=seed,
        classes=classes,
        pool=_take(train, pool_ids, classes),
        test=_take(test, test_ids, classes),
        initial=initial.tolist(),
        sizes=sizes,
        recipe=recipe,
    )


def _read_split(path: Path) -> list[tuple[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [(row["text"], row["label"]) for row in map(json.loads, file)]
    except FileNotFoundError:
        raise ProtocolError(f"There is no {str(path)!r}; name the folder of the corpora as --data.") from None


def _take(rows: list[tuple[str, str]], ids: Ids, classes: list[str]) -> SceneRows:
    taken = [rows[row] for row in ids]
    return SceneRows(ids.tolist(), [text for text, _ in taken], [classes.index(label) for _, label in taken])


def write_file(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a scene or a run as JSON, so that no half file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    whole = {"format": FORMAT, "kind": kind, **content}
    part.write_text(json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def read_file(path: Path, kind: str) -> dict[str, Any]:
    """Read what ``write_file`` wrote.

    Raises:
        ProtocolError: The file is missing or holds something else.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProtocolError(f"The {kind} {str(path)!r} cannot be read ({error}); make it again.") from error
    if (content.pop("format", None), content.pop("kind", None)) != (FORMAT, kind):
        raise ProtocolError(f"{str(path)!r} is no {kind} of format {FORMAT}; make it again.")
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the scenes of some corpora and seeds; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with <corpus>/train.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder for <corpus>-<seed>.json")
    parser.add_argument(
        "--corpora", nargs="+", default=["trec6", "ag_news"], help="names of folders in --data"
    )
    parser.add_argument("--seeds", type=int, default=5, help="scenes of a corpus")
    for name, value in (asdict(Sizes()) | asdict(PeerTraining())).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=" ")
    given = vars(parser.parse_args(arguments))
    sizes = Sizes(**{name: given[name] for name in asdict(Sizes())})
    recipe = PeerTraining(**{name: given[name] for name in asdict(PeerTraining())})
    try:
        for corpus in given["corpora"]:
            for seed in range(given["seeds"]):
                scene = draw_scene(given["data"], corpus, seed, sizes, recipe)
                scene.save(given["out"] / f"{corpus}-{seed}.json")
    except ProtocolError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
