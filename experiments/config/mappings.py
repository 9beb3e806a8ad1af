"""Mappings whose keys no parser can know, as one YAML value on the command line."""

from __future__ import annotations

from typing import Any, Final, Literal

import tyro
import yaml

from react_rl.documents import parse_yaml

_WRITTEN: Final[dict[Any, tuple[str, str]]] = {
    dict[str, Any]: ("learner.own", "{KEY: VALUE, ...}"),
    dict[str, tuple[str, ...]]: ("learner.prompt.words", "{CLASS: [WORD, ...], ...}"),
    Literal["similar"] | dict[str, dict[str, float]] | None: (
        "episode.confusion",
        "similar|{CLASS: {OTHER: RATE, ...}, ...}",
    ),
}
"""By type of a field its key, and what help shows."""

MAPPINGS: Final = tyro.constructors.ConstructorRegistry()
"""Lets the command line take such mappings as YAML."""


@MAPPINGS.primitive_rule
def _mapping_on_command_line(
    type_info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    found = next((own for kind, own in _WRITTEN.items() if type_info.type == kind), None)
    if found is None:
        return None
    key, metavar = found
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parse_yaml(words[0], f"Override --{key}"),
        is_instance=lambda value: value is None or isinstance(value, str | dict),
        str_from_instance=_as_text,
    )


def _as_text(value: Any) -> list[str]:
    """A value in one line of YAML, without the mark of its end."""
    plain = value
    if isinstance(value, dict):
        plain = {name: list(own) if isinstance(own, tuple) else own for name, own in value.items()}
    return [yaml.safe_dump(plain, default_flow_style=True).removesuffix("...\n").strip()]
