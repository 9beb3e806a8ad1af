"""What the expert said at which states: the training data of imitation, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from react_rl.files import digest, write_atomically

_TENSORS: Final = ("rows", "context", "values")
_CHECKSUM: Final = "checksum"


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
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        content = safetensors.torch.save(tensors, {_CHECKSUM: _checksum(tensors)})
        write_atomically(path, content)

    @classmethod
    def load(cls, path: Path) -> States | None:
        """Read what ``save`` wrote; None where the file is missing or damaged."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                known = (file.metadata() or {}).get(_CHECKSUM)
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, ValueError, safetensors.SafetensorError):
            return None
        return cls(**tensors) if known == _checksum(tensors) else None

    @classmethod
    def join(cls, parts: Sequence[States]) -> States:
        """All states of several groups, in order."""
        return cls(
            torch.cat([part.rows for part in parts]),
            torch.cat([part.context for part in parts]),
            torch.cat([part.values for part in parts]),
        )


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    found = tensors.values()
    return digest(*(str(tuple(one.shape)) for one in found), *(one.numpy().tobytes() for one in found))
