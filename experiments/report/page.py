"""The parts of a report page: inline SVG, figures, tables that can be sorted, CSV links, the page itself.

Nothing here knows what is reported. A page loads nothing: style, script, figures and data are in it.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import matplotlib
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from react_rl.experiments.figures.looks import STYLE, KeyLine
from react_rl.experiments.report.look import CSS, SCRIPT

_DIGITS: Final = 6
_FEW: Final = 4
"""Drawings of one figure that fit a printed page two abreast."""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


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
    body: str


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


def inline_svg(picture: Picture, anchor: str) -> str:
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
    inner = text[text.index(">") + 1 :]
    # Points to pixels, and a little more: letters in drawings are small beside those of the page.
    widest = 1.5 * float(box.group(1).split()[2])
    names = f"{anchor}-t {anchor}-d"
    size = f'viewBox="{box.group(1)}" style="max-width:{widest:.0f}px"'
    return (
        f'<svg {size} role="img" aria-labelledby="{names}">'
        f'<title id="{anchor}-t">{escape(picture.title)}</title>'
        f'<desc id="{anchor}-d">{escape(picture.description)}</desc>{inner.strip()}'
    )


def _shorten(match: re.Match[str]) -> str:
    path = re.sub(r"-?\d+\.\d+", lambda n: f"{float(n.group()):.2f}".rstrip("0").rstrip("."), match.group(2))
    return f' {match.group(1)}="{" ".join(path.split())}"'


def csv_link(name: str, frame: pd.DataFrame, words: str = "CSV") -> str:
    """A link that saves the frame as ``name``.csv; the data are in the link."""
    text = frame.round(_DIGITS).to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode()).decode()
    return (
        f'<a class="csv" download="{escape(name)}.csv" href="data:text/csv;charset=utf-8;base64,{data}">'
        f"{escape(words)}<span class='quiet'> ({escape(name)}.csv)</span></a>"
    )


def file_link(name: str, text: str, words: str) -> str:
    """A link that saves a text file."""
    data = base64.b64encode(text.encode()).decode()
    return (
        f'<a class="csv" download="{escape(name)}" href="data:text/plain;charset=utf-8;base64,{data}">'
        f"{escape(words)}</a>"
    )


def figure_block(
    anchor: str,
    pictures: Sequence[Picture],
    caption: str,
    links: Iterable[str] = (),
    key: str = "",
    broad: bool = False,
    before_links: str = "",
) -> str:
    """One or more drawings side by side, as the window allows, over their caption.

    Args:
        anchor: Start of all ids.
        pictures: The drawings.
        caption: Caption, plain text.
        links: CSV links, HTML.
        key: Legend, HTML.
        broad: Scroll in narrow windows, since the drawing would shrink beyond reading.
        before_links: Words before the links, plain text.
    """
    few = " single" if len(pictures) == 1 else " many" if len(pictures) > _FEW else ""
    # What scrolls must be reachable by keyboard.
    panel = '<div class="panel" tabindex="0">' if broad else '<div class="panel">'
    drawn = "".join(f"{panel}{inline_svg(one, f'{anchor}-{i}')}</div>" for i, one in enumerate(pictures))
    saved = " ".join(links)
    # What can be saved is of no use on paper.
    saved = f'<span class="saved">{escape(before_links)} {saved}</span>' if saved else ""
    return (
        f'<figure id="{anchor}" aria-labelledby="{anchor}-c"{" class=broad" if broad else ""}>{key}'
        f'<div class="panels{few}">{drawn}</div>'
        f'<figcaption id="{anchor}-c">{escape(caption)} {saved}</figcaption></figure>'
    )


def tone_scale(colours: Sequence[str], first: str, last: str) -> str:
    """Explain colours that stand for steps: the tones between the names of the first and the last one."""
    step = 180 / len(colours)
    tones = "".join(
        f'<rect x="{i * step:.1f}" width="{step + 0.2:.1f}" height="10" fill="{colour}"/>'
        for i, colour in enumerate(colours)
    )
    drawn = f'<svg viewBox="0 0 180 10" aria-hidden="true" preserveAspectRatio="none">{tones}</svg>'
    return f'<p class="scale">{escape(first)} {drawn} {escape(last)}</p>'


def choice(anchor: str, words: str, options: Sequence[tuple[str, str]]) -> str:
    """Show one of several parts, chosen in a list; without script all of them.

    Args:
        anchor: Start of all ids.
        words: What is chosen, plain text.
        options: Name in plain text and HTML of each part; the first one is shown first.
    """
    if len(options) == 1:
        return options[0][1]
    names = "".join(f"<option>{escape(name)}</option>" for name, _ in options)
    parts = "".join(f'<div data-part="{i}">{part}</div>' for i, (_, part) in enumerate(options))
    listed = f'id="{anchor}-list" autocomplete="off" aria-controls="{anchor}-parts"'
    return (
        f'<div id="{anchor}" data-choice><p class="choice" hidden><label for="{anchor}-list">{escape(words)}'
        f"</label> <select {listed}>{names}</select></p>"
        f'<div id="{anchor}-parts" aria-live="polite">{parts}</div></div>'
    )


def legend(entries: Sequence[KeyLine]) -> str:
    """Explain lines by a piece of each."""
    items = "".join(
        '<li><svg viewBox="0 0 34 8" aria-hidden="true"><line x1="1" x2="33" y1="4" y2="4" '
        f'stroke="{line.colour}" stroke-width="{line.width:g}" stroke-dasharray="{line.dashes}"/>'
        + (f'<polygon points="{line.marker}" fill="{line.colour}"/>' if line.marker else "")
        + f"</svg>{escape(line.name)}</li>"
        for line in entries
    )
    return f'<ul class="legend">{items}</ul>'


def sortable_table(
    anchor: str, caption: str, frame: pd.DataFrame, columns: Sequence[Column], best: Sequence[str] = ()
) -> str:
    """A table whose headings are buttons that sort it.

    Args:
        anchor: Its id.
        caption: Caption, plain text.
        frame: One row for each table row; NaN is shown as nothing and sorted last.
        columns: What to show; the first one heads the rows.
        best: Boolean columns that say which number is bold: ``best:KEY`` for the column KEY.
    """
    head = "".join(
        f'<th scope="col" aria-sort="none"{" class=n" if c.numeric else ""}>'
        f'<button type="button">{escape(c.heading)}</button></th>'
        for c in columns
    )
    body = []
    for row in frame.to_dict("records"):
        cells = [_cell(row, c, i == 0, f"best:{c.key}" in best) for i, c in enumerate(columns)]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{anchor}-c">'
        f'<table id="{anchor}" data-sortable>'
        f'<caption id="{anchor}-c"><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(row: dict[Any, Any], column: Column, first: bool, may_be_best: bool) -> str:
    value = row.get(column.key)
    empty = value is None or (not isinstance(value, str) and bool(pd.isna(value)))
    if not column.numeric:
        tag = 'th scope="row"' if first else "td"
        return f"<{tag}>{'' if empty else escape(str(value))}</{tag.split()[0]}>"
    if empty or value is None:
        return '<td class="n" data-value=""></td>'
    shown = f"{value:{column.form}}"
    if may_be_best and row.get(f"best:{column.key}"):
        shown = f"<strong>{shown}</strong>"
    if column.low is not None and column.high is not None and not pd.isna(row[column.low]):
        low, high = row[column.low], row[column.high]
        shown += f' <span class="quiet">[{low:{column.form}}, {high:{column.form}}]</span>'
    return f'<td class="n" data-value="{float(value):.{_DIGITS + 4}g}">{shown}</td>'


def facts(anchor: str, rows: Sequence[tuple[str, str]]) -> str:
    """A list of names and values; values are plain text."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl id="{anchor}">{items}</dl>'


def code(text: str) -> str:
    """Commands or a config as they are typed."""
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def note(text: str) -> str:
    """A remark on what is missing, plain text."""
    return paragraph(text, "note")


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document.

    Args:
        title: Title, plain text.
        lead: What stands between the title and the contents, HTML.
        sections: The sections in order.
    """
    contents = "".join(f'<li><a href="#{s.anchor}">{escape(s.heading)}</a></li>' for s in sections)
    body = "".join(
        f'<section id="{s.anchor}" aria-labelledby="{s.anchor}-h"><h2 '
        f'id="{s.anchor}-h">{escape(s.heading)}</h2>'
        f"{s.body}</section>\n"
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n"
        '<body><a class="skip" href="#main">Skip to the results</a>'
        f"<header><h1>{escape(title)}</h1>{lead}</header>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n<main id="main" tabindex="-1">{body}</main>\n'
        f"<script>{SCRIPT}</script></body></html>\n"
    )
