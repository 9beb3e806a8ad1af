"""Settings from mappings: one clear sentence for a wrong key or value, before anything heavy is loaded."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

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


_NUMBER: Final = "it should be a number"
_PLAIN: Final = {
    "tuple_type": "it should be a list, as in [a, b]",
    "list_type": "it should be a list, as in [a, b]",
    "dict_type": "it should hold keys and values, as in {{key: value}}",
    "model_type": "it should hold keys and values, as in {{key: value}}",
    "model_attributes_type": "it should hold keys and values, as in {{key: value}}",
    "sequence_str": "it should be a list, as in [a, b]",
    "too_short": "it should hold at least {min_length}",
}
"""What a person who writes YAML is told where the validator speaks of Python's types."""


def changed(values: BaseModel) -> Iterator[tuple[str, Any]]:
    """Name and value of the settings that are not at their defaults: what a short ``repr`` shows."""
    for name, field in type(values).model_fields.items():
        value = getattr(values, name)
        if field.is_required() or value != field.get_default(
            call_default_factory=True, validated_data=vars(values)
        ):
            yield name, value


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
        found = "nothing" if values is None else type(values).__name__
        raise ReActError(f"{what}: it must hold keys and values, found {found}.")
    try:
        built = model.model_validate(dict(values))
    except ValidationError as error:
        raise ReActError(f"{what}: {explain(model, error)}") from None
    for path, value in stray_booleans(values, built):
        raise ReActError(f"{what}: {path} is {value}: {_NUMBER}.")
    return built


def checked_value(where: str, value: Any, hint: Any) -> Any:
    """One value in the type that a constructor asks for.

    Args:
        where: What it is called, for the message.
        value: The value.
        hint: The type; None takes whatever comes.

    Raises:
        ReActError: It is of another type.
    """
    if hint is None:
        return value
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        adapter = TypeAdapter(hint)
    try:
        built = adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        kind = "list_type" if first.get("ctx", {}).get("class") == "Sequence" else first["type"]
        reason = _PLAIN.get(kind, first["msg"].removeprefix("Value error, "))
        raise ReActError(f"{where} is {value!r:.80}: {reason[0].lower()}{reason[1:]}.") from None
    for path, boolean in stray_booleans(value, built, where):
        raise ReActError(f"{path} is {boolean}: {_NUMBER}.")
    return built


def numbers_alone(cls: type[Model], values: Any, handler: Callable[[Any], Model]) -> Model:
    """Wrap validator of a model that refuses a boolean where a number goes, however it is built."""
    built = handler(values)
    wrong: list[InitErrorDetails] = [
        {"type": PydanticCustomError("boolean", _NUMBER), "loc": tuple(path.split(".")), "input": value}
        for path, value in stray_booleans(values, built)
    ]
    if wrong:
        raise ValidationError.from_exception_data(cls.__name__, wrong)
    return built


def stray_booleans(given: Any, built: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Where, below ``path``, a boolean was ``given`` of which pydantic built a number, and the boolean."""
    if isinstance(given, bool):
        if isinstance(built, int | float) and not isinstance(built, bool):
            yield path, given
    elif isinstance(given, Mapping):
        held = vars(built) if isinstance(built, BaseModel) else built
        if isinstance(held, Mapping):
            for key in given:
                if key in held:
                    yield from stray_booleans(given[key], held[key], f"{path}.{key}" if path else str(key))
    elif isinstance(given, Sequence) and isinstance(built, Sequence) and not isinstance(given, str):
        for i, pair in enumerate(zip(given, built, strict=False)):
            yield from stray_booleans(*pair, f"{path}.{i}" if path else str(i))


def check_key(values: BaseModel, path: str, what: str) -> None:
    """Check that ``path`` ("agent.episodes", "corpora.0.label") names a key of ``values`` that holds a value.

    Raises:
        ReActError: It does not, and the nearest key at that place is named; or it names a section.
    """
    current: Any = values
    for part in path.split("."):
        known = list(type(current).model_fields) if isinstance(current, BaseModel) else []
        if known and part not in known:
            raise ReActError(
                f"{what}: unknown key {path!r}.{suggestion(part, known)} Known: {', '.join(sorted(known))}."
            )
        if isinstance(current, Sequence) and part.isdigit():
            current = current[int(part)] if int(part) < len(current) else None
        else:
            current = getattr(current, part, None)
    if isinstance(current, Sequence) and current and isinstance(current[0], BaseModel):
        path, current = f"{path}.0", current[0]
    if isinstance(current, BaseModel):
        known = list(type(current).model_fields)
        raise ReActError(
            f"{what}: {path!r} is a section; name one of its keys, as in {path}.{known[0]}. "
            f"Known: {', '.join(sorted(known))}."
        )


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """Say the first thing that is wrong in one sentence."""
    # A misspelt key is also a missing one; its spelling is the better hint.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where, kind = first["loc"], first["type"]
    shown, known = _place(model, where)
    path = ".".join(shown)
    if kind == "extra_forbidden":
        return f"unknown key {path!r}.{suggestion(str(where[-1]), known)} Known: {', '.join(sorted(known))}."
    if kind == "missing":
        return f"key {path!r} is missing."
    message = first["msg"].removeprefix("Value error, ")
    if kind in _PLAIN:
        message = _PLAIN[kind].format(**first.get("ctx", {}))
    if kind == "string_type" and isinstance(first["input"], bool | int | float | date):
        message += "; in YAML, put it in quotes"
    if kind == "value_error" or not path:
        return f"{path + ': ' if path else ''}{message}."
    return f"{path} is {_SHORT.repr(first['input'])}: {message[0].lower()}{message[1:]}."


def _place(model: type[BaseModel], where: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Where in ``model`` pydantic's location is, part by part, and the keys that are known there."""
    current: type[BaseModel] | None = model
    known: list[str] = []
    kinds: list[type[BaseModel]] = []
    shown = []
    for part in where:
        if kinds:  # says which of several models, and is no key; the last one takes what has no word
            current, kinds = next((one for one in kinds if _is_tag(one, part)), kinds[-1]), []
            continue
        shown.append(str(part))
        if isinstance(part, int):
            continue
        known = list(current.model_fields) if current else []
        field = current.model_fields.get(str(part)) if current else None
        found = [] if field is None else _models_in(field.annotation)
        current = found[0] if found else None
        kinds = found if field is not None and field.discriminator else []
    return shown, known


def _is_tag(model: type[BaseModel], part: Any) -> bool:
    """Whether ``part`` is the word by which a model is picked from several."""
    return any(part in get_args(field.annotation) for field in model.model_fields.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in get_args(annotation) for model in _models_in(one)]
