"""Who takes part in the rounds benchmark: our engine in this process, the peers in a process of their own.

A contestant plays whole episodes of a scene and says how long the rounds took and what accuracy they
reached. The parent decides who plays when.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from react_rl.acquisition.registry import make_strategy
from react_rl.experiments.benchmarks.contestant_process import ContestantProcess
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation.draw import draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import play

PEERS: Final = ("small-text", "scikit-activeml")
PENALTIES: Final = (1.0, 10.0)
"""Values of ``C``: scikit-learn's default, and the one that equals our ``l2 = 0.1``."""

WORKER: Final = Path(__file__).with_name("peer_rounds.py")


def streams_of(seed: int) -> Streams:
    """Streams of one paired seed; every contestant's episode is drawn from the same ones."""
    return Streams(entropy_of(seed, "rounds benchmark"))


@dataclass(frozen=True)
class RoundsScene:
    """One corpus with the sizes of its episodes.

    Args:
        encoded: The corpus with its embeddings.
        options: Pool, dev, budget and batch.
        seeds: Paired seeds ``0 .. seeds - 1`` whose areas are compared.
    """

    encoded: EncodedCorpus
    options: EpisodeOptions
    seeds: int

    @property
    def rounds(self) -> int:
        """Rounds of one episode."""
        return int(self.options.budget // self.options.batch_size)

    def save(self, path: Path) -> None:
        """Write what the peers need: embeddings, labels and the ids of every paired draw."""
        draws = [draw_episode([self.encoded], self.options, streams_of(seed)) for seed in range(self.seeds)]
        np.savez(
            path,
            embeddings=self.encoded.embeddings.cpu().numpy(),
            targets=self.encoded.corpus.targets,
            pool=np.stack([draw.pool for draw in draws]),
            dev=np.stack([draw.dev for draw in draws]),
            initial=np.stack([draw.initial for draw in draws]),
            classes=np.array(self.encoded.corpus.n_classes),
            rounds=np.array(self.rounds),
            batch=np.array(self.options.batch_size),
        )


@dataclass
class PlayedSeeds:
    """Episodes that were played.

    Args:
        rounds: Rounds played, over all episodes.
        seconds: Time of these rounds: query, buy, refit, measure.
        start_seconds: Time before the first round: for us the draw, the set-up and the first fit; for the
            peers, whose draws are given to them, the set-up and the first fit.
        accuracy: Curve of each paired seed, the start included.
        ids: Row ids of the labelled set of each paired seed, in the order of buying.
    """

    rounds: int = 0
    seconds: float = 0.0
    start_seconds: float = 0.0
    accuracy: dict[int, list[float]] = field(default_factory=dict)
    ids: dict[int, list[int]] = field(default_factory=dict)

    def add(self, other: PlayedSeeds) -> None:
        """Count other episodes too. Mutates."""
        self.rounds += other.rounds
        self.seconds += other.seconds
        self.start_seconds += other.start_seconds
        self.accuracy.update(other.accuracy)
        self.ids.update(other.ids)


class RoundsContestant(Protocol):
    """One line of the table."""

    name: str
    episodes: int
    """Episodes played at once."""

    def play(self, seeds: Sequence[int]) -> PlayedSeeds:
        """Play one episode for each seed."""
        ...


class OurEngine:
    """Our engine with E episodes in lockstep.

    Args:
        scene: Corpus and sizes.
        episodes: E.
    """

    def __init__(self, scene: RoundsScene, episodes: int) -> None:
        self.name = "react-rl"
        self.episodes = episodes
        self._scene = scene
        self._engine = LabelingEngine([scene.encoded], scene.options, episodes)
        self._strategy = make_strategy("margin")

    def play(self, seeds: Sequence[int]) -> PlayedSeeds:
        """Play seeds E at a time; the last batch goes on counting from its last seed to be full."""
        played = PlayedSeeds()
        for first in range(0, len(seeds), self.episodes):
            some = list(seeds[first : first + self.episodes])
            some += range(some[-1] + 1, some[-1] + 1 + self.episodes - len(some))
            with self._engine.threads():
                played.add(self._play(some))
        return played

    def _play(self, seeds: list[int]) -> PlayedSeeds:
        engine = self._engine
        before = time.perf_counter()
        engine.reset([streams_of(seed) for seed in seeds])
        started = time.perf_counter()
        curves, bought = [engine.current["accuracy"]], []
        for turn in play(engine, self._strategy):
            curves.append(turn.round.metrics["accuracy"])
            bought.append(turn.round.ids)
        ended = time.perf_counter()
        accuracy, labelled = np.stack(curves, 1), np.concatenate(bought, 1)
        paired = [(e, seed) for e, seed in enumerate(seeds) if seed < self._scene.seeds]
        return PlayedSeeds(
            rounds=len(bought) * self.episodes,
            seconds=ended - started,
            start_seconds=started - before,
            accuracy={seed: accuracy[e].tolist() for e, seed in paired},
            ids={seed: [*engine.draw_of(e).initial.tolist(), *labelled[e].tolist()] for e, seed in paired},
        )


class PeerProcess(ContestantProcess):
    """The peers' worker; use as a context manager.

    Args:
        python: Interpreter of the peers' environment.
        data: File written by ``RoundsScene.save``.
        threads: Threads it may use.

    Raises:
        ReActError: The interpreter does not start the worker.
    """

    def __init__(self, python: Path, data: Path, threads: int) -> None:
        super().__init__([str(python), str(WORKER), str(data), str(threads)], threads)
        self.versions: dict[str, str] = self.hear()

    def __enter__(self) -> PeerProcess:
        return self

    def played(self, peer: str, c: float, seeds: Sequence[int]) -> dict[str, Any]:
        """Have a peer play the episodes of some seeds."""
        self.ask({"peer": peer, "c": c, "seeds": list(seeds)})
        return self.hear()


class Peer:
    """A peer with one penalty, played by a running worker.

    Args:
        process: The worker.
        scene: Corpus and sizes, the ones the worker was given.
        peer: One of ``PEERS``.
        c: scikit-learn's inverse penalty.
    """

    def __init__(self, process: PeerProcess, scene: RoundsScene, peer: str, c: float) -> None:
        self.name = f"{peer}, C={c:g}"
        self.episodes = 1
        self._process, self._scene, self._peer, self._c = process, scene, peer, c

    def play(self, seeds: Sequence[int]) -> PlayedSeeds:
        """Play one episode after another."""
        reply = self._process.played(self._peer, self._c, seeds)
        return PlayedSeeds(
            rounds=len(seeds) * self._scene.rounds,
            seconds=reply["seconds"],
            start_seconds=reply["start_seconds"],
            accuracy=dict(zip(seeds, reply["accuracy"], strict=True)),
            ids=dict(zip(seeds, reply["ids"], strict=True)),
        )


def start_of(played: PlayedSeeds, seed: int, initial_size: int) -> npt.NDArray[np.int64]:
    """Row ids labelled before the first round, ascending: the same for every contestant."""
    return np.sort(np.array(played.ids[seed][:initial_size], dtype=np.int64))
