"""What a recipe consists of: one frozen model, of which a plain recipe sets nothing."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["softmax", "mlp", "finetune", "tagger"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class SmoothingSettings(_Frozen):
    """Predictions mixed with those of the nearest pool rows; many steps make it label propagation.

    Source: Zhu et al. 2003, Semi-supervised learning using Gaussian fields and harmonic functions (share 1);
    Zhou et al. 2004, Learning with local and global consistency (shares below 1).
    """

    neighbours: int = Field(default=15, ge=1, le=10**4)
    """Nearest pool rows of each row."""
    temperature: float = Field(default=0.05, gt=0, le=100)
    """Neighbours weigh exp(similarity / temperature), made to sum to 1."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the neighbours in a prediction; the rest is what the model itself says."""
    steps: int = Field(default=1, ge=1, le=10**4)
    """Most steps that a label travels; fewer where nothing changes any more."""


class Recipe(_Frozen):
    """How a learner is trained and how its predictions are made, beyond its own settings."""

    smoothing: SmoothingSettings | None = None
    """softmax: mix predictions with those of the nearest pool rows, labelled rows as they were labelled."""

    @property
    def said(self) -> dict[str, Any]:
        """What the recipe sets, as plain values: results are filed under this."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if getattr(self, name) != type(self).model_fields[name].default
        }


PLAIN: Final = Recipe()
"""The learner as it comes."""

KINDS: Final[dict[str, frozenset[Kind]]] = {"smoothing": frozenset({"softmax"})}
"""Kinds of learners that can be trained so, by part of a recipe."""
