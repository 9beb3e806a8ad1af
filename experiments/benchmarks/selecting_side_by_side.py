"""How many rounds a second strategies select where many episodes run side by side, on one thread.

Processor seconds of ``select`` alone, the view's arrays included, as they are computed when first asked for;
labelling, refits and measuring are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

import torch

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.corpora import prepare

STRATEGIES: Final = ("margin", "mixture", "variance-reduction", "learned")


def rounds_per_second(
    corpus: EncodedCorpus, name: str, options: EpisodeOptions, episodes: int = 64, repeats: int = 3
) -> float:
    """Rounds, episodes times rounds, that a strategy selects in a processor second; the best repeat."""
    best, played = float("inf"), 0
    for _ in range(repeats):
        engine, strategy = LabelingEngine([corpus], options, episodes), make_strategy(name)
        engine.reset([Streams(seed) for seed in range(episodes)])
        spent, played = 0.0, 0
        with torch.inference_mode(), engine.threads():
            while not engine.finished.all():
                started = time.process_time()
                ids = strategy.select(engine.view, options.batch_size)
                spent += time.process_time() - started
                played += episodes
                engine.step(ids)
        best = min(best, spent)
    return played / best


def benchmark(asked: argparse.Namespace) -> str:
    """Time every strategy at every batch size; a line each."""
    options = EpisodeOptions(pool_size=asked.pool_size, dev_size=100)
    if asked.corpus == "synthetic":
        corpus = synthetic_encoded(5 * asked.pool_size + 500, 5)
    else:
        config = CorpusConfig(corpus=asked.corpus, max_rows=4000)
        (corpus,) = prepare([config], EncoderConfig(max_length=128), "cpu", episode=options)
    lines = []
    for size in asked.batch_sizes:
        sized = options.model_copy(update={"batch_size": size, "budget": max(options.budget, 4.0 * size)})
        for name in asked.strategies:
            speed = rounds_per_second(corpus, name, sized, asked.episodes, asked.repeats)
            lines.append(
                f"{name:24s}rounds of {size:3d}{speed:10,.0f} rounds/s{1e6 / speed:10,.0f} us a round"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "selecting_side_by_side", threads=False)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), help="names of strategies")
    parser.add_argument("--corpus", default="bbc_news", help="a built-in name, a path, or synthetic")
    parser.add_argument("--episodes", type=int, default=64, help="episodes side by side")
    parser.add_argument("--pool-size", type=int, default=500, help="rows of a pool")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[5], help="rows of a round")
    parser.add_argument("--repeats", type=int, default=3, help="times that each is played; the best counts")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
