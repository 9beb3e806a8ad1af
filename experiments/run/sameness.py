"""Whether a folder of results holds the same study as a config: nothing is replaced unasked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from react_rl.documents import read_json
from react_rl.errors import ReActError
from react_rl.files import canonical_json

GROWS: Final = (
    *("strategies", "seeds", "first_seed", "corpora", "reference"),
    *("modules", "full", "device", "jobs"),
)
"""Keys of a comparison that may change: runs are added, and what is finished stays as it is."""

NOT_PLAYED: Final = ("id",)
"""Keys of a corpus that change nothing that is played."""

WHERE: Final = ("device", "modules", "threads")
"""Keys of a training that do not decide what is learned."""

_MOST: Final = 3
_MISSING: Final = object()


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """Say which values differ between two mappings of plain values: ``episode.budget was 20, is 12``.

    Args:
        old: The one that was.
        new: The one that is.
        place: Key under which they are, for messages.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            inner = f"{place}.{key}" if place else str(key)
            found += differences(old.get(key, _MISSING), new.get(key, _MISSING), inner)
        return found
    if old == new:
        return []
    return [f"{place} was {_shown(old)}, is {_shown(new)}"]


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "not there"
    try:
        text = canonical_json(value)
    except ValueError:  # an infinite number, which only a damaged file holds
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_read_now(kind: type[BaseModel], written: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config as this version writes it, keys included that an earlier one did not know.

    Args:
        kind: Its model.
        written: The config in a folder; what cannot be read any more is returned as it is.
    """
    try:
        return kind.model_validate(written).model_dump(mode="json")
    except ValidationError:
        return written


def comparison_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes a comparison another one: all but its strategies, seeds and further corpora.

    Args:
        old: Config of the plan in the folder.
        new: Config that is to run.
    """
    found = differences({k: v for k, v in old.items() if k not in GROWS}, _without(new, GROWS))
    known = {_name_of(corpus): corpus for corpus in _corpora(old)}
    for corpus in _corpora(new):
        name = _name_of(corpus)
        if name in known:
            before, after = (_without(one, NOT_PLAYED) for one in (known[name], corpus))
            found += differences(before, after, f"corpora[{name}]")
    return found


def training_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes a training another one."""
    return differences(_without(old, WHERE), _without(new, WHERE))


def _without(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _corpora(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = config.get("corpora")
    return [c for c in listed if isinstance(c, Mapping)] if isinstance(listed, list | tuple) else []


def _name_of(corpus: Mapping[str, Any]) -> str:
    return str(corpus.get("name") or corpus.get("corpus"))


def refuse_another(folder: Path, what: str, found: list[str]) -> None:
    """Refuse to replace another study.

    Args:
        folder: Where it is.
        what: comparison or training.
        found: What differs.

    Raises:
        ReActError: Something differs.
    """
    if found:
        more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise ReActError(
            f"{folder} holds another {what}: {'; '.join(found[:_MOST])}{more}. "
            "Choose another name with --name, or replace it with --overwrite."
        )


def read_mapping(path: Path) -> dict[str, Any] | None:
    """The JSON mapping in a file; None where there is no such file.

    Raises:
        ReActError: It holds something else.
    """
    if not path.is_file():
        return None
    advice = "remove it, or use --overwrite"
    found = read_json(path, advice)
    if not isinstance(found, dict):
        raise ReActError(f"{path} holds no mapping; {advice}.")
    return found
