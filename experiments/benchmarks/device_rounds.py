"""Labelling rounds per second of E episodes in lockstep, on a GPU or the CPU.

``python -m react_rl.experiments.benchmarks.device_rounds --device cuda --out DIR`` plays whole episodes on a
frozen encoder (10 initial labels, 16 rounds of 5, pool 500, 500 dev rows) with two strategies: margin, and
the mixture, which picks greedily. The file is written again after every line, so that a run may be cut off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from react_rl.acquisition import make_strategy
from react_rl.data.registry import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.transformer import EncoderSettings, TextEncoder, resolve_device
from react_rl.experiments.benchmarks.machine import describe_machine
from react_rl.files import canonical_json, write_atomically
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, encode, synthetic_encoded

STRATEGIES: Final = ("margin", "mixture")
OPTIONS: Final = EpisodeOptions(pool_size=500, dev_size=500, initial_size=10, budget=80, batch_size=5)
LEAST_SECONDS: Final = 1.0


def describe_device(device: torch.device) -> dict[str, Any]:
    """The machine, and the GPU where it is one."""
    machine = describe_machine()
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        machine["gpu"] = f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
    return machine


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="crowd_tweets", help="name, folder, or synthetic")
    parser.add_argument("--model", default="minilm", help="encoder: minilm, a folder, or a hub name")
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 16, 64, 256, 1024, 4096])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=LEAST_SECONDS, help="least time of a line")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder for rounds-DEVICE.json")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = resolve_device(given.device)
    options = OPTIONS
    if given.corpus == "synthetic":
        corpus = synthetic_encoded(device=device)
        options = options.model_copy(update={"pool_size": 200, "dev_size": 100})
    else:
        texts = TextEncoder(EncoderSettings(model=given.model, max_length=64, device=str(device)))
        corpus = encode(load_corpus(given.corpus, max_rows=4000), texts, ArrayCache(), device)
    found: dict[str, Any] = {"machine": describe_device(device), "lines": []}
    for episodes in given.episodes:
        for strategy in STRATEGIES:
            line = rounds_per_second(corpus, strategy, episodes, options, given.seconds)
            found["lines"].append(
                {
                    "device": str(device), "corpus": corpus.name, "strategy": strategy, "episodes": episodes,
                    "threads": given.threads, **{name: round(value, 6) for name, value in line.items()},
                }
            )  # fmt: skip
            print(found["lines"][-1], flush=True)
            write_atomically(given.out / f"rounds-{device.type}.json", canonical_json(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
