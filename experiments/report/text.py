"""`react-rl report --markdown` and `--latex`: the tables of a comparison as text for a paper or a README."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from react_rl.data.word_counts import holds_words_alone
from react_rl.errors import ReActError
from react_rl.escaping import for_latex, for_markdown
from react_rl.experiments.analysis.numbers import aggregate, aligned_scores, sign_of
from react_rl.experiments.analysis.summary import (
    ALL_CORPORA,
    Results,
    areas,
    read_tasks,
    summarise,
    titled,
)
from react_rl.experiments.figures.looks import metric_name

_CORPORA_ABREAST: Final = 4
_LEVELS: Final = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, an interval, a significance mark, and whether it is the best of its column."""

    text: str
    interval: tuple[float, float] | None = None
    mark: str = ""
    best: bool = False
    form: str = ".3f"


@dataclass(frozen=True)
class TextTable:
    """A table before it is written down; the first column holds names."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]


def mark_of(p_value: float | None) -> str:
    """Stars for a p-value: * up to .05, ** up to .01, *** up to .001."""
    if p_value is None or pd.isna(p_value):
        return ""
    return next((stars for limit, stars in _LEVELS if p_value <= limit), "")


def report_tables(folder: Path) -> list[TextTable]:
    """The tables of a comparison: areas by corpus, then everything that is said over all corpora.

    Raises:
        ReActError: The folder is no comparison, or no seed is finished by all strategies.
    """
    tables = [one for results in read_tasks(folder) for one in _of_task(results)]
    if not tables:
        raise ReActError(f"No seed of {folder} is finished by all strategies; run `react-rl compare` again.")
    return tables


def _of_task(results: Results) -> list[TextTable]:
    """The tables on the corpora of one task; none where no seed is finished by all strategies."""
    table = summarise(results)
    if table.empty:
        return []
    groups = list(dict.fromkeys(table["corpus"]))
    blocks = [groups[i : i + _CORPORA_ABREAST] for i in range(0, len(groups), _CORPORA_ABREAST)]
    return [*(_areas(results, table, block) for block in blocks), _overall(results, table, groups[-1])]


def _best(rows: pd.DataFrame, column: str, sign: float) -> float:
    return float(sign * (sign * rows[column]).max())


def _number(
    row: dict[Any, Any], name: str, best: float | None = None, form: str = ".3f", mark: str = ""
) -> Cell:
    if row.get(name) is None or pd.isna(row[name]):
        return Cell("")
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    interval = None if low is None or high is None or pd.isna(low) else (float(low), float(high))
    return Cell(
        f"{row[name]:{form}}",
        interval,
        mark,
        best is not None and f"{best:{form}}" == f"{row[name]:{form}}",
        form,
    )


def _areas(results: Results, table: pd.DataFrame, corpora: Sequence[str]) -> TextTable:
    sign = sign_of(results.metric)
    rows = []
    for strategy in results.strategies:
        cells = [Cell(strategy)]
        for corpus in corpora:
            here = table[table["corpus"] == corpus]
            own = here[here["strategy"] == strategy].to_dict("records")
            stars = mark_of(own[0].get("p_holm")) if own else ""
            cells.append(_number(own[0], "area", _best(here, "area", sign), mark=stars) if own else Cell(""))
        rows.append(cells)
    caption = (
        f"Area under the test {_metric(results)} curve, mean over {_seeds(table)} paired seeds with "
        f"95 % bootstrap intervals; best in bold. {_stars(results)}"
    )
    return TextTable(caption, ["strategy", *(titled(results.called(corpus)) for corpus in corpora)], rows)


def _stars(results: Results) -> str:
    return (
        f"*, **, ***: differs from {results.reference} at .05, .01, .001 (Wilcoxon signed-rank over seeds, "
        "Holm over strategies)."
    )


def _metric(results: Results) -> str:
    return metric_name(results.metric)


def _seeds(table: pd.DataFrame) -> str:
    low, high = int(table["seeds"].min()), int(table["seeds"].max())
    return str(low) if low == high else f"{low} to {high}"


def _overall(results: Results, table: pd.DataFrame, group: str) -> TextTable:
    sign = sign_of(results.metric)
    here = table[table["corpus"] == group].sort_values("area", ascending=sign < 0)
    scores = aligned_scores(results, areas(results))
    try:
        robust = aggregate(scores).table.set_index("strategy") if scores is not None else None
    except ReActError:
        # Without a reference there is nothing to set these two against.
        robust = None
    head = ["strategy", "area", "final", f"area - {results.reference}", "win/tie/loss"]
    head += ["error removed (IQM)", "P(improvement)"] if robust is not None else []
    rows: list[list[Cell]] = []
    for row in here.to_dict("records"):
        cells = [
            Cell(str(row["strategy"])),
            _number(row, "area", _best(here, "area", sign)),
            _number(row, "final", _best(here, "final", sign)),
            _number(row, "difference", form="+.3f", mark=mark_of(row.get("p_holm"))),
            Cell(
                "" if pd.isna(row.get("wins")) else f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}"
            ),
        ]
        if robust is not None:
            own = {str(k): v for k, v in robust.loc[row["strategy"]].items()}
            cells += [_number(own, "iqm", _best(robust, "iqm", 1.0)), _number(own, "improvement", form=".2f")]
        rows.append(cells)
    kind = f"{results.task} corpora" if results.task else "corpora"
    what = f"Mean of {len(results.corpora)} {kind}" if group == ALL_CORPORA else group
    caption = f"{what}: {_metric(results)}, {_seeds(here)} paired seeds, 95 % intervals. {_stars(results)}"
    return TextTable(caption, head, rows)


def _written(cell: Cell, bold: Callable[[str], str], escape: Callable[[str], str], stars: str) -> str:
    text = escape(cell.text)
    if cell.best:
        text = bold(text)
    if cell.mark:
        text += stars.format(escape(cell.mark))
    if cell.interval is not None:
        text += " [{:{f}}, {:{f}}]".format(*cell.interval, f=cell.form)
    return text


def markdown(tables: Sequence[TextTable]) -> str:
    """Write tables in GitHub's Markdown."""
    parts = []
    for table in tables:
        lines = ["| " + " | ".join(map(for_markdown, table.head)) + " |"]
        lines.append("| --- |" + " ---: |" * (len(table.head) - 1))
        for row in table.rows:
            cells = [_written(cell, lambda text: f"**{text}**", for_markdown, "{}") for cell in row]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append(f"{for_markdown(table.caption)}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def latex(tables: Sequence[TextTable]) -> str:
    """Write tables in LaTeX; they need the package booktabs, and xeCJK for Chinese and Japanese names."""
    parts = []
    for i, table in enumerate(tables, start=1):
        lines = [r"\begin{table}", r"  \centering", r"  \small", rf"  \caption{{{for_latex(table.caption)}}}"]
        lines += [
            rf"  \label{{tab:comparison-{i}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        ]
        lines += [r"    \toprule", "    " + " & ".join(map(for_latex, table.head)) + r" \\", r"    \midrule"]
        for row in table.rows:
            cells = [
                _written(cell, lambda text: rf"\textbf{{{text}}}", for_latex, "$^{{{}}}$") for cell in row
            ]
            # An interval in smaller print, so that four corpora fit on a page.
            cells = [re.sub(r" (\[[^\]]*\])$", r" {\\scriptsize \1}", cell) for cell in cells]
            lines.append("    " + " & ".join(cells) + r" \\")
        lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
        parts.append("\n".join(lines) + "\n")
    written = "\n".join(parts)
    chinese = "% and XeLaTeX with \\usepackage{xeCJK}\n" if holds_words_alone(written) else ""
    return "% needs \\usepackage{booktabs}\n" + chinese + written


def counted(count: int, one: str, more: str | None = None) -> str:
    """A number with its noun, in the plural unless it is 1: ``3 runs``, ``1 corpus``.

    Args:
        count: The number.
        one: The noun.
        more: Its plural; None adds an s.
    """
    return f"{count} {one if count == 1 else more or f'{one}s'}"
