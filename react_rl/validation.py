"""Settings from mappings: one clear sentence for a wrong key or value, before anything heavy is loaded."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ValidationError

from react_rl.errors import ReActError, suggestion
from react_rl.escaping import check_name

Model = TypeVar("Model", bound=BaseModel)


def _named(name: str) -> str:
    try:
        return check_name(name, "The name")
    except ReActError as error:
        raise ValueError(str(error).removesuffix(".")) from None


Name = Annotated[str, AfterValidator(_named)]
"""A name that every table, figure and terminal can show."""

_SHORT: Final = reprlib.Repr()
"""Shows a wrong value, however long or deep it is."""
_SHORT.maxstring = _SHORT.maxother = 80


def validated(model: type[Model], values: Any, what: str) -> Model:
    """Build ``model`` from ``values``.

    Args:
        model: A pydantic model.
        values: Keys and values, nested like the model; anything else is refused.
        what: What the values are, for the message: "Config demo.yaml", "Episode options".

    Raises:
        ReActError: A key is unknown (the nearest is named) or a value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ReActError(f"{what}: it must hold keys and values, found {type(values).__name__}.")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ReActError(f"{what}: {explain(model, error)}") from None


def check_key(model: type[BaseModel], path: str, what: str) -> None:
    """Check that ``path`` ("agent.episodes", "corpora.0.label") names a key of ``model``.

    Raises:
        ReActError: It does not; the nearest key at that place is named.
    """
    parts: list[str | int] = [int(part) if part.isdigit() else part for part in path.split(".")]
    for depth, part in enumerate(parts):
        known = _fields_at(model, parts[:depth])
        if not isinstance(part, int) and known and part not in known:
            raise ReActError(
                f"{what}: unknown key {path!r}.{suggestion(part, known)} Known: {', '.join(sorted(known))}."
            )


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """Say the first thing that is wrong in one sentence."""
    # A misspelt key is also a missing one; its spelling is the better hint.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where, kind = first["loc"], first["type"]
    path = ".".join(str(part) for part in where)
    if kind == "extra_forbidden":
        known = _fields_at(model, where[:-1])
        return f"unknown key {path!r}.{suggestion(str(where[-1]), known)} Known: {', '.join(sorted(known))}."
    if kind == "missing":
        return f"key {path!r} is missing."
    message = first["msg"].removeprefix("Value error, ")
    if kind == "value_error" or not path:
        return f"{path + ': ' if path else ''}{message}."
    return f"{path} is {_SHORT.repr(first['input'])}: {message[0].lower()}{message[1:]}."


def _fields_at(model: type[BaseModel], where: Iterable[Any]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in where:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(str(part))
        current = None if field is None else _model_in(field.annotation)
    return list(current.model_fields) if current else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_in, get_args(annotation)) if m is not None), None)
