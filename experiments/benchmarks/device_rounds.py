"""Labelling rounds per second of E episodes in lockstep, on a GPU or the CPU.

``python -m react_rl.experiments.benchmarks.device_rounds --device cuda --out DIR`` plays whole episodes on a
frozen encoder (10 initial labels, 16 rounds of 5, pool 500, 500 dev rows) with two strategies: margin, and
the mixture, which picks greedily. The file is written again after every line, so that a run may be cut off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Final

import torch

from react_rl.acquisition import make_strategy
from react_rl.encoders.transformer import resolve_device
from react_rl.experiments.benchmarks.harness import (
    add_encoder,
    benchmark_parser,
    encoded_corpus,
    machine_lines,
    rounded,
    run_benchmark,
)
from react_rl.experiments.benchmarks.machine import wait_for
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

STRATEGIES: Final = ("margin", "mixture")
OPTIONS: Final = EpisodeOptions(pool_size=500, dev_size=500, initial_size=10, budget=80, batch_size=5)
LEAST_SECONDS: Final = 1.0


def rounds_per_second(
    corpus: EncodedCorpus, strategy: str, episodes: int, options: EpisodeOptions, least: float
) -> dict[str, float]:
    """Play episodes until the rounds took ``least`` seconds.

    Returns:
        Rounds a second (E rounds are played in a step), seconds of one reset of all episodes for each of
        them, and mean dev accuracy at the end.
    """
    engine = LabelingEngine([corpus], options, episodes)
    query = make_strategy(strategy)
    seconds, started, rounds, resets, warm = 0.0, 0.0, 0, 0, False
    while not resets or seconds < least:
        before = time.perf_counter()
        engine.reset([Streams(seed) for seed in range(episodes)])
        wait_for(engine.device)
        begun = time.perf_counter()
        while not engine.finished.all():
            with torch.inference_mode():
                ids = query.select(engine.view, options.batch_size)
            engine.step(ids)
            rounds += episodes if warm else 0
        wait_for(engine.device)
        if warm:  # the first episode's allocations do not count
            seconds += time.perf_counter() - begun
            started += begun - before
            resets += 1
        warm = True
    return {
        "rounds_per_second": rounds / seconds,
        "reset_seconds_per_episode": started / resets / episodes,
        "dev_accuracy": float(engine.current["accuracy"].mean()),
    }


def benchmark(asked: argparse.Namespace) -> str:
    """Measure every strategy with every number of episodes."""
    corpus = encoded_corpus(asked, 4000)
    small = {"pool_size": 200, "dev_size": 100} if asked.corpus == "synthetic" else {}
    options, device = OPTIONS.model_copy(update=small), resolve_device(asked.device)
    lines = machine_lines(asked.out / f"rounds-{device.type}.json", device)
    for episodes in asked.episodes:
        for strategy in STRATEGIES:
            named = {
                "device": str(device), "corpus": corpus.name, "strategy": strategy, "episodes": episodes,
                "threads": asked.threads,
            }  # fmt: skip
            found = rounds_per_second(corpus, strategy, episodes, options, asked.seconds)
            lines.add(named | rounded(found, 6))
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "device_rounds", files="folder for rounds-DEVICE.json")
    add_encoder(parser, "crowd_tweets")
    parser.add_argument(
        "--episodes", type=int, nargs="+", default=[1, 16, 64, 256, 1024, 4096], help="in lockstep"
    )
    parser.add_argument("--seconds", type=float, default=LEAST_SECONDS, help="least time of a line")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
