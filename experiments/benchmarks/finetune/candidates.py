"""Which cheap training enters the contest: tried on corpora that the contest is not played on.

``python -m react_rl.experiments.benchmarks.finetune.candidates --corpora data/subj crowd_tweets --out DIR``
lets each candidate learn the rows that its own margins choose, and compares the areas under the dev accuracy
and the seconds. The fastest one that is not behind the same training (``same``) is ``ours-warm``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from react_rl.experiments.benchmarks.finetune.restarts import dev_curves
from react_rl.experiments.benchmarks.harness import MeasuredLines, benchmark_parser, embedded, run_benchmark
from react_rl.learners.finetune import FineTuneSettings
from react_rl.metrics.curves import area_under_curve
from react_rl.simulation import EpisodeOptions
from react_rl.simulation.encoded import EncodedCorpus

_UPPER: Final[dict[str, Any]] = {"method": "full", "learning_rate": 3e-4}
CANDIDATES: Final[dict[str, dict[str, Any]]] = {
    "same": _UPPER | {"pooling": "cls", "head": "dense", "epochs": 5},
    "top 3 layers, 5 epochs": _UPPER | {"layers": 3, "epochs": 5},
    "top 2 layers, 3 epochs": _UPPER | {"layers": 2, "epochs": 3, "learning_rate": 5e-4},
    "top 3 layers, warm, 16 steps": _UPPER | {"layers": 3, "restart": "warm", "steps": 16},
    "top 2 layers, warm, 16 steps": _UPPER | {"layers": 2, "restart": "warm", "steps": 16},
    "top 2 layers, warm, 10 steps": _UPPER | {"layers": 2, "restart": "warm", "steps": 10},
}
"""Settings by name; the recipe's batch of 16, warm-up and decay hold for all."""

OPTIONS: Final = EpisodeOptions(pool_size=400, dev_size=400, initial_size=25, budget=150, batch_size=25)


def area(corpus: EncodedCorpus, settings: FineTuneSettings, seed: int) -> tuple[float, float]:
    """Area under the dev accuracy of one episode, and its processor seconds for each round."""
    values, seconds = dev_curves(corpus, settings, "margin", OPTIONS, [seed])
    rounds = len(values) - 1
    return area_under_curve(np.arange(rounds + 1), values[:, 0]), seconds / rounds


def benchmark(asked: argparse.Namespace) -> str:
    """Let every candidate learn on every corpus."""
    corpora = [embedded(name, 2000) for name in asked.corpora]
    lines = MeasuredLines(asked.out / "candidates.json")
    for name in asked.only:
        settings = FineTuneSettings.model_validate({"max_length": 64} | CANDIDATES[name])
        found = [area(corpus, settings, seed) for corpus in corpora for seed in range(asked.seeds)]
        lines.add(
            {
                "candidate": name, "corpora": len(corpora), "seeds": asked.seeds,
                "area": round(float(np.mean([one for one, _ in found])), 4),
                "processor_seconds": round(float(np.mean([seconds for _, seconds in found])), 2),
            }
        )  # fmt: skip
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "candidates", files="folder for candidates.json")
    parser.add_argument("--corpora", nargs="+", required=True, help="names or folders")
    parser.add_argument("--seeds", type=int, default=2, help="episodes on each corpus")
    parser.add_argument(
        "--only", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES), help="some candidates"
    )
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
