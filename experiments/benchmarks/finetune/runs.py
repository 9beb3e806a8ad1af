"""Playing a scene round by round, with times, and the file that one run leaves.

Runs in the peers' environment too, and so imports nothing of ours but the protocol beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING or __package__:
    from react_rl.experiments.benchmarks.finetune.protocol import (
        Ids,
        ProtocolError,
        Scene,
        read_file,
        write_file,
    )
else:  # imported by a script, in an environment without react_rl
    from protocol import Ids, ProtocolError, Scene, read_file, write_file


class Contestant(Protocol):
    """One learner in its own active-learning loop; every id is a row id of the train split."""

    name: str
    parts: dict[str, float]
    """Seconds of steps worth naming, summed over the run: all but ``set-up`` are within the rounds' times."""
    settings: dict[str, Any]
    """What it says about how it trains and predicts."""

    def update(self, ids: Ids, targets: Ids) -> None:
        """Add labelled rows and train from the pretrained weights on all that are labelled."""
        ...

    def query(self, n: int) -> Ids:
        """Predict the unlabelled rows and return the ``n`` with the smallest margins."""
        ...

    def predict_test(self) -> Ids:
        """Return the predicted class of every test row."""
        ...


@dataclass(frozen=True)
class TimedRound:
    """What one round took and reached; round 0 trains on the initial rows and queries nothing.

    Args:
        labelled: Labelled rows after buying.
        steps: Optimiser's steps of the training.
        bought: Row ids bought in this round.
        accuracy: On the test rows, after training.
        query_seconds: Prediction of the pool and choice.
        update_seconds: Training, from loading the pretrained weights on.
        test_seconds: Prediction of the test rows.
        query_processor_seconds: The same in seconds of processor, which other processes disturb less.
        update_processor_seconds: Likewise.
        test_processor_seconds: Likewise.
    """

    labelled: int
    steps: int
    bought: list[int]
    accuracy: float
    query_seconds: float
    update_seconds: float
    test_seconds: float
    query_processor_seconds: float
    update_processor_seconds: float
    test_processor_seconds: float


@dataclass(frozen=True)
class Run:
    """One contestant on one scene.

    Args:
        contestant: Its name.
        corpus: The scene's.
        seed: The scene's.
        scene: The scene's digest.
        threads: Threads it was given.
        timing: Whether the machine was meant to be quiet, so that the seconds count.
        rounds: Round 0 and those after it.
        parts: See ``Contestant.parts``.
        settings: See ``Contestant.settings``.
        versions: Packages and their versions.
    """

    contestant: str
    corpus: str
    seed: int
    scene: str
    threads: int
    timing: bool
    rounds: list[TimedRound]
    parts: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        """Write the run as JSON."""
        write_file(path, "run", asdict(self))

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a run.

        Raises:
            ProtocolError: The file is missing or holds something else.
        """
        content = read_file(path, "run")
        return cls(**{**content, "rounds": [TimedRound(**line) for line in content["rounds"]]})


def run_path(out: Path, scene: Scene, contestant: str, timing: bool) -> Path:
    """Return where the run of a contestant on a scene is written."""
    return out / f"{scene.corpus}-{contestant}-{scene.seed}{'-timing' if timing else ''}.json"


def is_finished(path: Path, scene: Scene) -> bool:
    """Whether the run is there.

    Raises:
        ProtocolError: A run of other rows or another recipe is there.
    """
    if not path.exists():
        return False
    if Run.load(path).scene != scene.digest:
        raise ProtocolError(
            f"{str(path)!r} holds a run of another scene; move it away or name another --out."
        )
    return True


def play(scene: Scene, contestant: Contestant, rounds: int | None = None) -> Iterator[TimedRound]:
    """Play a scene and time every round.

    Args:
        scene: The rows and the recipe.
        contestant: Fresh: nothing labelled yet.
        rounds: Rounds of querying in place of the scene's.

    Raises:
        ProtocolError: The contestant buys a row twice, or one that is not in the pool, or too few.
    """
    labelled: set[int] = set()
    targets, answers = np.array(scene.pool.targets), np.array(scene.test.targets)
    for number in range((scene.sizes.rounds if rounds is None else rounds) + 1):
        start = _now()
        bought = contestant.query(scene.sizes.batch) if number else np.array(scene.initial, dtype=np.int64)
        queried = _now()
        wanted = scene.sizes.batch if number else scene.sizes.initial
        if len(set(bought.tolist()) - labelled) != wanted or len(bought) != wanted:
            raise ProtocolError(
                f"{contestant.name} was to buy {wanted} new rows in round {number}, but did not."
            )
        labelled |= set(bought.tolist())
        labels = targets[scene.pool.positions(bought)]
        asked = _now()
        contestant.update(bought, labels)
        updated = _now()
        predicted = contestant.predict_test()
        tested = _now()
        yield TimedRound(
            labelled=len(labelled),
            steps=scene.recipe.steps(len(labelled)),
            bought=bought.tolist(),
            accuracy=float((predicted == answers).mean()),
            query_seconds=queried[0] - start[0],
            update_seconds=updated[0] - asked[0],
            test_seconds=tested[0] - updated[0],
            query_processor_seconds=queried[1] - start[1],
            update_processor_seconds=updated[1] - asked[1],
            test_processor_seconds=tested[1] - updated[1],
        )


def lowest_margins(probabilities: npt.NDArray[np.floating[Any]], n: int) -> Ids:
    """Return the rows of ``probabilities`` (rows, classes) whose two largest values are closest together."""
    top = np.partition(probabilities, -2, axis=1)
    return np.asarray(np.argsort(top[:, -1] - top[:, -2], kind="stable")[:n], dtype=np.int64)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
