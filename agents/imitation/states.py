"""What the expert said at which states: the training data of imitation, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from react_rl.files import write_atomically

_TENSORS: Final = ("rows", "context", "values", "weights", "beside")


@dataclass(frozen=True)
class States:
    """S states with K candidate rows each.

    Args:
        rows: ``(S, K, F)`` float16 standardised features of the candidates.
        context: ``(S, G)`` float32 numbers that all rows of a pool share.
        values: ``(S, K)`` float32 soft score after buying each candidate, or its gain for each unit of cost.
        weights: ``(S, K)`` float32 what each counts, of mean 1. A gain for each unit is as uncertain as its
            row is cheap, so there it counts by its cost.
        beside: ``(S, M, F)`` float16 features at the round's start of rows that stand for the pool; M is 0
            for networks that score each row by itself.
    """

    rows: Tensor
    context: Tensor
    values: Tensor
    weights: Tensor
    beside: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def targets(self) -> Tensor:
        """Values less their mean, in deviations of their state ``(S, K)``, ends cut at 4."""
        centred = self.values - weighted_mean(self.values, self.weights)
        deviation = weighted_mean(centred.square(), self.weights).sqrt().clamp_min(1e-5)
        return (centred / deviation).clamp(-4.0, 4.0)

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        write_atomically(path, safetensors.torch.save(tensors))

    @classmethod
    def load(cls, path: Path) -> States | None:
        """Read what ``save`` wrote; None where the file is missing or damaged."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                states = cls(*(file.get_tensor(name) for name in _TENSORS))
        except (OSError, ValueError, safetensors.SafetensorError):
            return None
        rows, values = states.rows.shape, states.values.shape
        fits = (
            states.weights.shape == values
            and len(rows) == 3
            and rows[:2] == values
            and states.context.shape[:1] == values[:1]
            and states.beside.shape[::2] == rows[::2]
        )
        return states if fits else None

    @classmethod
    def kept(cls, path: Path, collect: Callable[[], States]) -> States:
        """The states in a file, collected and written where it holds none.

        Raises:
            WriteError: They cannot be written.
        """
        states = cls.load(path)
        if states is None:
            states = collect()
            states.save(path)
        return states

    @classmethod
    def join(cls, parts: Sequence[States]) -> States:
        """All states of several groups, in order."""
        return cls(
            torch.cat([part.rows for part in parts]),
            torch.cat([part.context for part in parts]),
            torch.cat([part.values for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.beside for part in parts]),
        )


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over the candidates of each state ``(S, 1)``, weights ``(S, K)`` being of mean 1."""
    return (values * weights).mean(1, keepdim=True)
