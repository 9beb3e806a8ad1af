"""The simulated device refuses what a GPU refuses, and otherwise gives what the CPU gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.simulated_device import simulated_cuda


@pytest.fixture(autouse=True)
def simulated() -> Iterator[None]:
    with simulated_cuda():
        yield


def pair() -> tuple[Tensor, Tensor]:
    """A matrix on the device and one on the CPU."""
    own = torch.arange(9.0).view(3, 3)
    return own.to("cuda"), own


REFUSED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a sum of two devices": lambda a, b: a + b,
    "a product of two devices": lambda a, b: a @ b,
    "in place": lambda a, b: a.add_(b),
    "a number on the device and an array on the CPU": lambda a, b: a[0, 0] * b,
    "parts of two devices": lambda a, b: torch.cat([a, b]),
    "an index on the device into an array on the CPU": lambda a, b: b[torch.tensor([0], device="cuda")],
    "index_select by an index on the CPU": lambda a, b: a.index_select(0, torch.tensor([0])),
    "gather by an index on the CPU": lambda a, b: a.gather(1, b.long()),
    "values on the CPU put into an array on the device": lambda a, b: a.index_put_(
        (torch.tensor([0]),), b[:1]
    ),
    "a choice between two devices": lambda a, b: torch.where(a > 0, a, b),
    "NumPy": lambda a, b: a.numpy(),
    "NumPy, by itself": lambda a, b: np.asarray(a),
    "a generator of the CPU": lambda a, b: torch.rand(3, device="cuda", generator=torch.Generator()),
    "a generator of the device": lambda a, b: b.normal_(generator=torch.Generator("cuda")),
    "a product of whole numbers": lambda a, b: a.long() @ a.long(),
    "a histogram with its edges": lambda a, b: torch.histogram(a, 3),
    "a layer on the CPU": lambda a, b: nn.Linear(3, 3)(a),
    "a second device": lambda a, b: a.to("cuda:1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_gpu_refuses_is_refused(what: str) -> None:
    with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
        REFUSED[what](*pair())


def test_what_cuda_allows_across_devices_is_allowed() -> None:
    a, b = pair()
    assert (a + torch.tensor(1.0)).is_cuda
    assert a[torch.tensor([0, 2])].is_cuda
    assert a.masked_fill(a > 4, torch.tensor(0.0)).is_cuda
    a[0] = b[1]
    b[2] = a[0]
    a[torch.tensor([1])] = torch.tensor(7.0)
    assert a.tolist() == [[3.0, 4.0, 5.0], [7.0, 7.0, 7.0], [6.0, 7.0, 8.0]]
    assert b[2].tolist() == [3.0, 4.0, 5.0]


def test_arrays_say_where_they_are() -> None:
    a, b = pair()
    device = torch.device("cuda", 0)
    assert a.device == device != b.device
    made = [torch.zeros_like(b, device="cuda"), torch.full((2,), 1.0, device="cuda"), a.new_zeros(2), b.to(a)]
    assert all(own.device == device for own in made)
    assert all(own.device.type == "cpu" for own in (a.cpu(), a.to(b), a.new_zeros(2, device="cpu")))
    assert functional.one_hot(a.long()).is_cuda
    assert torch.equal(a.cpu(), b)
    assert f"{a[1, 1]:.1f}" == "4.0"


def test_a_model_learns_there_what_it_learns_on_a_cpu() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.MultiheadAttention(8, 2), nn.Linear(8, 3))
    inputs, classes = torch.randn(6, 4), torch.arange(6) % 3

    def learned(model: nn.Module, device: str) -> list[Tensor]:
        model = model.to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(3):
            hidden = model[1](model[0](inputs.to(device)))  # type: ignore[index]
            scores = model[3](model[2](hidden, hidden, hidden)[0])  # type: ignore[index]
            functional.cross_entropy(scores, classes.to(device)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        assert all(own.device.type == device for own in model.parameters())
        return [own.detach().cpu() for own in model.parameters()]

    for ours, theirs in zip(learned(copy.deepcopy(model), "cuda"), learned(model, "cpu"), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_cross_devices_and_ties_stay() -> None:
    weights = torch.ones(3, device="cuda", requires_grad=True)
    (weights.cpu() * torch.arange(3.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert weights.grad.is_cuda
    assert weights.grad.tolist() == [0.0, 1.0, 2.0]
    tied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    tied[1].weight = tied[0].weight
    tied.to("cuda")
    assert tied[1].weight is tied[0].weight
    assert copy.deepcopy(tied)[0].weight.is_cuda


def test_autocast_of_the_device_reaches_it_and_that_of_the_cpu_does_not() -> None:
    a, _ = pair()
    with torch.autocast("cuda", torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ a).dtype == torch.float32


def test_torch_is_left_as_it_was() -> None:
    before = (torch.zeros, Tensor.to, torch.Generator, nn.Module._apply)
    with simulated_cuda():
        assert torch.zeros is not before[0]
    assert (torch.zeros, Tensor.to, torch.Generator, nn.Module._apply) == before
