"""Large arrays: their shape, and what the kernel is told of their memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from react_rl.large_arrays import large_array

MAPS = Path("/proc/self/smaps")


def flags_of(address: int) -> list[str]:
    """What the kernel was told of the memory at an address; empty where it does not say."""
    inside = False
    for line in MAPS.read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(border, 16) for border in first.split("-"))
            inside = start <= address < end
        elif inside and first == "VmFlags:":
            return line.split()[1:]
    return []


def test_it_has_the_shape_that_was_asked_for() -> None:
    array = large_array(3, 4, 5)
    assert array.shape == (3, 4, 5)
    assert array.dtype == torch.float32
    assert array.is_contiguous()
    assert large_array(2, 0).shape == (2, 0)
    assert large_array(7, device="meta").device.type == "meta"


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux says what it was told of memory")
def test_the_kernel_is_asked_for_large_pages() -> None:
    array = large_array(1 << 24)
    flags = flags_of(array.data_ptr() + (1 << 25))
    if not flags:
        pytest.skip("this kernel does not say what it was told of memory")
    assert "hg" in flags
