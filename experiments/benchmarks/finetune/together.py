"""Rounds per second of E fine-tuned episodes side by side against one after another.

``python -m react_rl.experiments.benchmarks.finetune.together --corpus data/trec6 --out DIR`` plays whole
rounds of the labelling loop (margin query, training, dev and pool predictions). On a GPU it adds memory and
the share of the chip's arithmetic that is used.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from typing import Any, Final

import torch

from react_rl.acquisition import make_strategy
from react_rl.encoders.transformer import resolve_device
from react_rl.experiments.benchmarks.harness import (
    MeasuredLines,
    add_encoder,
    benchmark_parser,
    encoded_corpus,
    rounded,
    run_benchmark,
)
from react_rl.learners.finetune import FineTune, FineTuneSettings
from react_rl.learners.finetune.training.store import padding_share
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "lora": {"method": "lora", "targets": "all", "learning_rate": 1e-3},
    "lora, top 2 layers": {"method": "lora", "targets": "all", "layers": 2, "learning_rate": 1e-3},
    "top 2 layers": {"method": "full", "layers": 2, "learning_rate": 1e-3},
}
"""What is trained, by name."""


def rounds_per_second(
    corpus: EncodedCorpus,
    name: str,
    episodes: int,
    options: EpisodeOptions,
    rounds: int,
    model: str,
    length: int,
) -> dict[str, float]:
    """Play ``rounds`` rounds of E episodes and measure them.

    Returns:
        Rounds a second (E rounds are played in a step), seconds of processor for a round, padding share,
        and peak memory in GiB (of the GPU, or of the process).
    """
    settings = FineTuneSettings(**SETTINGS[name], model=model, epochs=5, max_length=length)
    engine = LabelingEngine([corpus], options, episodes, learner=settings)
    engine.reset([Streams(seed) for seed in range(episodes)])
    margin = make_strategy("margin")
    cuda = engine.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    started, processor = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        with torch.inference_mode():
            ids = margin.select(engine.view, options.batch_size)
        engine.step(ids)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else _resident()
    learner = engine.learner
    assert isinstance(learner, FineTune)
    return {
        "rounds_per_second": episodes * rounds / seconds,
        "processor_seconds_per_round": (time.process_time() - processor) / episodes / rounds,
        "padding_share": padding_share(learner.stores),
        "memory_gib": memory,
    }


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def benchmark(asked: argparse.Namespace) -> str:
    """Measure every kind of training with every number of episodes."""
    corpus, device = encoded_corpus(asked, 2000), resolve_device(asked.device)
    options = EpisodeOptions(
        pool_size=asked.pool, dev_size=100, initial_size=20, budget=20 * asked.rounds, batch_size=20
    )
    lines = MeasuredLines(asked.out / f"together-{device.type}.json")
    # From few episodes to many: a run that is cut off has the whole of the smaller sizes.
    for episodes in asked.episodes:
        for name in SETTINGS:
            found = rounds_per_second(
                corpus, name, episodes, options, asked.rounds, asked.model, asked.max_length
            )
            named = {"training": name, "episodes": episodes, "device": str(device), "threads": asked.threads}
            lines.add(named | {"load": round(os.getloadavg()[0], 1)} | rounded(found, 4))
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "together", files="folder for together-DEVICE.json")
    add_encoder(parser, None)
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 4, 16], help="side by side")
    parser.add_argument("--pool", type=int, default=300, help="rows of a pool")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of 20 labels")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
