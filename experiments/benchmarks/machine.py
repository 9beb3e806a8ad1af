"""What a benchmark ran on: processor, cores, memory bandwidth, versions. Nothing names a person or place."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory in GiB, system and package versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "react-rl": _own_version(),
    }


def read_bandwidth(mebibytes: int = 256) -> float:
    """Measure how fast one sum over a large array reads memory, in GB/s, with torch's present threads."""
    array = torch.ones(mebibytes * 2**18)
    best = float("inf")
    for _ in range(5):
        before = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - before)
    return array.numel() * 4 / best / 1e9


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().split("\n\n")[0].splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "model name" in fields:
            family = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
            return f"{fields['model name']} ({family})"
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _own_version() -> str:
    try:
        return version("react-rl")
    except PackageNotFoundError:
        return "not installed"
