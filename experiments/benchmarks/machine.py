"""What a benchmark ran on: processor, cores, memory bandwidth, versions. Nothing names a person or place."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from react_rl.encoders.processor import processor_class, processor_name


def describe_machine() -> dict[str, Any]:
    """Return processor and its class, cores, memory in GiB, load, system and package versions."""
    return {
        "processor": processor_name(),
        "processor_class": processor_class(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "react-rl": _own_version(),
    }


def describe_device(device: torch.device) -> dict[str, Any]:
    """The machine, and the GPU where it is one."""
    machine = describe_machine()
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        machine["gpu"] = f"{name_device(device)}, {memory / 2**30:.0f} GiB"
    return machine


def name_device(device: torch.device) -> str:
    """Model of the GPU, or of the processor where there is none."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def name_processor(machine: Mapping[str, Any]) -> str:
    """Model and class of the processor, as the head of a table names them; older files have no class."""
    return ", ".join(machine[key] for key in ("processor", "processor_class") if key in machine)


def read_bandwidth(mebibytes: int = 256) -> float:
    """Measure how fast one sum over a large array reads memory, in GB/s, with torch's present threads."""
    array = torch.ones(mebibytes * 2**18)
    best = float("inf")
    for _ in range(5):
        before = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - before)
    return array.numel() * 4 / best / 1e9


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
