"""Layers that carry one set of weights for each episode, in place of the model's own layers.

The model sees a batch of R times B texts and knows nothing of episodes. Its linear layers, norms and
embedding tables are exchanged for these, which read the weights of R episodes from what is *mounted* and
multiply each episode's texts by its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class Mounted:
    """The weights that the layers read at present.

    Args:
        episodes: R.
        texts: R times B, the texts of the batch.
        weights: By name, each ``(R, ...)`` in the type that the model computes in.
        vocabulary: ``(R, V)`` int64 place of each token in the mounted rows of the word table, or None
            where the whole table is mounted.
        keys: ``(R,)`` int32 keys of the dropout masks, or None where nothing is dropped.
        first: Place of the first text of each episode in the batch that these texts are a piece of.
        tokens: Numbers of packed tokens ``(R, N)`` that decide what is dropped (see ``Packing``); None where
            texts form a rectangle, or nothing is dropped.
    """

    episodes: int = 1
    texts: int = 1
    weights: dict[str, Tensor] = field(default_factory=dict)
    vocabulary: Tensor | None = None
    keys: Tensor | None = None
    first: int = 0
    tokens: Tensor | None = None


def is_linear(module: nn.Module) -> bool:
    """Whether it is a linear layer, or GPT-2's transposed one."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def is_norm(module: nn.Module) -> bool:
    """Whether it is a layer norm, or a root-mean-square norm whose weight multiplies."""
    name = type(module).__name__
    return isinstance(module, nn.LayerNorm) or (name.endswith("RMSNorm") and not name.startswith("Gemma"))


def _matrix(layer: Any) -> Tensor:
    """Weight of a linear layer as ``(out, in)``."""
    weight: Tensor = layer.weight.detach()
    return weight if isinstance(layer, nn.Linear) else weight.T.contiguous()


class EpisodeLinear(nn.Module):
    """A linear layer with an own matrix and bias for each episode, or an own bias alone.

    Args:
        layer: The layer it takes the place of.
        name: Name of the layer in the model.
        mounted: Where the weights are read.
        matrix: Whether the matrix is an episode's own; otherwise it is shared and frozen.
    """

    def __init__(self, layer: Any, name: str, mounted: Mounted, matrix: bool) -> None:
        super().__init__()
        self._mounted = mounted
        self._weight, self._bias = f"{name}.weight", f"{name}.bias"
        self._matrix = matrix
        self._has_bias = getattr(layer, "bias", None) is not None
        weight = _matrix(layer)
        self.frozen: Tensor | None
        self.register_buffer("frozen", None if matrix else weight, persistent=False)
        self.begin: dict[str, Tensor] = {}
        if matrix:
            self.begin[self._weight] = weight.float()
        if self._has_bias:
            bias: Tensor = layer.bias.detach()
            self.begin[self._bias] = bias.float()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R B, ..., in)`` to ``(R B, ..., out)``."""
        mounted = self._mounted
        bias = mounted.weights[self._bias] if self._has_bias else None
        if not self._matrix:
            assert self.frozen is not None
            if mounted.episodes == 1 or bias is None:
                return functional.linear(x, self.frozen, None if bias is None else _only(bias))
            return _per_episode(functional.linear(x, self.frozen), mounted.episodes, bias, torch.add)
        weight = mounted.weights[self._weight]
        if mounted.episodes == 1:
            return functional.linear(x, _only(weight), None if bias is None else _only(bias))
        rows = x.reshape(mounted.episodes, -1, x.shape[-1])
        if bias is None:
            mapped = torch.bmm(rows, weight.transpose(1, 2))
        else:
            mapped = torch.baddbmm(bias[:, None, :], rows, weight.transpose(1, 2))
        return mapped.view(*x.shape[:-1], -1)


class EpisodeLora(nn.Module):
    """A frozen linear layer plus a low-rank update of each episode's own: ``W x + alpha / r B A x``.

    Source: Hu et al. 2022, LoRA: Low-rank adaptation of large language models.

    Args:
        layer: The layer it takes the place of.
        name: Name of the layer in the model.
        mounted: Where A ``(R, r, in)`` and B ``(R, out, r)`` are read.
        rank: r.
        alpha: Scale of the update.
    """

    def __init__(self, layer: nn.Module, name: str, mounted: Mounted, rank: int, alpha: float) -> None:
        super().__init__()
        self._mounted = mounted
        self._down, self._up = f"{name}.lora_A", f"{name}.lora_B"
        self._scale = alpha / rank
        weight = _matrix(layer)
        bias = getattr(layer, "bias", None)
        self.frozen: Tensor
        self.bias: Tensor | None
        self.register_buffer("frozen", weight, persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)
        self.sizes = {self._down: (rank, weight.shape[1]), self._up: (weight.shape[0], rank)}

    def begin(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh A (Kaiming uniform, as published) and B (zero) of one episode."""
        down = torch.empty(self.sizes[self._down])
        bound = 1.0 / math.sqrt(down.shape[1])  # kaiming_uniform_ with a = sqrt(5)
        down.uniform_(-bound, bound, generator=generator)
        return {self._down: down, self._up: torch.zeros(self.sizes[self._up])}

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R B, ..., in)`` to ``(R B, ..., out)``."""
        mounted = self._mounted
        base = functional.linear(x, self.frozen, self.bias)
        down, up = mounted.weights[self._down], mounted.weights[self._up]
        if mounted.episodes == 1:
            return base + functional.linear(functional.linear(x, _only(down)), _only(up)) * self._scale
        rows = x.reshape(mounted.episodes, -1, x.shape[-1])
        update = torch.bmm(torch.bmm(rows, down.transpose(1, 2)), up.transpose(1, 2))
        return base + update.view(base.shape) * self._scale


class EpisodeNorm(nn.Module):
    """A norm with an own scale and shift for each episode, or an own shift alone.

    Args:
        layer: The layer it takes the place of.
        name: Name of the layer in the model.
        mounted: Where the weights are read.
        scale: Whether the scale is an episode's own; otherwise it is shared and frozen.
    """

    def __init__(self, layer: Any, name: str, mounted: Mounted, scale: bool) -> None:
        super().__init__()
        self._mounted = mounted
        self._weight, self._bias = f"{name}.weight", f"{name}.bias"
        self._scale = scale
        self._layer = layer
        self.begin: dict[str, Tensor] = {}
        bias = getattr(layer, "bias", None)
        self._has_bias = bias is not None
        if scale:
            self.begin[self._weight] = layer.weight.detach().float().clone()
            layer.weight.data.fill_(1.0)
        if bias is not None:
            self.begin[self._bias] = bias.detach().float().clone()
            bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(R B, ..., F)``."""
        mounted = self._mounted
        weight = mounted.weights[self._weight] if self._scale else None
        bias = mounted.weights[self._bias] if self._has_bias else None
        layer = self._layer
        if mounted.episodes == 1 and isinstance(layer, nn.LayerNorm):
            own = layer.weight if weight is None else _only(weight)
            shift = None if bias is None else _only(bias)
            return functional.layer_norm(x, layer.normalized_shape, own, shift, layer.eps)
        normed: Tensor = layer(x)
        if weight is not None:
            normed = _per_episode(normed, mounted.episodes, weight, torch.mul)
        if bias is not None:
            normed = _per_episode(normed, mounted.episodes, bias, torch.add)
        return normed


class EpisodeEmbedding(nn.Module):
    """An embedding table of each episode's own.

    Of the word table only the rows that an episode's labelled texts use are trained; in training these
    alone are mounted, in prediction the whole table is.

    Args:
        layer: The table it takes the place of.
        name: Name of the table in the model.
        mounted: Where the rows ``(R, V, F)`` are read.
        words: Whether this is the word table.
    """

    def __init__(self, layer: nn.Embedding, name: str, mounted: Mounted, words: bool) -> None:
        super().__init__()
        self._mounted = mounted
        self.name = f"{name}.weight"
        self.words = words
        self.begin = {self.name: layer.weight.detach().float()}
        self.padding_idx = layer.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ``(R B, T)`` ids, or ``(1, T)`` ids that all texts share."""
        mounted = self._mounted
        table = mounted.weights[self.name]  # (R, V, F)
        if ids.shape[0] != mounted.texts:
            ids = ids.expand(mounted.texts, -1)
        own = ids.reshape(mounted.episodes, -1)
        if self.words and mounted.vocabulary is not None:
            own = mounted.vocabulary.gather(1, own)
        if mounted.episodes > 1:
            own = own + torch.arange(mounted.episodes, device=ids.device)[:, None] * table.shape[1]
        return functional.embedding(own, table.flatten(0, 1)).view(*ids.shape, -1)


def _only(array: Tensor) -> Tensor:
    """The array of the only episode, as a view: the gradient of an index would be written into zeros."""
    return array.view(array.shape[1:])


def _per_episode(x: Tensor, episodes: int, vector: Tensor, apply: Any) -> Tensor:
    """Apply an episode's vector ``(R, F)`` to its texts ``(R B, ..., F)``."""
    rows = x.reshape(episodes, -1, x.shape[-1])
    result: Tensor = apply(rows, vector[:, None, :]).view(x.shape)
    return result
