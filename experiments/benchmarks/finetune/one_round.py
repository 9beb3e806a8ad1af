"""Seconds of one fine-tuning round on a device: training on the labels so far, and predicting the pool.

``python -m react_rl.experiments.benchmarks.finetune.one_round --device cuda --out DIR`` measures the same
round as ``--device cpu`` does: 5 epochs on 200 labels, then every row of the pool. The file is written again
after every line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import torch

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
from react_rl.learners.finetune import FineTuneSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "full": {"method": "full", "learning_rate": 1e-4},
    "top 2 layers": {"method": "full", "layers": 2, "learning_rate": 3e-4},
    "lora": {"method": "lora", "targets": "all", "learning_rate": 1e-3},
}
"""What is trained, by name."""

PRECISIONS: Final[tuple[Literal["bf16", "fp32"], ...]] = ("bf16", "fp32")


def seconds_of_round(
    corpus: EncodedCorpus, settings: FineTuneSettings, labels: int, pool: int, repeats: int
) -> dict[str, float]:
    """Train one episode on ``labels`` labels and predict its pool, ``repeats`` times after one to warm up.

    Returns:
        Seconds for training and measuring dev, seconds for predicting the pool (both the least of the
        repeats), and dev accuracy.
    """
    options = EpisodeOptions(pool_size=pool, dev_size=100, initial_size=labels, budget=1, batch_size=1)
    engine = LabelingEngine([corpus], options, 1, learner=settings)
    training, predicting = [], []
    for _ in range(repeats + 1):
        before = time.perf_counter()
        engine.reset([Streams(0)])
        wait_for(engine.device)
        trained = time.perf_counter()
        with torch.inference_mode():
            engine.view.margin.sum()
        wait_for(engine.device)
        training.append(trained - before)
        predicting.append(time.perf_counter() - trained)
    return {
        "training_seconds": min(training[1:]),
        "prediction_seconds": min(predicting[1:]),
        "dev_accuracy": float(engine.current["accuracy"].mean()),
    }


def benchmark(asked: argparse.Namespace) -> str:
    """Measure every kind of training in every precision."""
    corpus, device = encoded_corpus(asked, 4000), resolve_device(asked.device)
    lines = machine_lines(asked.out / f"one-round-{device.type}.json", device)
    for name, own in SETTINGS.items():
        for precision in PRECISIONS:
            settings = FineTuneSettings(
                **own, model=asked.model, epochs=5, max_length=asked.max_length, precision=precision
            )
            named = {
                "device": str(device), "corpus": corpus.name, "training": name, "precision": precision,
                "labels": asked.labels, "pool": asked.pool, "threads": asked.threads,
            }  # fmt: skip
            found = seconds_of_round(corpus, settings, asked.labels, asked.pool, asked.repeats)
            lines.add(named | rounded(found, 4))
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "one_round", files="folder for one-round-DEVICE.json")
    add_encoder(parser, "crowd_tweets")
    parser.add_argument("--labels", type=int, default=200, help="labels that are trained on")
    parser.add_argument("--pool", type=int, default=2000, help="rows that are predicted")
    parser.add_argument("--repeats", type=int, default=2, help="times; the least seconds count")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
