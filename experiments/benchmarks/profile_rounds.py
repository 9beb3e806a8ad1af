"""Where the time of a labelling round goes, stage by stage, and how near the largest product is to memory.

``python -m react_rl.experiments.benchmarks.profile_rounds`` writes profile.md into results/benchmarks/rounds.
The stages are timed by wrapping the engine's own methods from outside, so nothing in the engine is there for
this. A stage includes what it calls; the indented ones are parts of the one above.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from react_rl.acquisition.registry import make_strategy
from react_rl.experiments.benchmarks.contestants import RoundsScene, streams_of
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor, read_bandwidth
from react_rl.experiments.benchmarks.rounds import QUICK, SCENES, RoundsPlan, make_scene
from react_rl.files import write_atomically
from react_rl.simulation.engine import LabelingEngine

STAGES: Final = (
    ("select: view, margins, top 5", ("strategy", "select")),
    ("step: all that follows", ("engine", "step")),
    ("  check the ids", ("pools", "check")),
    ("  similarities of the bought rows", ("geometry", "rows")),
    ("  learner update", ("learner", "update")),
    ("    grow the preconditioner", ("learner", "_border")),
    ("    solver steps", ("learner", "_refit")),
    ("  measure dev accuracy", ("engine", "_measure")),
)
"""Label of each stage and the method that is it."""


class _Timed:
    """A strategy or a part of the engine whose methods are timed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds: list[float] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        before = time.perf_counter()
        result = self.function(*arguments, **named)
        self.seconds.append(time.perf_counter() - before)
        return result


def profile(scene: RoundsScene, episodes: int, repeats: int) -> dict[str, float]:
    """Return the median microseconds of each stage, per round and episode."""
    engine = LabelingEngine([scene.encoded], scene.options, episodes)
    owners = {"engine": engine, "learner": engine.learner, "geometry": engine.geometry}
    owners["pools"] = engine.pools
    select = _Timed(make_strategy("margin").select)
    timers = {label: select for label, (owner, _) in STAGES if owner == "strategy"}
    for label, (owner, method) in STAGES:
        if owner != "strategy":
            timers[label] = _Timed(getattr(owners[owner], method))
            setattr(owners[owner], method, timers[label])
    start: list[float] = []
    for repeat in range(repeats + 1):
        before = time.perf_counter()
        engine.reset([streams_of(repeat * episodes + e) for e in range(episodes)])
        start.append(time.perf_counter() - before)
        if repeat <= 1:  # the first repeat warms up
            for timer in timers.values():
                timer.seconds.clear()
        while not engine.finished.all():
            with torch.inference_mode():
                ids = select(engine.view, scene.options.batch_size)
            engine.step(ids)
    result = {label: float(np.median(t.seconds)) / episodes * 1e6 for label, t in timers.items()}
    result["start: draw, place, first fit (per episode)"] = float(np.median(start[1:])) / episodes * 1e6
    return result


def predict_bandwidth(scene: RoundsScene, episodes: int) -> float:
    """GB/s at which the product ``duals x similarities`` reads the similarities of 50 labelled rows."""
    columns = scene.options.pool_size + scene.options.dev_size
    rows = torch.randn(episodes, 50, columns)
    dual = torch.randn(episodes, scene.encoded.corpus.n_classes, 50)
    out = torch.empty(episodes, dual.shape[1], columns)
    best = float("inf")
    for _ in range(20):
        before = time.perf_counter()
        torch.bmm(dual, rows, out=out)
        best = min(best, time.perf_counter() - before)
    return rows.numel() * 4 / best / 1e9


def report(scene: RoundsScene, episodes: Sequence[int], repeats: int) -> str:
    """Return the stages as a Markdown table with one column for each number of episodes, on one thread."""
    machine = describe_machine()
    columns = [profile(scene, e, repeats if e > 1 else 8 * repeats) for e in episodes]
    head = "| microseconds per round and episode | " + " | ".join(f"E = {e}" for e in episodes) + " |"
    lines = [head, "| --- |" + " ---: |" * len(episodes)]
    for label in columns[0]:
        indent = "&nbsp;" * 4 * ((len(label) - len(label.lstrip())) // 2)
        numbers = " | ".join(f"{column[label]:.1f}" for column in columns)
        lines.append(f"| {indent}{label.strip()} | {numbers} |")
    options = scene.options
    bandwidth = ", ".join(f"{predict_bandwidth(scene, e):.1f} GB/s at E = {e}" for e in episodes)
    about = (
        f"{name_processor(machine)}, {machine['cores']} cores, torch {machine['torch']}, one thread; "
        f"load average at the start {machine['load_average']}. "
        f"Corpus {scene.encoded.name}, pool {options.pool_size}, dev {options.dev_size}."
    )
    limit = (
        f"One core reads memory at {read_bandwidth():.1f} GB/s (sum over 256 MiB). The prediction of all "
        f"pool and dev rows, the largest product of a round, reads its operand at {bandwidth}."
    )
    return "\n\n".join([about, "\n".join(lines), limit]) + "\n"


def benchmark(asked: argparse.Namespace) -> str:
    """Profile, and write the page."""
    plan = QUICK if asked.quick else RoundsPlan()
    scene = make_scene(*SCENES[asked.corpus][0], plan)
    text = report(scene, plan.episodes, 1 if asked.quick else 4)
    write_atomically(asked.out / "profile.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "profile_rounds", "results/benchmarks/rounds", threads=False)
    parser.add_argument("--corpus", default="bbc_news", choices=sorted(SCENES), help="what is labelled")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
