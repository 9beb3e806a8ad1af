"""Labelling rounds per second: our engine against small-text and scikit-activeml, in one run.

``python -m react_rl.experiments.benchmarks.rounds`` writes the files of results/benchmarks/rounds. A round
is: query 5 rows by margin, buy their labels, refit, measure the accuracy on 500 dev rows.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from react_rl.data.registry import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError, unknown
from react_rl.experiments.benchmarks.contestants import (
    PEERS,
    PENALTIES,
    OurEngine,
    Peer,
    PeerProcess,
    PlayedSeeds,
    RoundsContestant,
    RoundsScene,
    start_of,
)
from react_rl.experiments.benchmarks.harness import benchmark_parser, in_turns, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, read_bandwidth
from react_rl.experiments.benchmarks.rounds_report import RoundsLine, write_report
from react_rl.metrics.curves import area_under_curve
from react_rl.simulation.encoded import EncodedCorpus, encode, synthetic_encoded
from react_rl.simulation.options import EpisodeOptions

SHARES: Final = (0.7, 0.25, 0.05)
"""Train, dev and test: the dev split must hold 500 rows also of a small corpus."""

SCENES: Final[dict[str, tuple[tuple[str, int, int | None], ...]]] = {
    "bbc_news": (("bbc_news", 500, None), ("crowd_tweets", 5000, 8000)),
    "synthetic": (("synthetic", 500, 4000),),
}
"""For each value of ``--corpus``: built-in corpus, pool size, and rows kept of it (None: all)."""


@dataclass(frozen=True)
class RoundsPlan:
    """How much is measured.

    Args:
        repeats: Times that every contestant takes its turn.
        seeds: Paired seeds for the areas.
        episodes: Numbers of episodes of our engine.
        threads: Thread counts.
        least_seconds: A turn plays until its rounds took this long.
        pool_size: Pool size in place of the scene's, or None.
        dev_size: Dev rows.
    """

    repeats: int = 8
    seeds: int = 32
    episodes: tuple[int, ...] = (1, 16, 64, 256)
    threads: tuple[int, ...] = (1, 2)
    least_seconds: float = 0.25
    pool_size: int | None = None
    dev_size: int = 500


QUICK: Final = RoundsPlan(
    repeats=2, seeds=4, episodes=(1, 4), threads=(1,), least_seconds=0.0, pool_size=120, dev_size=60
)


@dataclass
class Tally:
    """What one contestant did in one scene with one number of threads."""

    rates: list[float] = field(default_factory=list)
    rates_with_start: list[float] = field(default_factory=list)
    played: PlayedSeeds = field(default_factory=PlayedSeeds)

    def add(self, played: PlayedSeeds) -> None:
        """Note one turn. Mutates."""
        self.rates.append(played.rounds / played.seconds)
        self.rates_with_start.append(played.rounds / (played.seconds + played.start_seconds))
        self.played.add(played)


def make_scene(name: str, pool_size: int, max_rows: int | None, plan: RoundsPlan) -> RoundsScene:
    """Load and encode a corpus and say what its episodes look like."""
    if name == "synthetic":
        encoded = synthetic_encoded(n_rows=max_rows or 600)
    else:
        corpus = load_corpus(name, shares=SHARES, max_rows=max_rows)
        encoded = encode(corpus, TextEncoder(), ArrayCache())
    # The benchmark runs on the processor, where the peers run.
    encoded = EncodedCorpus.build(encoded.corpus, encoded.embeddings.cpu().numpy())
    options = EpisodeOptions(
        pool_size=plan.pool_size or pool_size,
        dev_size=plan.dev_size,
        initial_size=10,
        budget=80,
        batch_size=5,
    )
    return RoundsScene(encoded, options, plan.seeds)


def measure(
    scene: RoundsScene,
    contestants: Sequence[RoundsContestant],
    plan: RoundsPlan,
    threads: int,
    progress: bool = True,
) -> list[Tally]:
    """Let the contestants take turns, so that what else the machine does meets them all alike."""
    chunks = np.array_split(np.arange(plan.seeds), plan.repeats)

    def turn_of(contestant: RoundsContestant, turn: int) -> PlayedSeeds:
        if turn == 0:
            return contestant.play([0])
        some = [int(seed) for seed in chunks[turn - 1]] or [(turn - 1) % plan.seeds]
        seeds = list(range(plan.seeds)) if contestant.episodes > 1 else some
        played = contestant.play(seeds)
        while played.seconds < plan.least_seconds:
            played.add(contestant.play(seeds))
        if progress:
            print(
                f"\rpool {scene.options.pool_size}, {threads} thread(s), turn {turn}/{plan.repeats}: "
                f"{contestant.name} x{contestant.episodes} {played.rounds / played.seconds:,.0f} rounds/s   ",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip
        return played

    plays = {place: partial(turn_of, one) for place, one in enumerate(contestants)}
    found = in_turns(plays, plan.repeats)
    if progress:
        print(file=sys.stderr)
    tallies = [Tally() for _ in contestants]
    for tally, turns in zip(tallies, found.values(), strict=True):
        for played in turns:
            tally.add(played)
    return tallies


def check_draws(scene: RoundsScene, tallies: Sequence[Tally]) -> None:
    """Check that every contestant started from the same labels and bought rows of its pool once.

    Raises:
        ReActError: It did not, so that the areas could not be compared.
    """
    size = scene.options.initial_size
    for seed in range(scene.seeds):
        starts = [start_of(tally.played, seed, size) for tally in tallies]
        sizes = {len(set(tally.played.ids[seed])) for tally in tallies}
        if any((start != starts[0]).any() for start in starts) or sizes != {
            size + scene.rounds * scene.options.batch_size
        }:
            raise ReActError(f"The contestants did not play the same episode for seed {seed}.")


def lines_of(
    scene: RoundsScene, threads: int, contestants: Sequence[RoundsContestant], tallies: Sequence[Tally]
) -> list[RoundsLine]:
    """Sum up one scene with one number of threads."""
    spent = np.arange(scene.rounds + 1) * scene.options.batch_size
    areas = [
        np.array([area_under_curve(spent, tally.played.accuracy[s]) for s in range(scene.seeds)])
        for tally in tallies
    ]
    peers = [p for p, contestant in enumerate(contestants) if not isinstance(contestant, OurEngine)]
    fastest = max((float(np.median(tallies[p].rates)) for p in peers), default=None)
    best = max(peers, key=lambda p: float(areas[p].mean()), default=None)
    lines = []
    for contestant, tally, area in zip(contestants, tallies, areas, strict=True):
        median = float(np.median(tally.rates))
        gap = None if best is None else area - areas[best]
        lines.append(
            RoundsLine(
                corpus=scene.encoded.name,
                dimensions=int(scene.encoded.embeddings.shape[1]),
                classes=scene.encoded.corpus.n_classes,
                pool_size=scene.options.pool_size,
                threads=threads,
                contestant=contestant.name,
                episodes=contestant.episodes,
                rounds_per_second=median,
                slowest_turn=min(tally.rates),
                fastest_turn=max(tally.rates),
                with_start=float(np.median(tally.rates_with_start)),
                ratio_to_faster_peer=None if fastest is None else median / fastest,
                area=float(area.mean()),
                area_error=float(area.std(ddof=1) / np.sqrt(area.size)),
                area_minus_best_peer=None if gap is None else float(gap.mean()),
                area_minus_best_peer_error=None
                if gap is None
                else float(gap.std(ddof=1) / np.sqrt(gap.size)),
            )
        )
    return lines


def run(
    corpus: str, out: Path, peer_python: Path | None, plan: RoundsPlan, progress: bool = True
) -> list[RoundsLine]:
    """Measure every scene with every number of threads and write the files into ``out``.

    Raises:
        ReActError: The corpus is unknown or absent, or the peers do not run.
    """
    if corpus not in SCENES:
        raise unknown("benchmark corpus", corpus, SCENES)
    machine: dict[str, Any] = describe_machine()
    threads_before = torch.get_num_threads()
    lines: list[RoundsLine] = []
    try:
        torch.set_num_threads(1)
        machine["read_bandwidth_gb_s"] = round(read_bandwidth(), 1)
        for name, pool_size, max_rows in SCENES[corpus]:
            torch.set_num_threads(threads_before)
            scene = make_scene(name, pool_size, max_rows, plan)
            for threads in plan.threads:
                torch.set_num_threads(threads)
                lines += _run_scene(scene, peer_python, plan, threads, machine, progress)
    finally:
        torch.set_num_threads(threads_before)
    write_report(out, lines, machine, plan.repeats, plan.seeds)
    return lines


def _run_scene(
    scene: RoundsScene,
    peer_python: Path | None,
    plan: RoundsPlan,
    threads: int,
    machine: dict[str, Any],
    progress: bool,
) -> list[RoundsLine]:
    contestants: list[RoundsContestant] = [OurEngine(scene, episodes) for episodes in plan.episodes]
    with ExitStack() as stack:
        if peer_python is not None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "scene.npz"
            scene.save(data)
            process = stack.enter_context(PeerProcess(peer_python, data, threads))
            machine["peers"] = process.versions
            peers: list[RoundsContestant] = [
                Peer(process, scene, peer, c) for peer in PEERS for c in PENALTIES
            ]
            # Ours, peer, ours, peer: neighbours in time are rivals.
            order: list[RoundsContestant] = []
            for position in range(max(len(contestants), len(peers))):
                order += contestants[position : position + 1] + peers[position : position + 1]
            contestants = order
        tallies = measure(scene, contestants, plan, threads, progress)
    check_draws(scene, tallies)
    lines = lines_of(scene, threads, contestants, tallies)
    del contestants
    gc.collect()
    return lines


def benchmark(asked: argparse.Namespace) -> str:
    """Measure what was asked for, and write the files."""
    plan = QUICK if asked.quick else RoundsPlan()
    if asked.repeats is not None:
        plan = replace(plan, repeats=asked.repeats)
    if asked.threads is not None:
        plan = replace(plan, threads=tuple(asked.threads))
    if asked.peer_python is None:
        print(
            "The peers are left out, because --peer-python is not given; "
            "experiments/benchmarks/README.md says how to make their environment.",
            file=sys.stderr,
        )
    run(asked.corpus, asked.out, asked.peer_python, plan)
    text: str = (asked.out / "table.md").read_text()
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "rounds", "results/benchmarks/rounds", threads=False)
    parser.add_argument("--peer-python", type=Path, help="python of the environment that holds the peers")
    parser.add_argument("--corpus", default="bbc_news", help=f"one of: {', '.join(SCENES)}")
    parser.add_argument(
        "--repeats", type=int, help=f"turns of each contestant (default {RoundsPlan.repeats})"
    )
    parser.add_argument("--threads", type=int, nargs="+", help="thread counts (default 1 and 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
