"""The commented YAML of `react-rl config`: every key of a config with its default and what it means."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from react_rl.data.config import CorpusConfig
from react_rl.experiments.config.learners import LEARNER_CONFIGS, LearnerConfig
from react_rl.experiments.config.models import AdjustConfig, CompareConfig, ImitateConfig, TrainConfig

Templated = type[TrainConfig] | type[ImitateConfig] | type[AdjustConfig] | type[CompareConfig]

TEMPLATES: Final[dict[str, Templated]] = {
    "train": TrainConfig,
    "imitate": ImitateConfig,
    "adjust": AdjustConfig,
    "compare": CompareConfig,
}
"""The configs by the command that reads them."""

_REQUIRED: Final = {
    "name": "my-study",
    "corpora": (CorpusConfig(corpus="bbc_news"),),
    "corpus": "bbc_news",
}
"""Values of the keys that have no default."""

_WIDTH: Final = 100
_BOUNDS: Final = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def template(kind: Templated) -> str:
    """A YAML config with every key, its default and a comment; ``load_config`` reads it back to the defaults.

    Args:
        kind: The config.
    """
    return "\n".join(_lines(kind, kind.model_validate(_examples(kind)), "")) + "\n"


def _examples(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: _REQUIRED[name] for name, field in kind.model_fields.items() if field.is_required()}


def _lines(
    kind: type[BaseModel], values: BaseModel, indent: str, without: Collection[str] = ()
) -> Iterator[str]:
    """The lines of one level."""
    for name, field in kind.model_fields.items():
        if name in without:
            continue
        value = getattr(values, name)
        yield from _comment(field, indent)
        if isinstance(value, LearnerConfig):
            yield f"{indent}{name}:"
            yield from _learner_lines(value, indent + "  ")
        elif isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _lines(type(value), value, indent + "  ")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{indent}{name}:"
            for one in value:
                first, *rest = _lines(type(one), one, indent + "    ")
                yield f"{indent}  -"
                yield from (first, *rest)
        else:
            line = f"{indent}{name}: {_scalar(value)}"
            if isinstance(value, tuple) and len(line) > _WIDTH:
                yield f"{indent}{name}:"
                yield from (f"{indent}  - {_scalar(one)}" for one in value)
            else:
                yield line


def _learner_lines(chosen: LearnerConfig, indent: str) -> Iterator[str]:
    """The lines of the learner: first what all kinds have, then what each has of its own."""
    common = set(LearnerConfig.model_fields)
    yield from _lines(LearnerConfig, chosen, indent)
    for model in LEARNER_CONFIGS.values():
        values = chosen if isinstance(chosen, model) else model.model_validate({})
        yield from _lines(model, values, indent, common)


def _comment(field: FieldInfo, indent: str) -> Iterator[str]:
    said = re.sub(r"\bNone\b", "null", " ".join((field.description or "").split()))
    allowed = _allowed(field)
    text = f"{said} ({allowed})" if allowed else said
    return iter(textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "))


def _allowed(field: FieldInfo) -> str:
    """The words or the range that a value must come from."""
    bounds = [
        f"{word} {_number(getattr(rule, name))}"
        for rule in field.metadata
        for name, word in _BOUNDS
        if getattr(rule, name, None) is not None
    ]
    words = _words(field.annotation)
    return ", ".join(bounds) if bounds else f"one of {', '.join(words)}" if words else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for one in get_args(annotation) for word in _words(one) if get_origin(one) is Literal]


def _scalar(value: Any) -> str:
    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    written: str = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return written.removesuffix("\n").removesuffix("...").strip()
