"""JSON and YAML from strangers: values, or one sentence that names the file and the place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.documents import parse_json, parse_yaml, read_text
from react_rl.errors import ReActError


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 2020-13-45\n", "x.yaml is no valid YAML at line 1: '2020-13-45' cannot be read (month must be"),
        ("a: 1\nb: !!int 'x'\n", "at line 2: 'x' cannot be read (invalid literal for int()"),
        ("a: " + "9" * 5000, "at line 1: '9999"),
        ("a: 0x" + "f" * 5000, "at line 1: an integer of 20000 bits is out of range"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("a: 1\nb: 2\na: 3\n", "at line 3: the key 'a' is given twice; keep one of them"),
        ("a: {b: 1, 'b': 2}\n", "at line 1: the key 'b' is given twice"),
        ("a: [1\n", "at line 2: expected ',' or ']'"),
        ("{[1]: 2}", "found unhashable key"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: \x07", "special characters are not allowed"),
        ('a: "\\ud83d"', "x.yaml holds half of a surrogate pair"),
    ],
)
def test_bad_yaml_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ReActError) as caught:
        parse_yaml(text, "x.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_merged_keys_may_be_overridden() -> None:
    text = "base: &base {a: 1, b: 2}\nother: &other\n  <<: *base\n  b: 3\nlast:\n  <<: *other\n  a: 4\n"
    assert parse_yaml(text, "x.yaml")["last"] == {"a": 4, "b": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a":\n 1,}', "x.json is no valid JSON (Illegal trailing comma"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "Exceeds the limit (4300 digits)"),
        ('{"\\uD83D": 1}', "it holds half of a surrogate pair"),
    ],
)
def test_bad_json_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ReActError, match=r"; fetch it again\.$") as caught:
        parse_json(text, "x.json", "fetch it again")
    # Python says where in its own words, which differ between versions.
    assert sentence in str(caught.value) or "property name enclosed in double quotes" in str(caught.value)


def test_a_file_that_is_no_text_says_where(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ab\ncd\xff")
    with pytest.raises(ReActError, match=r"x cannot be read: byte 0xff in line 2 is no UTF-8; copy it\."):
        read_text(tmp_path / "x", "x", "copy it")
    with pytest.raises(ReActError, match="Is a directory"):
        read_text(tmp_path, "x", "copy it")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{},'\"\n &*!#|>%@0123456789.ex\t<~?"), max_size=40))
def test_any_text_is_a_value_or_a_sentence(text: str) -> None:
    with contextlib.suppress(ReActError):
        parse_yaml(text, "x")
    with contextlib.suppress(ReActError):
        parse_json(text, "x", "copy it")
