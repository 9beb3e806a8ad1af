"""AdamW for R episodes side by side: masters in fp32, gradients clipped for each episode on its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.anchoring import pull
from react_rl.learners.finetune.training.holding import Held

_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8
_PIECE: Final = {"cpu": 131072}
"""Numbers stepped at a time: with their moments and their gradient they fit into a processor's cache."""


@dataclass(frozen=True)
class _Piece:
    """Part of an array, as ``(rows, columns)`` of it flattened to ``(R, n)``."""

    rows: slice
    columns: slice
    master: Tensor
    first: Tensor
    second: Tensor
    buffer: Tensor
    working: Tensor
    anchor: Tensor | None
    importance: Tensor | None


class Optimiser:
    """AdamW with decoupled weight decay, per-episode clipping and rates by layer.

    A step goes piece by piece, so that a gradient is widened, used and the result narrowed while it is in
    the processor's cache: all passes over all arrays in turn would be bound by memory.

    Source: Loshchilov & Hutter 2019, Decoupled weight decay regularization.

    Args:
        network: Knows each array's layer and the type to compute in.
        masters: ``(R, ...)`` float32 by name; trained in place.
        settings: Decay, clip, layer decay, pull to the anchors.
        rate: Peak learning rate.
        anchors: ``(R, ...)`` float32 by name; None where nothing is pulled. What pulls is not clipped.
        held: What else pulls, each weight by its importance.

    Attributes:
        working: What the model reads, ``(R, ...)`` by name; the masters themselves in fp32.
    """

    def __init__(
        self,
        network: Network,
        masters: dict[str, Tensor],
        settings: FineTuneSettings,
        rate: float,
        anchors: Mapping[str, Tensor] | None = None,
        held: Held = Held(),  # noqa: B008 - frozen
    ) -> None:
        self._masters = masters
        self._adapter = network.adapter
        self._clip = settings.clip
        self._strength = 0.0 if anchors is None else settings.l2_sp
        self._anchors = anchors if anchors is not None and settings.l2_sp > 0 else {}
        self._importance: Mapping[str, Tensor] = {}
        if held.weights:
            self._anchors, self._importance, self._strength = held.weights, held.importance, 1.0
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
        self._steps = dict.fromkeys(masters, 0)
        # One buffer for all pieces: fresh memory for each costs more than the arithmetic.
        device = next(iter(masters.values())).device
        longest = max(array.numel() for array in masters.values())
        self._buffer = torch.empty(min(longest, _PIECE.get(device.type, longest)), device=device)
        self._pieces = {name: list(self._cut(name)) for name in masters}

    def _cut(self, name: str) -> Iterator[_Piece]:
        """Pieces of an array: some episodes' whole arrays, or a part of one episode's."""
        arrays = (self._masters[name], self._first[name], self._second[name], self.working[name])
        episodes = arrays[0].shape[0]
        master, first, second, working = (array.detach().view(episodes, -1) for array in arrays)
        size = master.shape[1]
        anchor = self._anchors[name].reshape(episodes, -1) if name in self._anchors else None
        share = self._importance[name].reshape(episodes, -1) if name in self._importance else None
        most = self._buffer.numel()
        rows, columns = max(1, most // size), math.ceil(size / math.ceil(size / most))
        for row in range(0, episodes, rows):
            for column in range(0, size, columns):
                r, c = slice(row, row + rows), slice(column, column + columns)
                part = master[r, c]
                yield _Piece(
                    r,
                    c,
                    part,
                    first[r, c],
                    second[r, c],
                    self._buffer[: part.numel()].view(part.shape),
                    working[r, c],
                    None if anchor is None else anchor[r, c],
                    None if share is None else share[r, c],
                )

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Take one step along the gradients in ``working`` and clear them. Mutates.

        Args:
            factor: On the learning rate.
        """
        taught = {name: work.grad for name, work in self.working.items() if work.grad is not None}
        scale = self._scale(list(taught.values()))
        scales = [] if scale is None else scale.tolist()
        counts: dict[int, Tensor] = {}
        for name, narrow in taught.items():
            self._steps[name] += 1
            steps = self._steps[name]
            if steps not in counts:
                counts[steps] = torch.tensor(float(steps), device=narrow.device)
            rate, grads = self._rates[name] * factor, narrow.reshape(narrow.shape[0], -1)
            for piece in self._pieces[name]:
                grad = piece.buffer.copy_(grads[piece.rows, piece.columns])
                if scale is not None:
                    grad *= scale[piece.rows, None] if len(piece.master) > 1 else scales[piece.rows.start]
                if piece.anchor is not None:
                    pull(grad, piece.master, piece.anchor, self._strength, piece.importance)
                torch._fused_adamw_(
                    [piece.master], [grad], [piece.first], [piece.second], [], [counts[steps]],
                    amsgrad=False, beta1=_BETAS[0], beta2=_BETAS[1], lr=rate,
                    weight_decay=self._decay[name], eps=_EPSILON, maximize=False,
                )  # fmt: skip
                if not self._same:
                    piece.working.copy_(piece.master)
            self.working[name].grad = None
            if self._adapter is not None:
                wide = narrow.float()
                whole = wide if scale is None else wide * scale.view(-1, *[1] * (narrow.dim() - 1))
                self._masters[name].grad = whole
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
