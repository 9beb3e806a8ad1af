"""What is done to the states of texts between two layers of the model, for the length of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Between:
    """A change of the states that leave one of the trained layers.

    Args:
        layer: Which, counted from 1.
        change: From states ``(R B, T, H)`` and mask ``(R B, T)`` to states of the same shape.

    Attributes:
        mask: ``(R B, T)`` bool, True where there is a token; set by the network.
    """

    def __init__(self, layer: int, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.layer = layer
        self.mask: Tensor | None = None
        self._change = change

    def on(self, module: nn.Module, given: Any, left: Any) -> Any:
        """A forward hook: what leaves the layer, changed; layers give states alone or first of several."""
        assert self.mask is not None, "set before the model runs"
        if isinstance(left, tuple):
            return (self._change(left[0], self.mask), *left[1:])
        return self._change(left, self.mask)
