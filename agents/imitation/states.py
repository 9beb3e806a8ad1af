"""What the expert said at which states: the training data of imitation, in memory and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from react_rl.files import write_atomically


@dataclass(frozen=True)
class States:
    """S states with K candidate rows each.

    Args:
        rows: ``(S, K, F)`` float16 standardised features of the candidates.
        context: ``(S, G)`` float32 numbers that all rows of a pool share.
        values: ``(S, K)`` float32 soft accuracy after buying each candidate.
    """

    rows: Tensor
    context: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def targets(self) -> Tensor:
        """Values less their mean, in deviations of their state ``(S, K)``, ends cut at 4."""
        centred = self.values - self.values.mean(1, keepdim=True)
        deviation = centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-5)
        return (centred / deviation).clamp(-4.0, 4.0)

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        tensors = {"rows": self.rows, "context": self.context, "values": self.values}
        write_atomically(path, safetensors.torch.save({n: t.contiguous() for n, t in tensors.items()}))

    @classmethod
    def load(cls, path: Path) -> States:
        """Read what ``save`` wrote."""
        return cls(**safetensors.torch.load_file(path))

    @classmethod
    def join(cls, parts: Sequence[States]) -> States:
        """All states of several groups, in order."""
        return cls(
            torch.cat([part.rows for part in parts]),
            torch.cat([part.context for part in parts]),
            torch.cat([part.values for part in parts]),
        )
