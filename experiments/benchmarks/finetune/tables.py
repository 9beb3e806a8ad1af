"""Tables and figures of the fine-tuning benchmark, from the files that its programs left.

``python -m react_rl.experiments.benchmarks.finetune.tables --work DIR`` reads ``runs/*.json`` (peers and
ours), ``frozen/*.json``, ``cells.jsonl``, ``rates.json``, ``together-*.json`` and writes
``results/benchmarks/finetune``.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel

from react_rl.documents import read_json
from react_rl.errors import ReActError
from react_rl.escaping import csv_row
from react_rl.experiments.benchmarks.finetune.labels_figure import draw_labels
from react_rl.experiments.benchmarks.finetune.runs import Run
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor
from react_rl.experiments.benchmarks.measured import ADVICE, read_rows
from react_rl.experiments.figures.drawing import save_figures
from react_rl.files import canonical_json, write_atomically
from react_rl.metrics.curves import area_under_curve
from react_rl.metrics.statistics import Interval, bootstrap_mean, paired_difference
from react_rl.validation import validated

PEERS: Final = ("small-text", "trainer")


class _Curve(BaseModel):
    labels: list[int]
    accuracy: list[float]


class _FrozenFirst(BaseModel):
    """What ``frozen_first`` writes."""

    corpus: str
    seed: int
    found: dict[str, _Curve]


class Rates(BaseModel):
    """What ``labels tune`` writes.

    Attributes:
        rates: The best learning rate of each method.
        accuracy: Mean accuracy by method and rate.
    """

    rates: dict[str, float]
    accuracy: dict[str, dict[str, float]]


def area(run: Run) -> float:
    """Area under the test accuracy over the labels, divided by their range."""
    labels = np.array([one.labelled for one in run.rounds], dtype=np.float64)
    values = np.array([one.accuracy for one in run.rounds])
    return area_under_curve(labels, values)


def seconds_per_round(run: Run, processor: bool) -> float:
    """Mean seconds of query and update over the rounds that query."""
    kind = "processor_seconds" if processor else "seconds"
    return float(
        np.mean([getattr(one, f"query_{kind}") + getattr(one, f"update_{kind}") for one in run.rounds[1:]])
    )


def load_runs(folder: Path) -> dict[tuple[str, str], dict[int, Run]]:
    """Runs by corpus and contestant, then by seed; timing runs are kept apart under ``contestant timing``."""
    found: dict[tuple[str, str], dict[int, Run]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        run = Run.load(path)
        found[run.corpus, f"{run.contestant} timing" if run.timing else run.contestant][run.seed] = run
    return dict(found)


def contest(runs: Mapping[tuple[str, str], Mapping[int, Run]]) -> list[dict[str, Any]]:
    """One row for each corpus and contestant: areas, final accuracies, seconds, ratio to the faster peer."""
    rows: list[dict[str, Any]] = []
    for (corpus, name), by_seed in sorted(runs.items()):
        if name.endswith(" timing"):
            continue
        timing = runs.get((corpus, f"{name} timing"), {})
        peers = [runs[corpus, peer] for peer in PEERS if (corpus, peer) in runs]
        seeds = sorted(set(by_seed).intersection(*peers)) if peers else sorted(by_seed)
        processor = float(np.mean([seconds_per_round(by_seed[s], True) for s in seeds or by_seed]))
        rows.append(
            {
                "corpus": corpus,
                "contestant": name,
                "seeds": len(by_seed),
                "area": _mean([area(run) for run in by_seed.values()]),
                "final": _mean([run.rounds[-1].accuracy for run in by_seed.values()]),
                "processor_seconds": processor,
                "seconds": float(np.mean([seconds_per_round(r, False) for r in timing.values()]))
                if timing
                else None,
            }
        )
    for row in rows:
        for kind in ("processor_seconds", "seconds"):
            fastest: list[float] = [
                r[kind] for r in rows if r["corpus"] == row["corpus"] and r["contestant"] in PEERS and r[kind]
            ]
            row[f"{kind}_ratio"] = min(fastest) / row[kind] if fastest and row[kind] else None
    return rows


def against_peers(runs: Mapping[tuple[str, str], Mapping[int, Run]]) -> list[str]:
    """Paired differences in area and final accuracy, ours minus each peer, in words."""
    lines = []
    for (corpus, name), ours in sorted(runs.items()):
        for peer in PEERS:
            theirs = runs.get((corpus, peer))
            if theirs is None or name in PEERS or name.endswith(" timing"):
                continue
            seeds = sorted(set(ours) & set(theirs))
            if len(seeds) < 2:
                continue
            parts = []
            for what, value in (("area", area), ("final accuracy", lambda run: run.rounds[-1].accuracy)):
                found = paired_difference(
                    [value(ours[s]) for s in seeds],
                    [value(theirs[s]) for s in seeds],
                    np.random.default_rng(0),
                )
                parts.append(f"{what} {found.signed(3)}")
            lines.append(f"- {corpus}, {name} minus {peer}, {len(seeds)} paired seeds: {', '.join(parts)}.")
    return lines


_Accuracies = dict[tuple[str, str, int], dict[int, float]]
"""Accuracy of each seed, by corpus, who chose the rows, and number of labels."""


def _frozen_accuracies(folder: Path, runs: Mapping[tuple[str, str], Mapping[int, Run]]) -> _Accuracies:
    found: _Accuracies = defaultdict(dict)
    for path in sorted(folder.glob("*-frozen-first-*.json")):
        content = validated(_FrozenFirst, read_json(path, ADVICE), str(path))
        for name, curve in content.found.items():
            for labels, value in zip(curve.labels, curve.accuracy, strict=False):
                found[content.corpus, name, labels][content.seed] = value
    asked = {(corpus, labels) for corpus, _, labels in found}
    for (corpus, contestant), by_seed in runs.items():
        own = by_seed.items() if contestant == "ours-same" else ()
        for seed, one in ((seed, one) for seed, run in own for one in run.rounds):
            if (corpus, one.labelled) in asked:
                found[corpus, "fine-tuned margins", one.labelled][seed] = one.accuracy
    return found


def frozen_first(
    folder: Path, runs: Mapping[tuple[str, str], Mapping[int, Run]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Does choosing on frozen embeddings and fine-tuning once equal fine-tuning in every round?"""
    found = _frozen_accuracies(folder, runs)
    rows, lines = [], []
    for (corpus, name, labels), values in sorted(found.items()):
        rows.append(
            {
                "corpus": corpus, "chosen by": name, "labels": labels, "seeds": len(values),
                "accuracy": _mean(list(values.values())),
            }
        )  # fmt: skip
        full = found.get((corpus, "fine-tuned margins", labels), {})
        seeds = sorted(set(full) & set(values))
        if name != "fine-tuned margins" and len(seeds) > 1:
            gap = paired_difference(
                [values[s] for s in seeds], [full[s] for s in seeds], np.random.default_rng(0)
            )
            lines.append(
                f"- {corpus}, {labels} labels: {name} minus fine-tuned margins {gap.signed(3)}, "
                f"{len(seeds)} paired seeds."
            )
    return lines, rows


def _mean(values: Sequence[float]) -> Interval:
    return bootstrap_mean(values, np.random.default_rng(0))


def _shown(value: Any) -> str:
    if isinstance(value, Interval):
        if np.isnan(value.low):
            return f"{float(value.estimate):.3f}"
        return f"{float(value.estimate):.3f} [{float(value.low):.3f}, {float(value.high):.3f}]"
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table; the keys of the first row are its head."""
    if not rows:
        return "(not measured)\n"
    names = list(rows[0])
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_shown(row[name]) for name in names) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    flat = []
    for row in rows:
        one: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, Interval):
                one |= {
                    name: round(float(value.estimate), 6),
                    f"{name}_low": round(float(value.low), 6),
                    f"{name}_high": round(float(value.high), 6),
                }
            else:
                one[name] = round(value, 6) if isinstance(value, float) else value
        flat.append(one)
    if flat:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(flat[0])
        writer.writerows(csv_row(one[name] for name in flat[0]) for one in flat)
    return text.getvalue()


def benchmark(asked: argparse.Namespace) -> str:
    """Write tables and figures of what the programs left."""
    work, out = asked.work, asked.out
    if not work.is_dir() or not any(work.iterdir()):
        raise ReActError(f"{work} holds no measurements; name the folder that the programs wrote into.")
    runs = load_runs(work / "runs")
    contests = contest(runs)
    gaps, frozen = frozen_first(work / "frozen", runs)
    cells = read_rows(work / "cells.jsonl", ("corpus", "method"), ("labels",), ("accuracy",))
    measured = [
        {
            "corpus": c["corpus"], "method": c["method"], "labels": c["labels"],
            "seeds": len(c["accuracy"]), "accuracy": _mean(c["accuracy"]), "rate": str(c.get("rate") or ""),
        }
        for c in cells
    ]  # fmt: skip
    restarts = [
        {
            "corpus": one["corpus"], "restart": one["restart"], "seeds": len(one["area"]),
            "area": _mean(one["area"]), "final": _mean(one["final"]),
        }
        for one in read_rows(work / "restarts.json", ("corpus", "restart"), lists=("area", "final"))
    ]  # fmt: skip
    candidates = read_rows(work / "candidates.json")
    path = work / "rates.json"
    tuned = [validated(Rates, read_json(path, ADVICE), str(path))] if path.exists() else []
    rates = [
        {"method": method, "learning rate": rate, "accuracy": value}
        for one in tuned
        for method, values in one.accuracy.items()
        for rate, value in values.items()
    ]
    together = [row for file in sorted(work.glob("together-*.json")) for row in read_rows(file)]
    machine = describe_machine()
    page = [
        "# Fine-tuning: what was measured\n", f"{name_processor(machine)}, torch {machine['torch']}.\n",
        "## The same training\n", markdown(contests), "\n".join(against_peers(runs)) + "\n",
        "## Learning rates, tried on other corpora\n", markdown(rates),
        "## Accuracy against labels\n", markdown(measured),
        "## Where a round begins\n", markdown(restarts),
        "## Cheaper training, tried on other corpora\n", markdown(candidates),
        "## Choosing on frozen embeddings\n", markdown(frozen), "\n".join(gaps) + "\n",
        "## Episodes together\n", markdown(together),
    ]  # fmt: skip
    write_atomically(out / "table.md", "\n".join(page))
    for name, rows in (
        ("contest", contests), ("labels", measured), ("frozen_first", frozen), ("together", together),
        ("restarts", restarts), ("rates", rates), ("candidates", candidates),
    ):  # fmt: skip
        write_atomically(out / f"{name}.csv", _csv(rows))
    write_atomically(out / "machine.json", canonical_json(machine, indent=1) + "\n")
    if cells:
        save_figures(out, {"labels": draw_labels(cells)})
    return "\n".join(page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write tables and figures; returns the exit status."""
    parser = benchmark_parser(__doc__, "tables", "results/benchmarks/finetune", threads=False)
    parser.add_argument("--work", type=Path, required=True, help="folder with what the programs left")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
