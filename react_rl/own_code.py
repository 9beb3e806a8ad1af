"""Parts from outside the package: ``module:Name`` of a user's own module, and names that packages announce.

The registries hold what comes with this package; this is where they look for a name that they do not have.
Packages announce parts as entry points in the groups below.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from react_rl.errors import ReActError, suggestion, unknown

_NAME: Final = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
_ENDING: Final = re.compile(
    r"(?:^|:)(?!(?:feature|subsample|distinct|proxy|per-cost|hub):)([A-Za-z_][\w.]*:[A-Za-z_]\w*)$"
)


@dataclass(frozen=True)
class PartKind:
    """A kind of part that can come from outside.

    Args:
        what: Its word in messages.
        group: Group of entry points in which packages announce such parts.
    """

    what: str
    group: str


STRATEGY: Final = PartKind("strategy", "react_rl.strategies")
FEATURE: Final = PartKind("feature", "react_rl.features")
REWARD: Final = PartKind("reward", "react_rl.rewards")
OBSERVATION: Final = PartKind("observation", "react_rl.observations")
ACTION_SPACE: Final = PartKind("action space", "react_rl.action_spaces")
NETWORK: Final = PartKind("network", "react_rl.networks")
CORPUS: Final = PartKind("corpus", "react_rl.corpora")
LEARNER: Final = PartKind("learner", "react_rl.learners")
ENCODER: Final = PartKind("encoder", "react_rl.encoders")


def is_own(name: str) -> bool:
    """Whether ``name`` has the form ``module:Name``."""
    return _NAME.fullmatch(name) is not None


def module_of(name: str) -> str:
    """The module of ``module:Name``."""
    return name.split(":")[0]


def is_outside(name: str, kind: PartKind) -> bool:
    """Whether ``name`` has the form ``module:Name``, or an installed package announces it."""
    return is_own(name) or name in announced(kind.group)


@cache
def announced(group: str) -> Mapping[str, metadata.EntryPoint]:
    """What installed packages announce in a group of entry points, by name."""
    return {point.name: point for point in metadata.entry_points(group=group)}


def look_in(folder: Path) -> None:
    """Find modules in ``folder`` too, as Python finds those beside a program. Mutates ``sys.path``."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)


def import_modules(names: Iterable[str]) -> None:
    """Import modules by name; those in the current folder are found.

    Raises:
        ReActError: One cannot be imported.
    """
    for name in names:
        _import(name, f"Module {name!r}")


def require_imported(name: str, where: str) -> None:
    """Check that a name from a file leads to code that somebody here has imported: a file must not run any.

    Args:
        name: Any name; ``module:Name`` counts by itself and at the end of ``feature:`` and ``subsample:``.
        where: What names it, for the message.

    Raises:
        ReActError: It is ``module:Name``, and the module has not been imported or is Python's own.
    """
    own = _ENDING.search(name)
    if own is None:
        return
    module = module_of(own[1])
    if module not in sys.modules or module.split(".")[0] in sys.stdlib_module_names:
        raise ReActError(
            f"{where} uses {own[1]!r}, code of your own that has not been imported; list {module!r} under "
            f"'modules' in the config, give --modules {module}, or import it in your program."
        )


def load_outside(name: str, kind: PartKind) -> Any:
    """Import what ``name`` stands for: ``module:Name``, or a part that an installed package announces.

    Args:
        name: The name; modules in the current folder are found.
        kind: What it should be.

    Returns:
        The object as it is in its module; a class or function is not called.

    Raises:
        ReActError: The module cannot be imported, or has no such name.
    """
    what = f"{kind.what.capitalize()} {name!r}"
    matched = _NAME.fullmatch(name)
    if matched is None:
        point = announced(kind.group)[name]
        try:
            return point.load()
        # A package may raise whatever it likes while it is imported.
        except Exception as error:
            raise ReActError(
                f"{what}, which an installed package announces as {point.value!r}, cannot be loaded "
                f"({type(error).__name__}: {error}); repair or remove that package."
            ) from error
    module_name, attribute = matched.groups()
    module = _import(module_name, what)
    if not hasattr(module, attribute):
        names = [one for one in vars(module) if not one.startswith("_")]
        raise ReActError(
            f"{what}: the module {module_name!r} has no {attribute!r}.{suggestion(attribute, names)}"
        )
    return getattr(module, attribute)


def _import(module: str, what: str) -> Any:
    look_in(Path())
    try:
        return importlib.import_module(module)
    # A module may raise whatever it likes while it is imported.
    except Exception as error:
        raise ReActError(
            f"{what}: the module {module!r} cannot be imported ({type(error).__name__}: {error}); it must be "
            "installed, or be beside the config or in the current folder."
        ) from error


def make_outside(
    name: str,
    kind: PartKind,
    methods: tuple[str, ...],
    values: tuple[str, ...] = (),
    arguments: tuple[Any, ...] = (),
) -> Any:
    """Import what ``name`` stands for, make it if it is a class, and check it.

    Args:
        name: ``module:Name``, or a name that a package announces.
        kind: What it should be.
        methods: What it must have; seen before a class is called, so that nothing else ever is.
        values: What it must have once it is made.
        arguments: What a class is called with.

    Raises:
        ReActError: It cannot be imported, lacks a method, or cannot be made.
    """
    found = load_outside(name, kind)
    what = f"{kind.what.capitalize()} {name!r}"
    missing = [method for method in methods if not callable(getattr(found, method, None))]
    if missing:
        raise ReActError(
            f"{what} has no {missing[0]!r}; it must be a class or an object with "
            f"{', '.join([*methods, *values])}."
        )
    if isinstance(found, type):
        found = _called(found, arguments, what)
    missing = [value for value in values if not hasattr(found, value)]
    if missing:
        raise ReActError(f"{what} has no {missing[0]!r}; it needs {', '.join([*methods, *values])}.")
    return found


def outside_class(name: str, kind: PartKind, base: type, public: str, known: Iterable[str]) -> type[Any]:
    """Import the class that ``name`` stands for, which is not among the registered ones.

    Args:
        name: ``module:Name``, or a name that a package announces.
        kind: What it should be.
        base: What it must be derived from.
        public: Where users import that from.
        known: Names that are registered, for the message.

    Raises:
        ReActError: There is none, the nearest name is given; or it is no such class.
    """
    if not is_outside(name, kind):
        raise unknown(kind.what, name, [*known, *announced(kind.group), "module:Name"])
    found = load_outside(name, kind)
    if not isinstance(found, type) or not issubclass(found, base):
        raise ReActError(
            f"{kind.what.capitalize()} {name!r} is {found!r:.80}; it must be a class derived from {public}."
        )
    return found


def _called(kind: type, arguments: tuple[Any, ...], what: str) -> Any:
    try:
        return kind(*arguments)
    # A class may raise whatever it likes.
    except Exception as error:
        given = "without arguments" if not arguments else f"from {', '.join(map(repr, arguments))}"
        raise ReActError(
            f"{what} cannot be made {given} ({type(error).__name__}: {error}); give its arguments defaults."
        ) from error


def sources_outside(parts: Iterable[object]) -> tuple[str, ...]:
    """Texts of ``source_of`` for those functions, classes and objects that do not come with this package."""
    return tuple(text for part in parts if not _packaged(_module(part)) for text in source_of(part))


def _module(part: object) -> str:
    kind = part if isinstance(part, type) or inspect.isroutine(part) else type(part)
    return getattr(kind, "__module__", "")


def _packaged(module: str) -> bool:
    return module.split(".")[0] == "react_rl"


def source_of(part: object) -> tuple[str, ...]:
    """Texts that change when the code or the settings of a part do: its source, its module, its values.

    Args:
        part: A function, a class or an object; of what comes with this package the module is left out.
    """
    kind = part if isinstance(part, type) or inspect.isroutine(part) else type(part)
    module = _module(part)
    path = getattr(sys.modules.get(module), "__file__", None)
    text = own = ""
    if path is not None and not _packaged(module):
        with suppress(OSError, UnicodeDecodeError):
            text = Path(path).read_text(encoding="utf-8")
    with suppress(OSError, TypeError):  # made at a prompt
        own = inspect.getsource(kind)
    values = re.sub(r" at 0x[0-9a-f]+", "", repr(part))
    return (f"{module}.{getattr(kind, '__qualname__', '')}", own, text, values)
