"""Errors that are written down say where they came from, and sentences for users stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable

from react_rl.data import load_corpus
from react_rl.errors import ReActError, with_place


def caught(fails: Callable[[], object]) -> Exception:
    try:
        fails()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_last_line_of_ones_own_is_named_and_no_folder() -> None:
    def fails() -> float:
        return 1 / 0

    line = fails.__code__.co_firstlineno + 1
    assert with_place(caught(fails)) == f"ZeroDivisionError: division by zero (test_errors.py, line {line})"
    said = with_place(caught(lambda: json.loads("{")))  # raised in the standard library
    assert said.startswith("JSONDecodeError: ")
    assert "(test_errors.py, line " in said
    assert "/" not in said


def test_a_sentence_for_users_and_an_error_that_was_not_raised_have_no_place() -> None:
    assert with_place(caught(lambda: load_corpus("nowhere"))).startswith("ReActError: Unknown corpus")
    assert "line" not in with_place(ReActError("so"))
    assert with_place(ValueError("so")) == "ValueError: so"
