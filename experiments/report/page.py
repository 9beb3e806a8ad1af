"""The parts of a report page: inline SVG, figures, tables that can be sorted, CSV links, the page itself.

Nothing here knows what is reported. A page loads nothing: style, script, figures and data are in it. The HTML
is in ``templates``, where all text is escaped; what is marked as HTML came from there, or from matplotlib.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import matplotlib
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.figures.looks import STYLE, KeyLine

_DIGITS: Final = 6
_FEW: Final = 4
"""Drawings of one figure that fit a printed page two abreast."""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


_PACKAGE: Final = "react_rl.experiments.report"
_FOLDER: Final = "templates"


@dataclass(frozen=True)
class Picture:
    """A drawing and its words.

    Args:
        figure: Drawn by matplotlib.
        title: Short name, also that of the text alternative.
        description: What the drawing shows, for who cannot see it.
    """

    figure: Figure
    title: str
    description: str


@dataclass(frozen=True)
class Section:
    """A section of the page: anchor, heading and body in HTML."""

    anchor: str
    heading: str
    body: Markup

    def of_task(self, task: str) -> Section:
        """The section as one of several of its kind: its heading names the task, its ids begin with it."""
        body = re.sub(r"<[^>]*>", lambda tag: _with_ids(tag.group(), f"{task}-"), self.body)
        return Section(f"{task}-{self.anchor}", f"{self.heading}: {task}", Markup(body))


def _with_ids(tag: str, start: str) -> str:
    """A tag whose ids, references to ids and names of saved files begin with ``start``."""
    tag = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{start}", tag)
    tag = re.sub(r'\s(id|for|download)="', rf' \1="{start}', tag)
    return re.sub(
        r'\s(aria-[a-z]+by|aria-controls)="([^"]*)"',
        lambda found: f' {found[1]}="{" ".join(start + one for one in found[2].split())}"',
        tag,
    )


@dataclass(frozen=True)
class Column:
    """A table column.

    Args:
        key: Column of the data frame that is shown and sorted by.
        heading: Heading.
        numeric: Align right and sort by value.
        low: Column with the lower end of an interval, if there is one.
        high: Column with its upper end.
        form: Format of the numbers.
    """

    key: str
    heading: str
    numeric: bool = True
    low: str | None = None
    high: str | None = None
    form: str = ".4f"


@dataclass(frozen=True)
class PageCell:
    """One cell of a table, as it is shown.

    Args:
        shown: Its text.
        heads: Whether it heads its row.
        numeric: Aligned right, and sorted by ``value``.
        value: The number in full, nothing where there is none.
        best: Shown in bold.
        interval: What follows the number in pale letters.
    """

    shown: str
    heads: bool = False
    numeric: bool = False
    value: str = ""
    best: bool = False
    interval: str = ""


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE, _FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def _fill(template: str, macro: str, *values: Any) -> Markup:
    """HTML of a macro in one of the templates."""
    return Markup(getattr(_environment().get_template(template).module, macro)(*values))


def _as_it_stands(name: str) -> Markup:
    """A file that goes into the page without being a template: style or script."""
    return Markup(resources.files(_PACKAGE).joinpath(_FOLDER, name).read_text(encoding="utf-8"))


def inline_svg(picture: Picture, anchor: str) -> Markup:
    """Turn a drawing into an SVG element with a text alternative; all ids begin with ``anchor``."""
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(picture.figure)
        buffer = io.StringIO()
        picture.figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sid="([^"]*)"', rf' id="{anchor}-\1"', text)
    text = re.sub(r'(xlink:)?href="#', f'href="#{anchor}-', text)
    text = text.replace("url(#", f"url(#{anchor}-")
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # A hundredth of a point is finer than any screen.
    text = re.sub(r' (d|points|x|y)="([^"]*)"', _shorten, text)
    text = re.sub(r">\s+<", "><", text)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    inner = Markup(text[text.index(">") + 1 :].strip().removesuffix("</svg>"))
    # Points to pixels, and a little more: letters in drawings are small beside those of the page.
    widest = f"{1.5 * float(box.group(1).split()[2]):.0f}"
    return _fill("figures.html", "drawing", anchor, box.group(1), widest, picture, inner)


def _shorten(match: re.Match[str]) -> str:
    path = re.sub(r"-?\d+\.\d+", lambda n: f"{float(n.group()):.2f}".rstrip("0").rstrip("."), match.group(2))
    return f' {match.group(1)}="{" ".join(path.split())}"'


def csv_link(name: str, frame: pd.DataFrame, words: str = "CSV") -> Markup:
    """A link that saves the frame as ``name``.csv; the data are in the link."""
    text = csv_text(frame.round(_DIGITS))
    return _fill("words.html", "saved", f"{name}.csv", "text/csv", _encoded(text), words, True)


def file_link(name: str, text: str, words: str) -> Markup:
    """A link that saves a text file."""
    return _fill("words.html", "saved", name, "text/plain", _encoded(text), words, False)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def figure_block(
    anchor: str,
    pictures: Sequence[Picture],
    caption: str,
    links: Iterable[Markup] = (),
    key: Markup | None = None,
    broad: bool = False,
    before_links: str = "",
) -> Markup:
    """One or more drawings side by side, as the window allows, over their caption.

    Args:
        anchor: Start of all ids.
        pictures: The drawings.
        caption: Caption, plain text.
        links: CSV links.
        key: Legend.
        broad: Scroll in narrow windows, since the drawing would shrink beyond reading.
        before_links: Words before the links, plain text.
    """
    few = " single" if len(pictures) == 1 else " many" if len(pictures) > _FEW else ""
    drawn = [inline_svg(one, f"{anchor}-{i}") for i, one in enumerate(pictures)]
    values = (anchor, drawn, caption, list(links), key or Markup(), broad, before_links, few)
    return _fill("figures.html", "figure", *values)


def tone_scale(colours: Sequence[str], first: str, last: str) -> Markup:
    """Explain colours that stand for steps: the tones between the names of the first and the last one."""
    return _fill("figures.html", "scale", colours, 180 / len(colours), first, last)


def choice(anchor: str, words: str, options: Sequence[tuple[str, Markup]]) -> Markup:
    """Show one of several parts, chosen in a list; without script all of them.

    Args:
        anchor: Start of all ids.
        words: What is chosen, plain text.
        options: Name in plain text and HTML of each part; the first one is shown first.
    """
    return options[0][1] if len(options) == 1 else _fill("figures.html", "choice", anchor, words, options)


def legend(entries: Sequence[KeyLine]) -> Markup:
    """Explain lines by a piece of each."""
    return _fill("figures.html", "legend", entries)


def sortable_table(
    anchor: str, caption: str, frame: pd.DataFrame, columns: Sequence[Column], best: Sequence[str] = ()
) -> Markup:
    """A table whose headings are buttons that sort it.

    Args:
        anchor: Its id.
        caption: Caption, plain text.
        frame: One row for each table row; NaN is shown as nothing and sorted last.
        columns: What to show; the first one heads the rows.
        best: Boolean columns that say which number is bold: ``best:KEY`` for the column KEY.
    """
    rows = [
        [_cell(row, one, i == 0, f"best:{one.key}" in best) for i, one in enumerate(columns)]
        for row in frame.to_dict("records")
    ]
    return _fill("tables.html", "table", anchor, caption, columns, rows)


def _cell(row: Mapping[Any, Any], column: Column, first: bool, may_be_best: bool) -> PageCell:
    value = row.get(column.key)
    empty = value is None or (not isinstance(value, str) and bool(pd.isna(value)))
    if not column.numeric:
        return PageCell("" if empty else str(value), heads=first)
    if empty or value is None:
        return PageCell("", numeric=True)
    interval = ""
    if column.low is not None and column.high is not None and not pd.isna(row[column.low]):
        low, high = row[column.low], row[column.high]
        interval = f"[{_written(low, column.form)}, {_written(high, column.form)}]"
    return PageCell(
        _written(value, column.form),
        numeric=True,
        value=f"{float(value):.{_DIGITS + 4}g}",
        best=may_be_best and bool(row.get(f"best:{column.key}")),
        interval=interval,
    )


def _written(value: float | str, form: str) -> str:
    """A number in a format; what rounds to zero has no minus."""
    sign = "+" if form.startswith("+") else ""
    return f"{float(value):{sign}z{form.removeprefix('+')}}"


def facts(anchor: str, rows: Sequence[tuple[str, str]]) -> Markup:
    """A list of names and values; values are plain text."""
    return _fill("tables.html", "facts", anchor, rows)


def code(text: str) -> Markup:
    """Commands or a config as they are typed."""
    return _fill("words.html", "code", text)


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph of plain text."""
    return _fill("words.html", "paragraph", text, kind)


def note(text: str) -> Markup:
    """A remark on what is missing, plain text."""
    return paragraph(text, "note")


def notes(texts: Iterable[str]) -> Markup:
    """Remarks, one after the other."""
    return Markup().join(note(text) for text in texts)


def links_line(links: Iterable[Markup]) -> Markup:
    """Links side by side in a paragraph of their own."""
    return _fill("words.html", "links", list(links))


def parts(named: Mapping[str, Markup]) -> Markup:
    """Parts of a section, each under a heading of its own."""
    return _fill("words.html", "parts", list(named.items()))


def page(title: str, lead: Markup, sections: Sequence[Section]) -> str:
    """The whole document.

    Args:
        title: Title, plain text.
        lead: What is between the title and the contents.
        sections: The sections in order.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            lead=lead,
            sections=sections,
            policy=_POLICY,
            style=_as_it_stands("style.css"),
            script=_as_it_stands("script.js"),
        )
    )
