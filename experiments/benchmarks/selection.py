"""Seconds and memory of every query strategy on a large pool, beside the same strategy of the peers.

``python -m react_rl.experiments.benchmarks.selection`` writes the files of results/benchmarks/selection:
a batch of 100 from 100,000 x 384 embeddings and 10 classes, and ours from 1,000,000 too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from react_rl.acquisition import STRATEGIES, suited
from react_rl.documents import read_json
from react_rl.errors import ReActError, unknown
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine
from react_rl.experiments.benchmarks.measured import ADVICE, rows_of
from react_rl.experiments.benchmarks.selection_ours import PREDICTION
from react_rl.experiments.benchmarks.selection_pool import PoolPlan, write_pool
from react_rl.experiments.benchmarks.selection_process import Limits, ProcessOutcome, run_contestant
from react_rl.experiments.benchmarks.selection_report import OURS, SelectionLine, write_report
from react_rl.files import canonical_json, write_atomically
from react_rl.own_code import STRATEGY, announced

PEERS: Final = ("small-text", "scikit-activeml")

COUNTERPARTS: Final[dict[str, tuple[str, ...]]] = {
    "random": PEERS,
    "least-confidence": PEERS,
    "margin": PEERS,
    "entropy": PEERS,
    "k-center": PEERS,
    "k-means": ("small-text",),
    "typiclust": ("scikit-activeml",),
    "probcover": ("scikit-activeml",),
    "maxherding": ("scikit-activeml",),
    "subsample:maxherding": ("scikit-activeml",),
    "dal": PEERS,
    "bald": ("scikit-activeml",),
    "bald-dropout": ("small-text",),
    "variation-ratio": ("scikit-activeml",),
    "vote-entropy": ("scikit-activeml",),
    "qbc-kl": ("scikit-activeml",),
    "egl": ("small-text",),
    "badge": PEERS,
    "batch-bald": ("scikit-activeml",),
    "cal": PEERS,
}
"""Which peers have the strategy; the settings are in ``selection_peers``."""

ABSENT: Final = ("alps",)
"""Strategies left out: they read vectors of a masked language model, and cluster them like ``k-means``."""

WORKER: Final = Path(__file__).with_name("selection_peers.py")


@dataclass(frozen=True)
class SelectionPlan:
    """How much is measured.

    Args:
        sizes: Rows of the pools; the peers run on the first one only, and on others ours selects once.
        strategies: Names; None for all of the registry.
        contestants: Ours and the peers.
        limits: When a contestant is ended.
        pool: What the pools are made of.
    """

    sizes: tuple[int, ...] = (100_000, 1_000_000)
    strategies: tuple[str, ...] | None = None
    contestants: tuple[str, ...] = (OURS, *PEERS)
    limits: Limits = field(default_factory=Limits)
    pool: PoolPlan = field(default_factory=PoolPlan)


QUICK: Final = SelectionPlan(
    sizes=(500,), limits=Limits(repeats=1), pool=PoolPlan(labelled=40, dimensions=32)
)


def is_quadratic(strategy: str) -> bool:
    """Whether the strategy compares all rows with all rows by definition."""
    return strategy in STRATEGIES and "P^2" in STRATEGIES[strategy].cost


def contests(plan: SelectionPlan, size: int) -> Iterator[tuple[str, str]]:
    """Contestants and strategies that take part with one size."""
    offered = [name for name in suited() if name not in ABSENT]
    names = offered if plan.strategies is None else list(plan.strategies)
    known = [*offered, *announced(STRATEGY.group)]
    for name in names:
        if name not in known:
            raise unknown("strategy", name, known)
    first = size == plan.sizes[0]
    if OURS in plan.contestants:
        yield OURS, PREDICTION
    for name in names:
        if OURS in plan.contestants and (first or not is_quadratic(name)):
            yield OURS, name
        for peer in COUNTERPARTS.get(name, ()) if first else ():
            if peer in plan.contestants:
                yield peer, name


def command(contestant: str, strategy: str, folder: Path, peer_python: Path | None) -> list[str]:
    """What runs one contestant."""
    if contestant == OURS:
        module = "react_rl.experiments.benchmarks.selection_ours"
        return [sys.executable, "-m", module, str(folder), strategy]
    assert peer_python is not None, "peers take part only where their python is given"
    return [str(peer_python), str(WORKER), str(folder), contestant, strategy]


def run(
    plan: SelectionPlan,
    out: Path,
    work: Path,
    peer_python: Path | None,
    progress: bool = True,
    finished_only: bool = False,
) -> list[SelectionLine]:
    """Measure whatever is not measured yet and write the files into ``out``.

    Args:
        plan: How much is measured.
        out: Folder of the results.
        work: Folder of the pools and of one file for each finished measurement, which are not repeated.
        peer_python: Python of the peers' environment; None leaves the peers out.
        progress: Whether to say on the error stream what is being measured.
        finished_only: Measure nothing; report what ``work`` holds.
    """
    machine: dict[str, Any] = describe_machine()
    if peer_python is None and not finished_only:
        plan = replace(plan, contestants=tuple(c for c in plan.contestants if c == OURS))
    lines = []
    for size in plan.sizes:
        folder = work / f"pool-{size}{f'-round-{plan.pool.round}' if plan.pool.round > 1 else ''}"
        pairs = list(contests(plan, size))
        missing = [pair for pair in pairs if not _file(folder, *pair).exists()]
        if finished_only:
            pairs, missing = [pair for pair in pairs if pair not in missing], []
        if missing and not (folder / "plan.json").exists():
            write_pool(replace(plan.pool, rows=size), folder)
        for contestant, strategy in missing:
            if progress:
                print(f"{size:,} rows, {contestant}, {strategy}", file=sys.stderr, flush=True)
            limits = plan.limits if size == plan.sizes[0] else replace(plan.limits, repeats=1)
            outcome = run_contestant(command(contestant, strategy, folder, peer_python), limits)
            content = asdict(outcome) | {"load_average": round(os.getloadavg()[0], 2)}
            write_atomically(_file(folder, contestant, strategy), canonical_json(content))
        for contestant, strategy in pairs:
            path = _file(folder, contestant, strategy)
            (found,) = rows_of([read_json(path, ADVICE)], path, numbers=("load_average",))
            load = found.pop("load_average")
            outcome = outcome_of(found, path)
            machine.setdefault("peers", {}).update(outcome.versions)
            lines.append(SelectionLine.of(size, contestant, strategy, outcome, load))
    write_report(out, lines, machine, plan.limits, plan.pool)
    return lines


def outcome_of(found: dict[str, Any], path: Path) -> ProcessOutcome:
    """The outcome that a file holds.

    Raises:
        ReActError: It is damaged.
    """
    try:
        return TypeAdapter(ProcessOutcome).validate_python(found)
    except ValidationError as error:
        said = error.errors()[0]
        where = ".".join(map(str, said["loc"]))
        raise ReActError(f"{path} is damaged: {where}: {said['msg']}; {ADVICE}.") from None


def _file(folder: Path, contestant: str, strategy: str) -> Path:
    return folder / "outcomes" / f"{contestant}-{strategy.replace(':', '_')}.json"


def benchmark(asked: argparse.Namespace) -> str:
    """Measure what is not measured yet, and write the files."""
    plan = _changed(QUICK if asked.quick else SelectionPlan(), asked)
    with tempfile.TemporaryDirectory() as folder:
        run(plan, asked.out, asked.work or Path(folder), asked.peer_python, finished_only=asked.finished)
    text: str = (asked.out / "table.md").read_text()
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "selection", "results/benchmarks/selection", threads=False)
    parser.add_argument("--work", type=Path, help="folder that keeps pools and finished measurements")
    parser.add_argument("--peer-python", type=Path, help="python of the environment that holds the peers")
    parser.add_argument("--rows", type=int, nargs="+", help="pool sizes; the peers run on the first")
    parser.add_argument("--strategies", nargs="+", help="names of strategies (default all)")
    parser.add_argument("--contestants", nargs="+", help=f"some of: {', '.join((OURS, *PEERS))}")
    parser.add_argument("--round", type=int, help="which round's selection is measured, of ours (default 1)")
    parser.add_argument("--seconds", type=float, help=f"time limit (default {Limits.seconds:g})")
    parser.add_argument("--finished", action="store_true", help="measure nothing, report what --work holds")
    parser.add_argument("--quick", action="store_true", help="500 rows, to see that everything runs")
    return run_benchmark(parser, arguments, benchmark)


def _changed(plan: SelectionPlan, asked: argparse.Namespace) -> SelectionPlan:
    if asked.round is not None:
        plan = replace(plan, pool=replace(plan.pool, round=asked.round))
    if asked.rows is not None:
        plan = replace(plan, sizes=tuple(asked.rows))
    least = plan.pool.labelled + plan.pool.batch * plan.pool.round
    if min(plan.sizes) <= least:
        raise ReActError(f"--rows {min(plan.sizes)} leaves nothing to choose; give more than {least}.")
    if asked.strategies is not None:
        plan = replace(plan, strategies=tuple(asked.strategies))
    if asked.contestants is not None:
        for name in asked.contestants:
            if name not in (OURS, *PEERS):
                raise unknown("contestant", name, (OURS, *PEERS))
        plan = replace(plan, contestants=tuple(asked.contestants))
    if plan.pool.round > 1:
        if asked.contestants is not None and plan.contestants != (OURS,):
            raise ReActError("Peers select from the first round alone; leave --round out.")
        plan = replace(plan, contestants=(OURS,))
    if asked.seconds is not None:
        if not asked.seconds > 0:
            raise ReActError(f"--seconds {asked.seconds:g} is no time; give more than 0.")
        plan = replace(plan, limits=replace(plan.limits, seconds=asked.seconds))
    return plan


if __name__ == "__main__":
    sys.exit(main())
