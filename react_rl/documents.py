"""JSON and YAML from strangers: values, or one sentence that names the file and the place.

What the values mean is checked by whoever asked for them; nothing but a ``ReActError`` comes out of here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError

from react_rl.errors import ReActError
from react_rl.files import utf16

_HALF: Final = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")
"""Escapes that may be halves of a surrogate pair."""

_MOST_BITS: Final = 63
"""Whole numbers beyond this are no setting of anything, and Python refuses to print long ones."""


def read_text(path: Path, what: str, advice: str) -> str:
    """Read a UTF-8 file.

    Args:
        path: The file.
        what: What it is, for the message: "Config demo.yaml".
        advice: What to do when it cannot be read, the end of the sentence.

    Raises:
        ReActError: It is missing, may not be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        if utf16(error.object):
            raise ReActError(f"{what} cannot be read: it is UTF-16, not UTF-8; {advice}.") from None
        line = error.object[: error.start].count(b"\n") + 1
        byte = f"byte 0x{error.object[error.start]:02x} in line {line}"
        raise ReActError(f"{what} cannot be read: {byte} is no UTF-8; {advice}.") from None
    except OSError as error:
        raise ReActError(f"{what} cannot be read: {error.strerror or error}; {advice}.") from None


def parse_json(text: str, what: str, advice: str) -> Any:
    """Parse JSON.

    Args:
        text: The document.
        what: What it is, for the message: "Run file x.json", "train.jsonl, line 3".
        advice: What to do when it is broken, the end of the sentence.

    Raises:
        ReActError: It is no JSON, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        value = json.loads(text)
        if not _half_pair(text, value):
            return value
        reason = "it holds half of a surrogate pair, which is no valid Unicode"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # Python's limit on the digits of an integer
        reason = str(error).split(";")[0]
    raise ReActError(f"{what} is no valid JSON ({reason}); {advice}.")


def read_json(path: Path, advice: str, what: str | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        advice: What to do when it is broken, the end of the sentence.
        what: What it is, for the message; None is its path.

    Raises:
        ReActError: It is missing, may not be read, or is no JSON.
    """
    named = what or str(path)
    return parse_json(read_text(path, named, advice), named, advice)


def parse_yaml(text: str, what: str) -> Any:
    """Parse YAML without code, in which every key is given once.

    Args:
        text: The document.
        what: What it is, for the message: "Config demo.yaml".

    Raises:
        ReActError: It is no YAML, gives a key twice, or holds a date or a number that is none.
    """
    try:
        # A safe loader: tags make plain values, never objects.
        value = yaml.load(text, Loader=_Loader)
        if _half_pair(text, value):
            raise ReActError(f"{what} holds half of a surrogate pair, which is no valid Unicode; remove it.")
        return value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise ReActError(f"{what} is no valid YAML{place}: {problem}; fix it there.") from None
    except RecursionError:
        raise ReActError(f"{what} is no valid YAML: it is nested too deeply; fix its syntax.") from None


def _half_pair(text: str, value: Any) -> bool:
    """Whether an escape in a document stands for half of a character, which no file can be written with."""
    if _HALF.search(text) is None:
        return False
    try:
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError:
        return True
    return False


class _Loader(yaml.SafeLoader):
    """Refuses keys that are given twice, and says where a value could not be made."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, OverflowError, TypeError) as error:
            # A date such as 2020-13-45, or a tag that does not fit its value.
            written = repr(node.value[:40]) if isinstance(node, yaml.ScalarNode) else "a value"
            reason = str(error).split(";")[0]
            problem = f"{written} cannot be read ({reason})"
            raise ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            problem = f"an integer of {value.bit_length()} bits is out of range"
            raise ConstructorError(None, None, problem, node.start_mark)
        return value

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here no merge has put the keys of another mapping beside those that were written.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                problem = f"the key {key.value!r} is given twice; keep one of them"
                raise ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value))
        return node
