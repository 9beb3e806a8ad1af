"""Where should a round begin: from the pretrained weights, from the last round's, or from a mix of both?

``python -m react_rl.experiments.benchmarks.finetune.restarts --corpora data/subj crowd_tweets --out DIR``
lets all three learn the same randomly drawn labels, round by round, and compares the dev accuracy. The
default of ``FineTuneSettings.restart`` rests on it.

Source: Ash & Adams 2020, On warm-starting neural network training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Final, get_args

import numpy as np

from react_rl.acquisition import make_strategy
from react_rl.envs.batched import episode_streams
from react_rl.experiments.benchmarks.harness import MeasuredLines, benchmark_parser, embedded, run_benchmark
from react_rl.learners.finetune.settings import FineTuneSettings, Restart
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.play import play

OPTIONS: Final = EpisodeOptions(pool_size=250, dev_size=400, initial_size=20, budget=60, batch_size=20)


def curves(corpus: EncodedCorpus, restart: Restart, seeds: int) -> tuple[np.ndarray, float]:
    """Dev accuracy after each round ``(rounds + 1, seeds)``, and the seconds of processor."""
    settings = FineTuneSettings(
        method="full", layers=3, learning_rate=3e-4, epochs=10, max_length=64, restart=restart
    )
    return dev_curves(corpus, settings, "random", OPTIONS, range(seeds))


def dev_curves(
    corpus: EncodedCorpus,
    settings: FineTuneSettings,
    strategy: str,
    options: EpisodeOptions,
    seeds: Sequence[int],
) -> tuple[np.ndarray, float]:
    """Dev accuracy of rows chosen by a strategy ``(rounds + 1, seeds)``, and the seconds of processor."""
    started = time.process_time()
    engine = LabelingEngine([corpus], options, len(seeds), learner=settings)
    engine.reset([episode_streams(seed, corpus.name) for seed in seeds], None, [0] * len(seeds))
    chooser = make_strategy(strategy)
    values = [engine.current["accuracy"].copy()]
    values += [turn.round.metrics["accuracy"] for turn in play(engine, chooser)]
    return np.stack(values), time.process_time() - started


def benchmark(asked: argparse.Namespace) -> str:
    """Let every kind of restart learn on every corpus."""
    lines = MeasuredLines(asked.out / "restarts.json")
    for name in asked.corpora:
        corpus = embedded(name, 2000)
        for restart in get_args(Restart):
            values, seconds = curves(corpus, restart, asked.seeds)
            # Accuracies after equal shares of the budget: their mean is the area under the curve.
            area = ((values[1:] + values[:-1]) / 2).mean(0)
            lines.add(
                {
                    "corpus": corpus.name, "restart": restart,
                    "area": [round(float(v), 4) for v in area],
                    "final": [round(float(v), 4) for v in values[-1]],
                    "processor_seconds": round(seconds, 1),
                }
            )  # fmt: skip
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "restarts", files="folder for restarts.json")
    parser.add_argument("--corpora", nargs="+", required=True, help="names or folders")
    parser.add_argument("--seeds", type=int, default=6, help="episodes side by side")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
