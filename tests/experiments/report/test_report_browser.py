"""The report in a real browser: sorting by mouse and keyboard, no sideways scrolling in a narrow window."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup

from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.report.page import Column, Section, choice, page, sortable_table
from react_rl.experiments.report.writing import build_report

Build = Callable[..., CompareConfig]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the path"),
]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str, str], Any]:
    """Opens a page, runs a script in it, and returns the script's value."""

    def run(text: str, script: str) -> Any:
        hook = (
            "<script>addEventListener('load', () => { const out = document.createElement('pre');"
            f"out.id = 'answer'; out.textContent = JSON.stringify((() => {{ {script} }})());"
            "document.body.append(out); });</script></body>"
        )
        file = tmp_path / "page.html"
        file.write_text(text.replace("</body>", hook), encoding="utf-8")
        assert CHROMIUM is not None
        command = [
            CHROMIUM, "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,900", "--dump-dom",
        ]  # fmt: skip
        # As root, as in a container, Chromium refuses to start with its sandbox.
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=False
        )
        answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        assert answer is not None, done.stderr[-2000:]
        return json.loads(html.unescape(answer.group(1)))

    return run


@pytest.fixture
def table() -> str:
    frame = pd.DataFrame(
        {"name": ["b", "a10", "a9", "C"], "value": [0.5, float("nan"), -1.25, 10.0], "rank": [2, 1, 4, 3]}
    )
    columns = [Column("name", "Name", False), Column("value", "Value"), Column("rank", "Rank", form=".0f")]
    return page(
        "Test", Markup(), [Section("one", "One", sortable_table("numbers", "Numbers", frame, columns))]
    )


LOOK = """
const heads = [...document.querySelectorAll("#numbers th[scope=col]")];
const look = () => [[...document.querySelectorAll("#numbers tbody th")].map(h => h.textContent).join(" "),
  heads.map(h => h.getAttribute("aria-sort")).join(" ")];
const click = i => { heads[i].querySelector("button").click(); return look(); };
"""


def test_a_click_sorts_numbers_from_the_largest_and_a_second_one_turns_the_order(
    table: str, ask: Callable[[str, str], Any]
) -> None:
    before, down, up, other = ask(table, LOOK + "return [look(), click(1), click(1), click(2)];")
    assert before == ["b a10 a9 C", "none none none"]
    assert down == ["C b a9 a10", "none descending none"]
    assert up == ["a9 b C a10", "none ascending none"], "what has no number stays last"
    assert other == ["a9 C b a10", "none none descending"]


def test_words_sort_by_letter_and_the_numbers_in_them(table: str, ask: Callable[[str, str], Any]) -> None:
    up, down = ask(table, LOOK + "return [click(0), click(0)];")
    assert up == ["a9 a10 b C", "ascending none none"]
    assert down == ["C b a10 a9", "descending none none"]


def test_the_headings_are_reached_and_named_for_the_keyboard(
    table: str, ask: Callable[[str, str], Any]
) -> None:
    script = """
    const order = [...document.querySelectorAll("a[href], button, [tabindex='0']")];
    return order.map(e => { e.focus(); return [document.activeElement === e, e.tabIndex,
      e.textContent.trim().slice(0, 12)]; });
    """
    found = ask(table, script)
    assert all(focused and index == 0 for focused, index, _ in found)
    assert [name for _, _, name in found if name in ("Name", "Value", "Rank")] == ["Name", "Value", "Rank"]


def test_the_reader_chooses_a_part_and_only_that_one_is_shown(ask: Callable[[str, str], Any]) -> None:
    options = [(name, Markup(f"<p>map of {name}</p>")) for name in ("one", "two", "three")]
    text = page("Test", Markup(), [Section("one", "One", choice("map", "Corpus", options))])
    script = """
    const list = document.querySelector("select");
    const shown = () => [...document.querySelectorAll("[data-part] p")].filter(p => p.offsetHeight > 0)
      .map(p => p.textContent);
    list.focus();
    const found = [shown(), document.activeElement === list, list.tabIndex, list.labels[0].textContent,
      list.getBoundingClientRect().height >= 24];
    list.value = "three"; list.dispatchEvent(new Event("change"));
    found.push(shown());
    return found;
    """
    before, focused, index, name, large, after = ask(text, script)
    assert before == ["map of one"]
    assert (focused, index, name, large) == (True, 0, "Corpus", True)
    assert after == ["map of three"]


def test_a_report_fits_a_window_of_420_pixels_and_draws_every_figure(
    made_corpora: None, comparison: Build, tmp_path: Path, ask: Callable[[str, str], Any]
) -> None:
    two = [{"corpus": "synthetic", "name": name} for name in ("first", "second")]
    run_comparison(comparison(corpora=two, strategies=["random", "margin", "typicality"]), tmp_path)
    report = build_report(tmp_path / "small")
    # A frame has exactly the width asked for; windows have a smallest one.
    framed = f'<body><iframe style="width:420px;height:900px" srcdoc="{html.escape(report)}"></iframe></body>'
    script = """
    const inner = document.querySelector("iframe").contentDocument, root = inner.documentElement;
    const drawings = [...inner.querySelectorAll("figure .panel svg")].filter(d => !d.closest("[hidden]"));
    return {wide: root.scrollWidth, window: root.clientWidth,
      sections: inner.querySelectorAll("section").length,
      drawn: drawings.filter(d => d.getBoundingClientRect().height > 60).length, all: drawings.length};
    """
    found = ask(framed, script)
    assert found["window"] <= 420
    assert found["wide"] <= found["window"], "the page scrolls sideways"
    assert found["sections"] == 11
    assert found["drawn"] == found["all"] > 8
