"""Two short texts through a model before and after it is changed: what is no longer the same is not served.

Architectures differ in where they scale, normalise and place tokens. A model that is cut or rebuilt at the
wrong spot mostly runs all the same, and gives other states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

Reader = Callable[[dict[str, Tensor], Tensor], Tensor]
"""From ids or hidden states, under the name that models have for them, and a mask ``(B, T)`` to states
``(B, T, H)``."""

_CLOSE: Final = 1e-3
"""Largest difference, as a share of the largest number."""


class Probe:
    """What the untouched model gives.

    Args:
        model: In fp32 on the CPU.
    """

    def __init__(self, model: Any) -> None:
        last = int(model.get_input_embeddings().weight.shape[0]) - 1
        ids = [[min(token, last) for token in line] for line in ([5, 6, 7, 8, 9], [9, 7, 5, 0, 0])]
        self._ids = torch.tensor(ids)
        self._mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        self._known = self._states(model, None, None)

    @property
    def texts(self) -> int:
        """Texts of the probe."""
        return len(self._ids)

    def same(self, model: Any, lower: nn.Module | None = None, read: Reader | None = None) -> bool:
        """Whether the model still gives it.

        Args:
            model: The model as it is now.
            lower: What gives the states that it runs on; None where it reads ids.
            read: Another way to run it.
        """
        try:
            states = self._states(model, lower, read)
        # Architectures fail in their own ways: wrong shapes, unknown arguments, missing weights.
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
            return False
        bound = _CLOSE * float(self._known.abs().max())
        return states.shape == self._known.shape and bool(((states - self._known).abs() <= bound).all())

    @torch.no_grad()
    def _states(self, model: Any, lower: nn.Module | None, read: Reader | None) -> Tensor:
        """Hidden states of the real tokens ``(tokens, H)``."""
        given = {"input_ids": self._ids}
        if lower is not None:
            given = {"inputs_embeds": lower(**given, attention_mask=self._mask).last_hidden_state}
        if read is None:
            states: Tensor = model(**given, attention_mask=self._mask).last_hidden_state
        else:
            states = read(given, self._mask.bool())
        return states[self._mask.bool()]
