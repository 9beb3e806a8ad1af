"""Markdown and LaTeX tables say the summary's numbers, mark the best and what is significant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from react_rl.experiments import CompareConfig, read_results, run_comparison, summarise
from react_rl.experiments.analysis.summary import ALL_CORPORA
from react_rl.experiments.cli import main
from react_rl.experiments.report.text import Cell, TextTable, latex, mark_of, markdown

Build = Callable[..., CompareConfig]


@pytest.fixture
def folder(made_corpora: None, comparison: Build, tmp_path: Path) -> Path:
    names = ["one_more", "two", "three", "four", "five (2nd half)"]
    corpora = [{"corpus": "synthetic", "name": name} for name in names]
    run_comparison(comparison(corpora=corpora, strategies=["random", "margin", "entropy"], seeds=4), tmp_path)
    return tmp_path / "small"


def test_markdown_has_a_column_for_each_corpus_and_the_numbers_of_the_summary(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder), "--markdown"]) == 0
    text = capsys.readouterr().out
    rows = {
        (row["corpus"], row["strategy"]): row for row in summarise(read_results(folder)).to_dict("records")
    }
    blocks = [[line for line in part.splitlines() if line.startswith("|")] for part in text.split("\n\n")]
    blocks = [block for block in blocks if block]
    heads = [[cell.strip() for cell in block[0].strip("|").split("|")] for block in blocks]
    assert heads[0] == ["strategy", r"one\_more", "two", "three", "four"]
    assert heads[1] == ["strategy", "five (2nd half)", "mean of corpora"]
    assert len(blocks) == 3
    for block, head in zip(blocks[:2], heads[:2], strict=True):
        assert len(block) == 2 + 3
        for line in block[2:]:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for heading, cell in zip(head[1:], cells[1:], strict=True):
                name = ALL_CORPORA if heading == "mean of corpora" else heading.replace("\\", "")
                row = rows[name, cells[0]]
                numbers = [float(number) for number in re.findall(r"\d\.\d+", cell)]
                wanted = [row["area"], row["area_low"], row["area_high"]]
                assert numbers == pytest.approx(wanted, abs=5.1e-4)
                best = max(other["area"] for (corpus, _), other in rows.items() if corpus == name)
                assert cell.startswith("**") == (f"{row['area']:.3f}" == f"{best:.3f}")


def test_latex_has_balanced_groups_and_as_many_cells_as_columns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder), "--latex"]) == 0
    text = capsys.readouterr().out
    assert r"one\_more" in text
    assert not re.search(r"(?<!\\)[_#]", text)
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    for body in re.findall(r"\\begin\{tabular\}\{(l(?:r+))\}\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        columns, lines = body
        rows = [line for line in lines.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 1 + 3
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


def test_latex_and_markdown_cannot_be_asked_for_together() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["report", "results/x", "--latex", "--markdown"])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("p_value", "stars"),
    [(0.0005, "***"), (0.001, "***"), (0.002, "**"), (0.01, "**"), (0.05, "*"), (0.0501, ""), (None, ""),
     (float("nan"), "")],
)  # fmt: skip
def test_stars_follow_the_p_value(p_value: float | None, stars: str) -> None:
    assert mark_of(p_value) == stars


def test_bold_mark_and_interval_are_written_in_the_language_of_the_table() -> None:
    cell = Cell("0.700", (0.65, 0.75), "**", True)
    table = TextTable("50 % of a|b", ["strategy", "area"], [[Cell("a_b"), cell]])
    assert r"| a\_b | **0.700**\*\* [0.650, 0.750] |" in markdown([table])
    assert r"50 % of a\|b" in markdown([table])
    assert r"a\_b & \textbf{0.700}$^{**}$ {\scriptsize [0.650, 0.750]} \\" in latex([table])
    assert r"\caption{50 \% of a\textbar{}b}" in latex([table])


def test_latex_says_what_chinese_names_need() -> None:
    plain, chinese = (
        TextTable("areas", ["strategy", name], [[Cell("a"), Cell("0.7")]]) for name in ("bbc", "新闻")
    )
    assert "xeCJK" not in latex([plain])
    assert latex([plain, chinese]).splitlines()[1] == r"% and XeLaTeX with \usepackage{xeCJK}"
