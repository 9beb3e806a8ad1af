"""What this processor does, found by trying: whether products can round their factors, and whether that pays.

No list of processor features is read: libraries may be told to leave some out, and what a processor has it
need not do quickly. What was timed is noted in the cache folder under the machine's fingerprint, so that a
machine decides once, whatever else it does at the time, and gives the same bytes ever after.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from react_rl.encoders.cache import default_folder
from react_rl.files import canonical_json, digest, write_atomically

LIMITS: Final = (
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR", "OPENBLAS_CORETYPE",
)  # fmt: skip
"""Variables that make libraries leave out instructions which the processor has."""

PAYS: Final = 0.8
"""Rounding is worth it where it takes less than this share of the time: well outside what timings vary by."""

_SIZE: Final = (512, 384, 1536)
_REPEATS: Final = 9


def fingerprint() -> str:
    """Digest of what decides how fast products are: processor, library versions and limits.

    Whether products are rounded is tried for it: virtual machines of one name differ in what they may use.
    """
    return digest(
        "processor",
        platform.machine(),
        processor_name(),
        torch.__version__,
        torch.__config__.show(),
        str(rounds_products()),
        *(f"{name}={os.environ.get(name, '')}" for name in LIMITS),
    )


def processor_name() -> str:
    """Model of the processor as the system tells it, with family and model numbers where there are any."""
    info = Path("/proc/cpuinfo")
    with suppress(OSError):
        lines = info.read_text().split("\n\n")[0].splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "model name" in fields:
            family = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
            return f"{fields['model name']} ({family})"
    return platform.processor() or platform.machine()


def processor_class() -> str:
    """What a speed measured here stands for: how much quicker than fp32 products are in bf16, tried now.

    Returns:
        Such as ``bf16 products 3.1 times as fast as fp32, AMX``.
    """
    seconds = _seconds(("exact", "bf16"))
    has = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    ratio = seconds["exact"] / seconds["bf16"]
    return f"bf16 products {ratio:.1f} times as fast as fp32, {'AMX' if has else 'no AMX'}"


def arithmetic() -> str:
    """What was decided on this machine, and which limits are set; results differ where this differs.

    Returns:
        Such as ``bf16, rounded products``, or ``fp32, exact products; ONEDNN_MAX_CPU_ISA=AVX2``.
    """
    decided = f"{'bf16' if bf16_pays() else 'fp32'}, {'rounded' if rounding_pays() else 'exact'} products"
    return "; ".join([decided, *(f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ)])


@cache
def rounds_products() -> bool:
    """Whether a product of two fp32 matrices rounds their factors to bf16 when torch is told so."""
    left, right = _factors()
    exact, rounded = left @ right, left.bfloat16().float() @ right.bfloat16().float()
    with rounding():
        found = left @ right
    # Another library may do it then and add up in another order, which is no rounding of factors.
    return bool((found - rounded).abs().max() < (found - exact).abs().max())


@cache
def rounding_pays() -> bool:
    """Whether fp32 products with rounded factors are quicker here, by a measurement that is made once."""
    return rounds_products() and _decided("rounded")


@cache
def bf16_pays() -> bool:
    """Whether products of bf16 matrices are quicker here than of fp32, by a measurement that is made once."""
    return _decided("bf16")


@contextmanager
def rounding() -> Iterator[None]:
    """Context in which fp32 products may round their factors to bf16; sums stay in fp32.

    It holds for the whole process, and may slow products of stacks (``bmm``) down.
    """
    switch = _switch()
    if switch is None:
        yield
        return
    before = switch.fp32_precision
    switch.fp32_precision = "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before


def _switch() -> Any:
    """Torch's switch for products on a CPU; None where this version has none."""
    found = getattr(torch.backends.mkldnn, "matmul", None)
    return found if hasattr(found, "fp32_precision") else None


def _factors() -> tuple[Tensor, Tensor]:
    rows, inner, columns = _SIZE
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, inner, generator=generator), torch.randn(inner, columns, generator=generator)


def _decided(kind: str) -> bool:
    """Whether a kind of product is quicker than the exact one: as noted, or else measured now and noted."""
    path = default_folder() / "processor" / f"{fingerprint()[:32]}.json"
    noted = _noted(path)
    if kind not in noted:
        seconds = _seconds(("exact", kind))
        # Another process may have been first: the machine keeps to what was noted.
        noted = {kind: seconds[kind] < PAYS * seconds["exact"]} | _noted(path)
        with suppress(OSError):
            write_atomically(path, canonical_json(noted | {"processor": processor_name()}, indent=1) + "\n")
    return bool(noted[kind])


def _noted(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _seconds(kinds: Sequence[str]) -> dict[str, float]:
    """Shortest of several turns of each kind of product; turns alternate, so that load meets all alike."""
    left, right = _factors()
    half = right.bfloat16()  # as autocast does it: weights are cast once, what they meet every time

    def product(kind: str) -> None:
        if kind == "bf16":
            torch.mm(left.bfloat16(), half)
        else:
            with rounding() if kind == "rounded" else nullcontext():
                torch.mm(left, right)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = dict.fromkeys(kinds, math.inf)
    try:
        with torch.inference_mode():
            for kind in kinds:
                product(kind)  # makes its kernel
            for _ in range(_REPEATS):
                for kind in kinds:
                    started = time.perf_counter()
                    product(kind)
                    seconds[kind] = min(seconds[kind], time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return seconds
