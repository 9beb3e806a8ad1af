"""What all models of a config have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from react_rl.validation import changed


class Frozen(BaseModel):
    """A model that cannot be changed, has no other keys, and takes its descriptions from its docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        return changed(self)
