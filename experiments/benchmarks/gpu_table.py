"""The tables of what ``gpu.sh`` has written.

``python -m react_rl.experiments.benchmarks.gpu_table results/benchmarks/gpu`` writes table.md there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from react_rl.documents import read_json
from react_rl.experiments.benchmarks.measured import ADVICE
from react_rl.files import write_atomically


def rows(cells: Iterable[Sequence[object]], header: Sequence[str]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *cells]
    return [f"| {' | '.join(str(cell) for cell in line)} |" for line in lines]


def _read(folder: Path, name: str) -> Any:
    file = folder / name
    return read_json(file, ADVICE) if file.is_file() else None


def _by_device(folder: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    found = {device: _read(folder, f"{name}-{device}.json") for device in ("cuda", "cpu")}
    return {device: read["lines"] for device, read in found.items() if read is not None}


def rounds_table(devices: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Rounds a second by number of episodes; a dash where the run was cut off."""
    lines: dict[tuple[str, int], dict[str, float]] = {}
    for device, measured in devices.items():
        for line in measured:
            own = lines.setdefault((line["strategy"], line["episodes"]), {})
            own[device] = line["rounds_per_second"]
    cells = [
        [strategy, f"{episodes:,}", *(f"{own[d]:,.0f}" if d in own else "-" for d in ("cuda", "cpu"))]
        for (strategy, episodes), own in sorted(lines.items())
    ]
    return rows(cells, ["strategy", "episodes", "GPU", "CPU, one thread"])


def round_table(devices: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Seconds of one fine-tuning round, by what is trained and the precision."""
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for device, measured in devices.items():
        for line in measured:
            lines.setdefault((line["training"], line["precision"]), {})[device] = line
    parts = ("training_seconds", "prediction_seconds", "dev_accuracy")
    cells = [
        [*key, *(f"{own[d][part]:.2f}" if d in own else "-" for part in parts for d in ("cuda", "cpu"))]
        for key, own in lines.items()
    ]
    header = ["trained", "precision", "training, GPU (s)", "CPU (s)", "prediction, GPU (s)", "CPU (s)"]
    return rows(cells, [*header, "dev accuracy, GPU", "CPU"])


def together_table(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fine-tuned rounds a second by number of episodes side by side."""
    cells = [
        [
            line["training"],
            line["episodes"],
            f"{line['rounds_per_second']:.1f}",
            f"{line['memory_gib']:.1f}",
            f"{line['padding_share']:.0%}",
        ]
        for line in sorted(lines, key=lambda line: line["training"])
    ]
    return rows(cells, ["trained", "episodes", "rounds a second", "GPU memory (GiB)", "padding"])


def write_table(folder: Path) -> Path:
    """Write ``table.md`` from the files of a run; parts that are missing are left out."""
    lines = ["# What a GPU run measured", ""]
    rounds, one = _by_device(folder, "rounds"), _by_device(folder, "one-round")
    together = _read(folder, "together-cuda.json")
    machine: dict[str, Any] = next(
        (
            read["machine"]
            for read in (_read(folder, "rounds-cuda.json"), _read(folder, "rounds-cpu.json"))
            if read
        ),
        {},
    )
    for key in ("gpu", "processor", "processor_class", "cores", "torch"):
        if key in machine:
            lines.append(f"- {key}: {machine[key]}")
    if rounds:
        lines += ["", "## Labelling rounds a second on a frozen encoder", "", *rounds_table(rounds)]
    if one:
        lines += ["", "## One fine-tuning round of one episode", "", *round_table(one)]
    if together:
        lines += ["", "## Fine-tuned episodes side by side on the GPU", "", *together_table(together)]
    path = folder / "table.md"
    write_atomically(path, "\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    print(write_table(Path(sys.argv[1])).read_text(encoding="utf-8"))
