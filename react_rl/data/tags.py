"""Schemes of entity tags: which one a file uses, and how each becomes IOB2.

IOB2 begins every entity with B. IOB1 writes B only between neighbours of one type. BIOES (also BILOU, BMES)
marks ends and single tokens as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError, unknown

Scheme = Literal["iob1", "iob2", "bioes"]
SCHEMES: Final[tuple[Scheme, ...]] = ("iob1", "iob2", "bioes")

_PREFIXES: Final = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
"""BILOU and BMES in the letters of BIOES."""


@dataclass(frozen=True)
class Converted:
    """Sentences in IOB2.

    Args:
        tags: Tags of each sentence.
        scheme: What they were written in.
        repaired: Tags that continued nothing, or whose entity was not closed, and were read as an entity's
            beginning or end: each tag and where it is.
    """

    tags: list[list[str]]
    scheme: Scheme
    repaired: list[str]


Place = Callable[[int, int], str]
"""Says where a token is, from the positions of sentence and token."""


def _place(row: int, token: int) -> str:
    return f"token {token + 1} of sentence {row + 1}"


def split_tag(tag: str, place: str) -> tuple[str, str]:
    """Prefix (B, I, E, S; "" for O) and type of a tag.

    Raises:
        ReActError: It has another form; ``place`` says where.
    """
    if tag == "O":
        return "", ""
    prefix, dash, kind = tag.partition("-")
    if prefix not in _PREFIXES or not dash or not kind:
        raise ReActError(
            f"The tag {tag!r} of {place} has no known form: "
            "it must be O, or B, I, E or S with a type (B-PER)."
        )
    return _PREFIXES[prefix], kind


def scheme_of(sentences: Sequence[Sequence[str]], place: Place = _place) -> Scheme:
    """Say which scheme sentences are written in: the strictest one that all of them obey.

    Files that obey none count as ``iob2`` (or ``bioes`` where an E or S is seen), to be repaired.
    """
    split = [
        [split_tag(tag, place(row, token)) for token, tag in enumerate(tags)]
        for row, tags in enumerate(sentences)
    ]
    if any(prefix in ("E", "S") for tags in split for prefix, _ in tags):
        return "bioes"
    lone = needless = False
    for tags in split:
        before = ("", "")
        for prefix, kind in tags:
            continues = before[0] != "" and before[1] == kind
            lone |= prefix == "I" and not continues
            # IOB1 has a B only behind an entity of the same type.
            needless |= prefix == "B" and not continues
            before = (prefix, kind)
    return "iob1" if lone and not needless else "iob2"


def to_iob2(
    sentences: Sequence[Sequence[str]],
    scheme: Scheme | None = None,
    place: Place = _place,
    repair: bool = True,
) -> Converted:
    """Convert sentences to IOB2.

    Args:
        sentences: Tags of each sentence.
        scheme: What they are written in; None finds out.
        place: Says where a token is, from the positions of sentence and token.
        repair: Read a tag that breaks the scheme as the beginning (or end) of an entity, and count it.

    Raises:
        ReActError: A tag has no known form or, without ``repair``, breaks the scheme.
    """
    if scheme is None:
        scheme = scheme_of(sentences, place)
    if scheme not in SCHEMES:
        raise unknown("tag scheme", scheme, SCHEMES)
    converted: list[list[str]] = []
    repaired: list[str] = []
    for row, tags in enumerate(sentences):
        own, broken = _convert(tags, scheme, lambda token, row=row: place(row, token))  # type: ignore[misc]
        if broken and not repair:
            token = broken[0]
            raise ReActError(
                f"The tag {tags[token]!r} of {place(row, token)} breaks the scheme {scheme.upper()}: "
                f"{'it continues no entity' if tags[token] != 'O' else 'the entity before it has no end'}."
            )
        converted.append(own)
        repaired += [f"{tags[token]!r} of {place(row, token)}" for token in broken]
    return Converted(converted, scheme, repaired)


def _convert(tags: Sequence[str], scheme: Scheme, place: Callable[[int], str]) -> tuple[list[str], list[int]]:
    """IOB2 tags of a sentence, and the positions of tags that break the scheme."""
    own: list[str] = []
    broken: list[int] = []
    prefix, kind, opened = "", "", False
    for token, tag in enumerate(tags):
        before, kind_before = prefix, kind
        prefix, kind = split_tag(tag, place(token))
        continues = before not in ("", "E", "S") and kind == kind_before
        if scheme == "bioes":
            inside = prefix in ("I", "E")
            # What is open must go on; what goes on must be open.
            if opened != (inside and continues) or (inside and not continues):
                broken.append(token)
            opened = prefix in ("B", "I")
            begins = prefix in ("B", "S") or (inside and not continues)
        elif scheme == "iob1":
            begins = prefix == "B" or (prefix == "I" and not (before and kind == kind_before))
        else:
            begins = prefix == "B" or (prefix == "I" and not continues)
            if prefix == "I" and not continues:
                broken.append(token)
        own.append("O" if not prefix else f"{'B' if begins else 'I'}-{kind}")
    if scheme == "bioes" and opened:
        broken.append(len(tags) - 1)
    return own, broken


def entity_types(tags: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Types of the entities of a sentence in numbers of IOB2, one for each entity in its order."""
    types: npt.NDArray[np.int64] = (tags[tags % 2 == 1] - 1) // 2
    return types
