"""Where a search stands, on disk: a search that was stopped goes on there, and ends in the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from react_rl.files import write_atomically


@dataclass
class SearchState:
    """Points of a search, in deviations of the policy's scores.

    Args:
        points: ``(D, B)`` after each step, the start first.
        slopes: ``(D, B)`` float32 estimated at each step.
        checks: Steps after which the average was played.
        averages: ``(D, B)`` what was played there.
        areas: ``(V,)`` float64 areas of the validation episodes there.
    """

    points: list[Tensor]
    slopes: list[Tensor] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    averages: list[Tensor] = field(default_factory=list)
    areas: list[Tensor] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self.slopes)

    def average(self, share: float) -> Tensor:
        """Mean ``(D, B)`` of the last points, this share of all."""
        count = max(round(share * self.steps), 1)
        return torch.stack(self.points[-count:]).mean(0)

    def save(self, path: Path, key: str) -> None:
        """Write to a safetensors file, under the key of the search."""
        named = {"checks": torch.tensor(self.checks, dtype=torch.int64)}
        for name in ("points", "slopes", "averages", "areas"):
            parts = getattr(self, name)
            named[name] = torch.stack(parts) if parts else torch.zeros(0)
        write_atomically(path, safetensors.torch.save(named, {"key": key}))

    @classmethod
    def load(cls, path: Path, key: str) -> SearchState | None:
        """Read what ``save`` wrote; None where there is none of this key, or it is damaged."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                if (file.metadata() or {}).get("key") != key:
                    return None
                lists = {
                    name: list(file.get_tensor(name).unbind(0))
                    for name in ("points", "slopes", "averages", "areas")
                }
                checks = file.get_tensor("checks").tolist()
        except (OSError, ValueError, safetensors.SafetensorError):
            return None
        return cls(checks=checks, **lists)
