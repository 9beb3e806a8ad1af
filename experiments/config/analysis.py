"""What a comparison keeps of the models at the end of each run, beyond their metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from react_rl.experiments.config.frozen import Frozen

Analysis = Literal["robustness", "calibration", "per-class"]
"""What can be kept."""


class RobustnessSettings(Frozen):
    """Disturbed test texts."""

    rows: int = Field(default=500, ge=1, le=10**7)
    """Most test rows that are disturbed; the same ones for every run."""
    share: float = Field(default=0.15, gt=0, le=1)
    """Share of the words that get a typing error, are left out or are replaced."""
    paraphrase: str | None = None
    """Checkpoint with a masked-LM head that replaces words: a folder or a hub name; None leaves it out."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which words; the texts are the same for every strategy and seed."""
