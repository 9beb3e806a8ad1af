"""What all models of a config have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from react_rl.errors import ReActError
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


def check_config(config: object, kind: type[Frozen]) -> None:
    """Check that what a Python program gives as a config is one.

    Raises:
        ReActError: It is something else, such as the path of a file or a mapping.
    """
    if not isinstance(config, kind):
        name = kind.__name__
        raise ReActError(
            f"The config is {config!r:.80}; give a {name}: load_config({name}, 'my.yaml') reads one, "
            f"{name}.model_validate({{...}}) makes one of a mapping."
        )
