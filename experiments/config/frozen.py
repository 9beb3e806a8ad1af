"""What all models of a config have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from react_rl.validation import changed


def _as_folder(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return name
    raise ValueError(
        f"{name!r} cannot name a folder of results; use letters (a to z), digits, '.', '_' and '-', and "
        "begin with a letter or a digit"
    )


FolderName = Annotated[str, AfterValidator(_as_folder)]
"""Name of a folder below ``results``."""


class Frozen(BaseModel):
    """A model that cannot be changed, has no other keys, and takes its descriptions from its docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        return changed(self)
