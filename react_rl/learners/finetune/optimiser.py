"""AdamW for R episodes side by side: masters in fp32, gradients clipped for each episode on its own."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from react_rl.learners.finetune.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings

_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8


class Optimiser:
    """AdamW with decoupled weight decay, per-episode clipping and rates by layer.

    A step goes array by array, so that a gradient is widened, used and the result narrowed while it is in
    the processor's cache: all passes over all arrays in turn would be bound by memory.

    Source: Loshchilov & Hutter 2019, Decoupled weight decay regularization.

    Args:
        network: Knows each array's layer and the type to compute in.
        masters: ``(R, ...)`` float32 by name; trained in place.
        settings: Decay, clip, layer decay.
        rate: Peak learning rate.

    Attributes:
        working: What the model reads, ``(R, ...)`` by name; the masters themselves in fp32.
    """

    def __init__(
        self, network: Network, masters: dict[str, Tensor], settings: FineTuneSettings, rate: float
    ) -> None:
        self._masters = masters
        self._adapter = network.adapter
        self._clip = settings.clip
        self._same = network.dtype == torch.float32
        for array in masters.values():
            array.requires_grad_(self._same)
        self.working = (
            masters
            if self._same
            else {name: array.to(network.dtype).requires_grad_() for name, array in masters.items()}
        )
        self._rates = {name: rate * settings.layer_decay ** network.depth_of(name) for name in masters}
        self._decay = {name: settings.weight_decay * (array.dim() > 2) for name, array in masters.items()}
        self._first = {name: torch.zeros_like(array) for name, array in masters.items()}
        self._second = {name: torch.zeros_like(array) for name, array in masters.items()}
        device = next(iter(masters.values())).device
        self._buffer = torch.empty(max(array.numel() for array in masters.values()), device=device)
        self._steps = {name: torch.tensor(0.0, device=array.device) for name, array in masters.items()}

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Take one step along the gradients in ``working`` and clear them. Mutates.

        Args:
            factor: On the learning rate.
        """
        taught = {name: work.grad for name, work in self.working.items() if work.grad is not None}
        scale = self._scale(list(taught.values()))
        for name, narrow in taught.items():
            master = self._masters[name]
            # One buffer for all: fresh memory for every array costs more than the arithmetic.
            grad = self._buffer[: narrow.numel()].view(narrow.shape).copy_(narrow)
            if scale is not None:
                grad *= scale.view(-1, *[1] * (narrow.dim() - 1))
            adamw(
                [master], [grad], [self._first[name]], [self._second[name]], [], [self._steps[name]],
                fused=True, amsgrad=False, beta1=_BETAS[0], beta2=_BETAS[1], lr=self._rates[name] * factor,
                weight_decay=self._decay[name], eps=_EPSILON, maximize=False,
            )  # fmt: skip
            self.working[name].grad = None
            if not self._same:
                self.working[name].copy_(master)
            if self._adapter is not None:
                master.grad = grad.clone()
        if self._adapter is not None:
            self._adapter.allocate(self._masters)
            for name, master in self._masters.items():
                master.grad = None
                if not self._same:
                    self.working[name].copy_(master)

    def _scale(self, grads: list[Tensor]) -> Tensor | None:
        """Factor ``(R,)`` float32 that brings each episode's gradient to the bound, None where all are 1."""
        if not grads:
            return None
        # Summed in fp32 inside the kernel; asking for an fp32 result would copy the gradients.
        parts = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads]
        total = torch.stack(parts).float().square_().sum(0).sqrt_()
        scale = (self._clip / (total + 1e-6)).clamp_(max=1.0)
        return None if bool((scale >= 1.0).all()) else scale
