"""Which devices share the blocks of a comparison, and in what order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import torch

from react_rl.encoders.transformer import resolve_device

Part = TypeVar("Part")


def devices_of(name: str) -> list[str]:
    """Devices that share the blocks: all GPUs where ``name`` is auto or cuda and there are several.

    Raises:
        ReActError: There is no such device.
    """
    device = resolve_device(name)
    count = torch.cuda.device_count() if str(device) == "cuda" else 0
    return [f"cuda:{index}" for index in range(count)] if count > 1 else [str(device)]


def waves(todo: Sequence[Part], devices: Sequence[str], jobs: int) -> list[list[tuple[Part, str]]]:
    """Deal blocks to the devices in turn, in waves of what may run side by side.

    On several devices a wave ends before the next begins, so that a block never shares its device with one
    of the next wave, whichever worker is free. Blocks take about equally long, so little time is lost.
    """
    dealt = list(zip(todo, itertools.cycle(devices), strict=False))
    size = jobs if len(devices) > 1 else len(dealt)
    return [dealt[start : start + size] for start in range(0, len(dealt), size)]
