"""Names that no medium can show are refused, and what one medium takes for markup is escaped there."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.escaping import check_name, csv_row, for_csv, for_latex, for_markdown, for_terminal, from_csv
from react_rl.experiments.analysis.csv_files import csv_text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a\nb", r"holds a control character \(U\+000A\) at character 2"),
        ("\x1b[2J", r"holds a control character \(U\+001B\) at character 1"),
        ("a\ud800", "half of a surrogate pair"),
        ("a\u2028b", "a line separator"),
        ("a\u202eb", "a change of writing direction"),
        (" ", "is empty"),
        ("a" * 201, "has 201 characters"),
    ],
)
def test_a_name_that_breaks_lines_or_steers_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        check_name(name, "The label name")


@pytest.mark.parametrize("name", ["price_$5", "=1+1", "a|b", "naïve", "日本", "a & b"])
def test_a_name_that_needs_escaping_only_is_kept(name: str) -> None:
    assert check_name(name, "The label name") == name


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-x", "@sum", " =1", "'=1"])
def test_a_spreadsheet_sees_no_formula(cell: str) -> None:
    assert for_csv(cell) == f"'{cell}"


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("'=+-@ ab"), max_size=6))
def test_a_cell_comes_back_as_it_was(cell: str) -> None:
    assert from_csv(for_csv(cell)) == cell


def test_errors_are_one_line_that_steers_no_terminal() -> None:
    error = ReActError("column 'a\nb\x1b[2J\ud800'; naïve 日本")
    assert str(error) == r"column 'a\nb\x1b[2J\ud800'; naïve 日本"


def test_numbers_are_no_formulas() -> None:
    assert csv_row(["=1", -1, -0.5, None, "a"]) == ["'=1", -1, -0.5, None, "a"]
    frame = pd.DataFrame({"@name": ["-a", "b"], "value": [-1.5, 2.0]})
    assert csv_text(frame) == "'@name,value\n'-a,-1.5\nb,2.0\n"


def test_markup_is_escaped() -> None:
    assert for_markdown("a|b\n*c*") == r"a\|b \*c\*"
    assert for_markdown("a\x1b[31m") == r"a\\x1b\[31m"
    assert for_latex("$5_\\") == r"\$5\_\textbackslash{}"
    assert for_terminal("a\x1b[2J") == r"a\x1b[2J"
