"""Seconds of one fine-tuning round on a device: training on the labels so far, and predicting the pool.

``python -m react_rl.experiments.benchmarks.finetune.one_round --device cuda --out DIR`` measures the same
round as ``--device cpu`` does: 5 epochs on 200 labels, then every row of the pool. The file is written again
after every line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch

from react_rl.data.registry import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.transformer import EncoderSettings, TextEncoder, resolve_device
from react_rl.experiments.benchmarks.device_rounds import describe_device, wait_for
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.finetune import FineTuneSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, encode

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "full": {"method": "full", "learning_rate": 1e-4},
    "top 2 layers": {"method": "full", "layers": 2, "learning_rate": 3e-4},
    "lora": {"method": "lora", "targets": "all"},
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="crowd_tweets", help="name or folder")
    parser.add_argument("--model", default="minilm", help="minilm, a folder, or a hub name")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--pool", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder for one-round-DEVICE.json")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = resolve_device(given.device)
    texts = TextEncoder(EncoderSettings(model=given.model, max_length=given.max_length, device=str(device)))
    corpus = encode(load_corpus(given.corpus, max_rows=4000), texts, ArrayCache(), device)
    found: dict[str, Any] = {"machine": describe_device(device), "lines": []}
    for name, own in SETTINGS.items():
        for precision in PRECISIONS:
            settings = FineTuneSettings(
                **own, model=given.model, epochs=5, max_length=given.max_length, precision=precision
            )
            line = seconds_of_round(corpus, settings, given.labels, given.pool, given.repeats)
            found["lines"].append(
                {
                    "device": str(device), "corpus": corpus.name, "training": name, "precision": precision,
                    "labels": given.labels, "pool": given.pool, "threads": given.threads,
                    **{key: round(value, 4) for key, value in line.items()},
                }
            )  # fmt: skip
            print(found["lines"][-1], flush=True)
            write_atomically(
                given.out / f"one-round-{device.type}.json", canonical_json(found, indent=1) + "\n"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
