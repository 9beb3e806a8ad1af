"""A CUDA device that is simulated on the CPU, so that tensors on the wrong device are found without a GPU.

Within ``simulated_cuda()`` a tensor that is made on ``"cuda"``, or moved there, is a ``SimulatedTensor``: it
computes on the CPU and says that it is on ``cuda:0``. What raises on a GPU raises here: operations on tensors
of two devices, ``numpy()`` without ``cpu()``, generators of another device, integer matrix products,
operations that CUDA lacks. Speed, memory, rounding, kernels and streams are the CPU's: this does not replace
a run on a GPU.

``__torch_dispatch__`` sees each operation below autograd, in backward passes too. What callers write, such as
``device=`` and ``to``, is seen by functions that take the place of torch's.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

CUDA: Final = torch.device("cuda", 0)
CPU: Final = torch.device("cpu")

aten = torch.ops.aten

_ANY_DEVICE: Final = {aten.copy_, aten._to_copy, aten._foreach_copy_, aten._has_compatible_shallow_copy_type}
_SCALAR_FROM_CPU: Final = {aten.where, aten.masked_fill, aten.masked_fill_, aten.fill, aten.fill_}
_INDEXED: Final = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index, aten._index_put_impl_}
_NO_INTEGERS: Final = {
    aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.mv, aten.addmv, aten.dot, aten.convolution
}  # fmt: skip
_CPU_ONLY: Final = {aten.histogram, aten.histogramdd}

_MAKERS: Final = (
    "arange", "as_tensor", "empty", "empty_like", "eye", "full", "full_like", "linspace", "logspace", "ones",
    "ones_like", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "tensor",
    "tril_indices", "triu_indices", "zeros", "zeros_like", "bernoulli", "multinomial", "normal",
)  # fmt: skip
"""Functions of torch that take a device or a generator."""

_METHODS: Final = (
    "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros", "bernoulli", "bernoulli_", "exponential_",
    "multinomial", "normal_", "random_", "uniform_",
)  # fmt: skip
"""Methods of tensors that do."""


class SimulatedTensor(Tensor):
    """A tensor on the simulated device; ``inside`` is the CPU tensor that shares its memory."""

    inside: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        _check(func, args, found)
        result = func(*tree_map(_inside, args), **tree_map(_inside, kwargs or {}))
        known = {id(_inside(leaf)): leaf for leaf in found} if func._schema.is_mutable else {}
        if any(_inside(leaf).shape != leaf.shape for leaf in known.values()):
            raise NotImplementedError(f"{func} changes a shape in place, which is not simulated.")
        return tree_map(lambda leaf: known[id(leaf)] if id(leaf) in known else _simulated(leaf), result)

    def get_device(self) -> int:
        return 0

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self.inside.numpy()

    def tolist(self) -> Any:
        return self.inside.tolist()

    def __format__(self, spec: str) -> str:
        return str(self.inside.__format__(spec))  # type: ignore[no-untyped-call]

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.inside!r} on {CUDA}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            made = self.detach().clone().requires_grad_(self.requires_grad)
            made.__dict__.update({name: own for name, own in self.__dict__.items() if name != "inside"})
            memo[id(self)] = made
        return memo[id(self)]


class _Move(torch.autograd.Function):
    """Copies to another device and takes gradients back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, device: torch.device) -> Tensor:
        ctx.back = tensor.device
        copied: Tensor = _inside(tensor).detach().clone()
        return _simulated(copied) if device == CUDA else copied

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _moved(grads[0], ctx.back), None


class _Generator(torch.Generator):
    """A generator of either device; both draw on the CPU."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, "cpu")  # type: ignore[call-arg]

    def __init__(self, device: Any = "cpu") -> None:
        self._at = _known(device)

    device = property(lambda self: self._at)


class _Autocast(torch.amp.autocast_mode.autocast):
    """Autocast of the simulated device; that of the CPU does not reach it."""

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, **others: Any) -> None:
        super().__init__("cpu", dtype or torch.bfloat16, enabled and device_type == "cuda", **others)


@contextlib.contextmanager
def simulated_cuda() -> Iterator[None]:
    """Have one CUDA GPU of compute capability 9.0, simulated on the CPU."""
    # These take stock of torch's functions, which are about to change.
    importlib.import_module("torch._dynamo")
    torch.utils._device._device_constructors()
    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "simulated",
        "get_device_capability": lambda *_: (9, 0),
        "get_device_properties": lambda *_: SimpleNamespace(name="simulated", total_memory=2**36),
        "is_bf16_supported": lambda *_: True,
        "mem_get_info": lambda *_: (2**35, 2**36),
        "get_rng_state": lambda *_: torch.get_rng_state(),
        **dict.fromkeys(
            ("empty_cache", "synchronize", "set_rng_state", "manual_seed", "manual_seed_all"), lambda *_: None
        ),
    }
    functional = torch.nn.functional
    changes: list[tuple[Any, str, Any]] = [
        *((torch.cuda, name, own) for name, own in cuda.items()),
        # Where torch is built for CUDA, optimisers would ask its driver for a stream.
        (torch.accelerator, "current_accelerator", lambda *_, **__: None),
        *((torch, name, _placing(getattr(torch, name))) for name in _MAKERS),
        *((Tensor, name, _placing(getattr(Tensor, name))) for name in _METHODS),
        (Tensor, "to", _to),
        (Tensor, "cpu", lambda tensor, **_: _moved(tensor, CPU)),
        (Tensor, "cuda", lambda tensor, *_, **__: _moved(tensor, CUDA)),
        (Tensor, "pin_memory", lambda tensor, *_: tensor),
        # It makes a tensor on the device that C++ sees, which is the CPU.
        (functional, "one_hot", partial(_on_cpu, functional.one_hot)),
        (torch.nn.Module, "_apply", _apply),
        (torch, "Generator", _Generator),
        (torch, "autocast", _Autocast),
        (torch.amp, "autocast", _Autocast),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, other in changes:
            stack.enter_context(mock.patch.object(owner, name, other))
        yield


@contextlib.contextmanager
def cuda_device() -> Iterator[str]:
    """Have a CUDA device, a simulated one where there is no other, by its name."""
    with contextlib.nullcontext() if torch.cuda.is_available() else simulated_cuda():
        yield "cuda"


def _known(device: Any) -> torch.device:
    """Return a device as tensors name it."""
    found = torch.device(device)
    if found.type not in ("cpu", "cuda", "meta") or found.index not in (None, 0):
        raise RuntimeError(f"{device} is not simulated.")
    return CUDA if found.type == "cuda" else torch.device(found.type)


def _inside(leaf: Any) -> Any:
    return leaf.inside if isinstance(leaf, SimulatedTensor) else leaf


def _simulated(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or isinstance(leaf, SimulatedTensor):
        return leaf
    made = Tensor._make_subclass(SimulatedTensor, leaf.detach(), False)
    made.inside = leaf.detach()
    return made


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy on ``device``; the tensor itself where it is there."""
    if tensor.device == device:
        return tensor
    moved: Tensor = _Move.apply(tensor, device)  # type: ignore[no-untyped-call]
    return moved


def _placing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a function that takes a device or a generator does with the simulated ones."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        asked, generator = kwargs.get("device"), kwargs.get("generator")
        like = next((leaf for leaf in args if isinstance(leaf, Tensor)), None)
        there = _known(asked) if asked is not None else CPU if like is None else like.device
        if generator is not None and generator.device != there:
            raise RuntimeError(f"Expected a {there} device type for generator but found {generator.device}")
        if asked is None or there.type == "meta":
            return function(*args, **kwargs)
        rest = {k: own for k, own in kwargs.items() if k != "requires_grad"} | {"device": CPU}
        made = _moved(function(*args, **rest), there)
        return made.requires_grad_() if kwargs.get("requires_grad") else made

    return call


_real_to: Final[Callable[..., Tensor]] = Tensor.to


def _to(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    other = args[0] if args and isinstance(args[0], Tensor) else kwargs.pop("other", None)
    if other is None:
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    else:
        device, dtype, layout = other.device, other.dtype, None
    there = tensor.device if device is None else _known(device)
    if "meta" in (there.type, tensor.device.type):
        return _real_to(tensor, *args, copy=copy, **kwargs)
    own: dict[str, Any] = {} if layout is None else {"memory_format": layout}
    copied = copy and there == tensor.device
    return _moved(_real_to(tensor, dtype=dtype or tensor.dtype, copy=copied, **own), there)


_real_apply: Final[Callable[..., torch.nn.Module]] = torch.nn.Module._apply


def _apply(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """Let a module exchange its parameters for others of another class, which keeps ties between them."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return _real_apply(module, *args, **kwargs)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _on_cpu(function: Callable[..., Tensor], tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return what a function without a gradient gives, on the tensor's device."""
    return _moved(function(_inside(tensor), *args, **kwargs), tensor.device)


def _check(func: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """Raise where CUDA would: tensors of two devices, or an operation that it lacks."""
    packet = func.overloadpacket
    if packet in _CPU_ONLY:
        raise NotImplementedError(f"{func} is not implemented for CUDA.")
    if packet in _NO_INTEGERS and not (tensors[0].is_floating_point() or tensors[0].is_complex()):
        raise RuntimeError(f'"{func}" not implemented for {tensors[0].dtype} on CUDA')
    if packet in _ANY_DEVICE or all(isinstance(one, SimulatedTensor) for one in tensors):
        return
    if packet in _INDEXED and isinstance(args[0], SimulatedTensor):
        tensors = [value for value in args[2:3] if value.dim()]
    elif packet in _SCALAR_FROM_CPU or torch.Tag.pointwise in func.tags:
        tensors = [one for one in tensors if one.dim() or isinstance(one, SimulatedTensor)]
    if not all(isinstance(one, SimulatedTensor) for one in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, found cuda:0 and cpu ({func})")
