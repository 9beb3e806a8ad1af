"""Parts from a user's own module, named ``module:Name`` wherever a name is expected."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any, Final

from react_rl.errors import ReActError, suggestion

_NAME: Final = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Whether ``name`` has the form ``module:Name``."""
    return _NAME.fullmatch(name) is not None


def look_in(folder: Path) -> None:
    """Find modules in ``folder`` too, as Python finds those beside a program. Mutates ``sys.path``."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)


def load_own(name: str, what: str) -> Any:
    """Import what ``module:Name`` names; modules in the current folder are found.

    Args:
        name: The name.
        what: What it should be, for messages: a strategy, ...

    Returns:
        The object; a class or function is not called.

    Raises:
        ReActError: The module cannot be imported, or has no such name.
    """
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise ReActError(f"{what} {name!r} does not have the form module:Name.")
    module_name, attribute = matched.groups()
    look_in(Path())
    try:
        module = importlib.import_module(module_name)
    # A module may raise whatever it likes while it is imported.
    except Exception as error:
        raise ReActError(
            f"{what} {name!r}: the module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {error}); it must be installed, or be beside the config or in the "
            "current folder."
        ) from error
    if not hasattr(module, attribute):
        names = [one for one in vars(module) if not one.startswith("_")]
        raise ReActError(
            f"{what} {name!r}: the module {module_name!r} has no {attribute!r}.{suggestion(attribute, names)}"
        )
    return getattr(module, attribute)


def make_own(name: str, what: str, parts: tuple[str, ...]) -> Any:
    """Import what ``module:Name`` names, make it if it is a class or function, and check it.

    Args:
        name: The name.
        what: What it should be, for messages.
        parts: Attributes that it must have.

    Raises:
        ReActError: It cannot be made, or lacks a part.
    """
    found = load_own(name, what)
    if isinstance(found, type) or (callable(found) and not all(hasattr(found, part) for part in parts)):
        try:
            found = found()
        except Exception as error:
            raise ReActError(
                f"{what} {name!r} cannot be made without arguments ({type(error).__name__}: {error})."
            ) from error
    missing = [part for part in parts if not hasattr(found, part)]
    if missing:
        raise ReActError(f"{what} {name!r} lacks {', '.join(missing)}; it needs {', '.join(parts)}.")
    return found
