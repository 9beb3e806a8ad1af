"""What `learned` picks from a pool when it treats it as a large one, beside what it picks exactly.

``python -m react_rl.experiments.benchmarks.large_pools --corpora data/trec6 data/sst2`` writes
results/benchmarks/large_pools. The pools are small enough to be computed exactly: all rows looked at, sums
over all rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final
from unittest import mock

import pandas as pd
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.features import landmarks
from react_rl.agents import LearnedStrategy
from react_rl.agents.scorer import ScorerStrategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.files import write_atomically
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView
from react_rl.simulation.corpora import prepare

EVERYTHING: Final = 1 << 30
"""More rows than any pool has."""

SHARES: Final = (0.03, 0.06, 0.12)
"""Shares of the pool that get a close look; of 100,000 rows it is 3 percent, of 50,000 it is 6."""


HEAT: Final = 9
"""A third of a batch, as ``scorer.HEAT`` is of 100."""


def treated(whole: int, candidates: int, heat: int = EVERYTHING) -> ScorerStrategy:
    """The policy that ships, which looks at all rows of pools of ``whole`` rows only."""
    shipped = LearnedStrategy.from_pretrained()
    return ScorerStrategy(
        "learned", shipped.network, shipped.features, shipped.context, whole, candidates, heat
    )


def compared(
    corpus: EncodedCorpus, options: EpisodeOptions, episodes: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """Play margin, and let every treatment choose each round's batch; lines of the table."""
    engine = LabelingEngine([corpus], options, episodes)
    engine.reset([Streams(seed) for seed in range(episodes)])
    n, rows = options.batch_size, options.pool_size
    exactly = treated(EVERYTHING, 1)
    with torch.inference_mode():
        for number in range(rounds):
            view = engine.view
            with mock.patch.object(landmarks, "ALL", EVERYTHING):
                exact, scores = exactly.select(view, n), exactly.score(view)
            others = {"sums over 1,024 rows": exactly.select(view, n)}
            for share in SHARES:
                few = max(round(share * rows), 4 * n)
                others[f"and a close look at {share:.0%}"] = treated(0, few).select(view, n)
                heats = treated(0, few, HEAT)
                others[f"and a close look at {share:.0%}, in heats of {HEAT}"] = heats.select(view, n)
            others |= {name: make_strategy(name).select(view, n) for name in ("margin", "random")}
            for name, ids in others.items():
                yield {"corpus": corpus.name, "round": number + 1, "picked by": name} | agreement(
                    view, scores, exact, ids
                )
            engine.step(make_strategy("margin").select(view, n))


def agreement(view: PoolView, scores: Tensor, exact: Tensor, ids: Tensor) -> dict[str, float]:
    """How near batches ``(E, n)`` are to the exact ones, given the exact scores of all rows ``(E, P)``."""
    free = [own[where] for own, where in zip(scores, view.available, strict=True)]
    deviation = torch.stack([own.std() for own in free])
    first, last = (torch.searchsorted(view.ids, found.contiguous()) for found in (ids, exact))
    lost = (scores.gather(1, last).mean(1) - scores.gather(1, first).mean(1)) / deviation
    better = [
        (own > own_scores[place]).sum()
        for own, own_scores, place in zip(free, scores, first[:, 0], strict=True)
    ]
    common = [len({*a} & {*b}) / len(b) for a, b in zip(ids.tolist(), exact.tolist(), strict=True)]
    return {
        "same first pick": (ids[:, 0] == exact[:, 0]).float().mean().item(),
        "rows above the first pick": torch.stack(better).float().mean().item(),
        "batch in common": sum(common) / len(common),
        "lost score, deviations": lost.mean().item(),
    }


def benchmark(asked: argparse.Namespace) -> str:
    """Compare the ways on pools of every corpus."""
    options = EpisodeOptions(
        pool_size=asked.pool_size,
        dev_size=100,
        initial_size=50,
        batch_size=25,
        budget=25.0 * asked.rounds,
    )
    configs = [CorpusConfig(corpus=name) for name in asked.corpora]
    corpora = prepare(configs, EncoderConfig(max_length=64), "cpu", episode=options)
    lines = [line for corpus in corpora for line in compared(corpus, options, asked.episodes, asked.rounds)]
    text = pd.DataFrame(lines).to_csv(index=False, float_format="%.3f", lineterminator="\n")
    write_atomically(asked.out / "agreement.csv", text)
    return str(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "large_pools", "results/benchmarks/large_pools", threads=False)
    parser.add_argument("--corpora", nargs="+", required=True, help="built-in names or paths")
    parser.add_argument("--pool-size", type=int, default=3200, help="rows of a pool")
    parser.add_argument("--episodes", type=int, default=8, help="pools of each corpus")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each pool")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
